/** Do query and execute take every form that mysql2 takes, and answer as the bare pool does? */
import { Readable } from 'node:stream'
import { describe, expect, test } from 'vitest'
import { flavours } from '../support/mysql.ts'
import { calledBack, ending, ground, type Untyped } from './mysql2-side-by-side.ts'

type Done = (...answer: unknown[]) => void

const options = { connectionLimit: 2, multipleStatements: true }
const table = 'CREATE TABLE IF NOT EXISTS forms (id INT PRIMARY KEY AUTO_INCREMENT, v INT); TRUNCATE forms'

const calling: Record<string, (pool: Untyped, done: Done) => unknown> = {
	'text, callback': (pool, done) => pool.query('SELECT 1 AS a, NULL AS b', done),
	'text, values, callback': (pool, done) => pool.query('SELECT ? AS a, ? AS b', [2, 'x'], done),
	'text, undefined, callback': (pool, done) => pool.query('SELECT 1 AS a', undefined, done),
	'text, null, callback': (pool, done) => pool.query('SELECT 1 AS a', null, done),
	'text, one value, callback': (pool, done) => pool.query('SELECT ? AS a', 5, done),
	'options, callback': (pool, done) => pool.query({ sql: 'SELECT ? AS a', values: [2] }, done),
	'options, values, callback': (pool, done) => pool.query({ sql: 'SELECT ? AS a', values: [1] }, [2], done),
	'rows as arrays': (pool, done) => pool.query({ sql: 'SELECT 1 AS a, 2 AS a', rowsAsArray: true }, done),
	'nested tables': (pool, done) => pool.query({ sql: 'SELECT * FROM (SELECT 1 AS a) AS t', nestTables: true }, done),
	'nested tables by a separator': (pool, done) => pool.query({ sql: 'SELECT * FROM (SELECT 1 AS a) AS t', nestTables: '_' }, done),
	'a type cast of one’s own': (pool, done) =>
		pool.query({ sql: 'SELECT 1 AS a', typeCast: (field: { string(): string }) => `<${field.string()}>` }, done),
	'no type cast': (pool, done) => pool.query({ sql: 'SELECT 1 AS a', typeCast: false }, done),
	'named placeholders': (pool, done) => pool.query({ sql: 'SELECT :a AS a, :b AS b', namedPlaceholders: true }, { a: 1, b: 'x' }, done),
	'values of many types': (pool, done) =>
		pool.query(
			'SELECT ? AS at, ? AS bytes, ? AS list, ? AS yes, ? AS nothing',
			[new Date(0), Buffer.from('ab'), ['a', 'b'], true, null],
			done,
		),
	'an object as a value': (pool, done) => pool.query('SELECT ? IS NOT NULL AS a', [{ a: 1 }], done),
	'several statements': (pool, done) => pool.query('SELECT 1 AS a; SELECT 2 AS b; DO 1', done),
	'an insert': (pool, done) => pool.query(`${table}; INSERT INTO forms (v) VALUES (1), (2)`, done),
	'a stored procedure’s answers': (pool, done) =>
		pool.query('CREATE OR REPLACE VIEW seen_forms AS SELECT 1 AS a; SELECT * FROM seen_forms', done),
	'a syntax error': (pool, done) => pool.query('SELECT * FROM FROM', done),
	'an error among several statements': (pool, done) => pool.query('SELECT 1; SELECT * FROM no_such_table; SELECT 2', done),
	'an unknown table': (pool, done) => pool.query('SELECT ? FROM no_such_table', [1], done),
	'an empty text': (pool, done) => pool.query('', done),
	'a number': (pool, done) => pool.query(5, done),
	null: (pool, done) => pool.query(null, done),
	'an empty object': (pool, done) => pool.query({}, done),
	'a LOCAL INFILE without a stream': (pool, done) => pool.query("LOAD DATA LOCAL INFILE 'x' INTO TABLE forms", done),
	'a LOCAL INFILE with a stream': (pool, done) =>
		pool.query(
			{ sql: "LOAD DATA LOCAL INFILE 'x' INTO TABLE forms (v)", infileStreamFactory: () => Readable.from([Buffer.from('7\n8\n')]) },
			done,
		),
	'execute: text, callback': (pool, done) => pool.execute('SELECT 1 AS a', done),
	'execute: text, values, callback': (pool, done) => pool.execute('SELECT ? AS a', ['x'], done),
	'execute: options, callback': (pool, done) => pool.execute({ sql: 'SELECT ? AS a', values: ['x'] }, done),
	'execute: options, values, callback': (pool, done) => pool.execute({ sql: 'SELECT ? AS a' }, ['x'], done),
	'execute: rows as arrays': (pool, done) => pool.execute({ sql: 'SELECT 1 AS a, 2 AS a', rowsAsArray: true }, done),
	'execute: named placeholders': (pool, done) => pool.execute({ sql: 'SELECT :a AS a', namedPlaceholders: true, values: { a: 'x' } }, done),
	'execute: an insert': (pool, done) => pool.execute('INSERT INTO forms (v) VALUES (?)', [3], done),
	'execute: a value that is undefined': (pool, done) => pool.execute('SELECT ? AS a', [undefined], done),
	'execute: values that are no array': (pool, done) => pool.execute('SELECT ? AS a', { a: 1 }, done),
	'execute: too few values': (pool, done) => pool.execute('SELECT ? AS a, ? AS b', [1], done),
	'execute: a syntax error': (pool, done) => pool.execute('SELECT * FROM FROM', done),
	'execute: an unknown table': (pool, done) => pool.execute('SELECT ? FROM no_such_table', [1], done),
	'execute: a failing insert': (pool, done) => pool.execute('INSERT INTO forms (id) VALUES (?), (?)', [1, 1], done),
}

const promising: Record<string, (pool: Untyped) => unknown> = {
	text: (pool) => pool.query('SELECT 1 AS a'),
	'text and values': (pool) => pool.query('SELECT ? AS a', [2]),
	options: (pool) => pool.query({ sql: 'SELECT ? AS a', values: [2] }),
	'options and values': (pool) => pool.query({ sql: 'SELECT ? AS a' }, [2]),
	'several statements': (pool) => pool.query('SELECT 1 AS a; SELECT 2 AS b'),
	'a callback': (pool) => pool.query('SELECT 1', () => {}),
	'a syntax error': (pool) => pool.query('SELECT * FROM FROM'),
	null: (pool) => pool.query(null),
	'execute: text': (pool) => pool.execute('SELECT 1 AS a'),
	'execute: text and values': (pool) => pool.execute('SELECT ? AS a', ['x']),
	'execute: options': (pool) => pool.execute({ sql: 'SELECT ? AS a', values: ['x'] }),
	'execute: a value that is undefined': (pool) => pool.execute('SELECT ? AS a', [undefined]),
	'execute: an unknown table': (pool) => pool.execute('SELECT ? FROM no_such_table', [1]),
}

describe.each(flavours)('%s', (flavour) => {
	const { both, promised } = ground(flavour)

	for (const [form, call] of Object.entries(calling)) {
		test(`a callback pool answers ${form} as the bare pool does`, async () => {
			const { bare, wrapped } = await both(async (pool) => {
				await calledBack((done) => pool.query(table, done))
				return calledBack((done) => call(pool, done))
			}, options)
			expect(wrapped).toEqual(bare)
		})
	}

	for (const [form, call] of Object.entries(promising)) {
		test(`a promise pool answers ${form} as the bare pool does`, async () => {
			const { bare, wrapped } = await promised((pool) => ending(() => call(pool)), options)
			expect(wrapped).toEqual(bare)
		})
	}

	test.each([true, false])(
		'with trace: %s the error of a promise shows where the query was called as that of the bare pool does',
		async (trace) => {
			const find = (pool: Untyped) => pool.query('SELECT * FROM FROM') as Promise<unknown>
			const { bare, wrapped } = await promised(
				async (pool) => {
					const [head, ...frames] = String(await find(pool).then(undefined, ({ stack }: Error) => stack)).split('\n')
					return {
						head,
						frames: frames.filter((frame) => frame.includes('query-forms')).slice(0, 2),
						first: frames[0]?.includes('query-forms'),
					}
				},
				{ ...options, trace },
			)
			expect(wrapped).toEqual(bare)
			expect(wrapped.first).toBe(trace)
		},
	)
})
