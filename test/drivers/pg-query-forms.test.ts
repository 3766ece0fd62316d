/** Does pool.query take every form that pg takes, and answer as the bare pool does? */
import type pg from 'pg'
import { expect, test } from 'vitest'
import { calledBack, ending, ground, type Untyped } from './side-by-side.ts'

const { both } = ground()

class Tagged {
	readonly parts: string[]
	values: unknown[]
	constructor(parts: string[], values: unknown[]) {
		this.parts = parts
		this.values = values
	}
	get text(): string {
		return this.parts.reduce((text, part, at) => `${text}$${at}${part}`)
	}
}

const callback = () => {}

const promised: Record<string, (pool: pg.Pool) => unknown> = {
	text: (pool) => pool.query('select 1 as a, null as b'),
	'text and values': (pool) => pool.query('select $1::int as a, $2::text as b', [7, 'x']),
	'text and empty values': (pool) => pool.query('select 1 as a', []),
	'text and undefined values': (pool) => pool.query('select 1 as a', undefined),
	'text and null values': (pool) => pool.query('select 1 as a', null as unknown as undefined),
	config: (pool) => pool.query({ text: 'select $1::int as a', values: [3] }),
	'config and values': (pool) => pool.query({ text: 'select $1::int as a', values: [3] }, [4]),
	'rows as arrays': (pool) => pool.query({ text: 'select 1 as a, 2 as a', rowMode: 'array' }),
	'a named statement': async (pool) => {
		await pool.query({ name: 'named', text: 'select $1::int as a', values: [1] })
		return pool.query({ name: 'named', text: 'select $1::int as a', values: [2] })
	},
	'a named statement with another text': async (pool) => {
		const client = await pool.connect()
		await client.query({ name: 'named', text: 'select 1' })
		client.release()
		return pool.query({ name: 'named', text: 'select 2' })
	},
	'binary results': (pool) => pool.query({ text: 'select $1::int as a', values: [3], binary: true } as pg.QueryConfig),
	'queryMode extended': (pool) => pool.query({ text: 'select 1 as a', queryMode: 'extended' } as pg.QueryConfig),
	'rows per round trip': (pool) => pool.query({ text: 'select * from generate_series(1, 5) as a', rows: 2 } as pg.QueryConfig),
	'type parsers': (pool) =>
		pool.query({
			text: "select 1::int as a, now() is not null as b, '{1,2}'::int[] as c",
			types: { getTypeParser: () => (raw: unknown) => `<${raw}>` },
		}),
	'a parser that throws': (pool) =>
		pool.query({
			text: 'select 1 as a',
			types: {
				getTypeParser: () => () => {
					throw new RangeError('no such value')
				},
			},
		}),
	'values of many types': (pool) =>
		pool.query(
			'select $1::timestamptz as at, $2::jsonb as doc, $3::bytea as bytes, $4::int[] as list, $5::bool as yes, $6::text as nothing',
			[new Date(0), { a: [1] }, Buffer.from('ab'), [1, 2], true, null],
		),
	'a value that cannot be turned into text': (pool) =>
		pool.query('select $1', [
			{
				toPostgres() {
					throw new TypeError('not mine')
				},
			},
		]),
	'values that are no array': (pool) => pool.query('select $1', 'abc' as unknown as unknown[]),
	'an instance with a text getter on its prototype': (pool) => pool.query(new Tagged(['select ', '::int as a'], [5])),
	'several statements': (pool) => pool.query('select 1 as a; select 2 as b; create temp table t (id int)'),
	'an empty text': (pool) => pool.query(''),
	'a comment': (pool) => pool.query('-- nothing'),
	insert: async (pool) => {
		await pool.query('drop table if exists forms; create table forms (id int)')
		return pool.query('insert into forms select generate_series(1, 3) returning id')
	},
	'COPY FROM STDIN without a stream': async (pool) => {
		await pool.query('drop table if exists copied; create table copied (id int)')
		return pool.query('copy copied from stdin')
	},
	'a syntax error': (pool) => pool.query('select * from from'),
	'an error among several statements': (pool) => pool.query('select 1; select 1/0; select 2'),
	'an unknown table': (pool) => pool.query('select $1::int from no_such_table', [1]),
	null: (pool) => pool.query(null as unknown as string),
	undefined: (pool) => pool.query(undefined as unknown as string),
	'a number': (pool) => pool.query(5 as unknown as string),
	'an empty config': (pool) => pool.query({} as pg.QueryConfig),
	'a config whose text is a number': (pool) => pool.query({ text: 5 } as unknown as pg.QueryConfig),
	'a config with a callback of its own': (pool) => pool.query({ text: 'select 1 as a', callback } as pg.QueryConfig),
	'an array': (pool) => pool.query(['select 1'] as unknown as string),
	'a String object': (pool) => pool.query(Object('select 1') as string),
	'the empty string with values': (pool) => pool.query('', [1]),
}

for (const [form, call] of Object.entries(promised)) {
	test(`pool.query answers ${form} as the bare pool does`, async () => {
		const { bare, wrapped } = await both((pool) => ending(() => call(pool)))
		expect(wrapped).toEqual(bare)
	})
}

type Done = (error: unknown, result?: unknown) => void

const calling: Record<string, (pool: pg.Pool, done: Done) => unknown> = {
	'text, callback': (pool, done) => pool.query('select 1 as a', done),
	'text, values, callback': (pool, done) => pool.query('select $1::int as a', [2], done),
	'text, undefined, callback': (pool, done) => pool.query('select 1 as a', undefined as unknown as [], done),
	'config, callback': (pool, done) => pool.query({ text: 'select $1::int as a', values: [2] }, done),
	'config, values, callback': (pool, done) => (pool as Untyped).query({ text: 'select $1::int as a' }, [2], done),
	'an error, callback': (pool, done) => pool.query('select 1/0', done),
	'null, callback': (pool, done) => pool.query(null as unknown as string, done),
	'a number, callback': (pool, done) => pool.query(5 as unknown as string, done),
	'several statements, callback': (pool, done) => pool.query('select 1 as a; select 2 as b', done),
	'a function first': (pool, done) => (pool.query as (fn: Done) => unknown)(done),
}

for (const [form, call] of Object.entries(calling)) {
	test(`pool.query calls back for ${form} as the bare pool does`, async () => {
		const { bare, wrapped } = await both((pool) => calledBack((done) => call(pool, done)))
		expect(wrapped).toEqual(bare)
	})
}

test('a connection is back in the pool when the callback or the promise tells of a success', async () => {
	const { bare, wrapped } = await both(async (pool) => {
		const idle: number[] = []
		await new Promise<void>((resolve) => {
			pool.query('select 1', () => {
				idle.push(pool.idleCount)
				resolve()
			})
		})
		await pool.query('select 1')
		idle.push(pool.idleCount)
		return idle
	})
	expect(wrapped).toEqual(bare)
})

test('one config object serves two calls at once, each with its own values', async () => {
	const { bare, wrapped } = await both(async (pool) => {
		const config: pg.QueryConfig = { text: 'select $1::int as a' }
		const results = await Promise.all([pool.query(config, [1]), pool.query(config, [2]), pool.query(config, [3])])
		return results.map(({ rows }) => rows[0].a)
	})
	expect(bare).toEqual([1, 2, 3])
	expect(wrapped).toEqual(bare)
})

test('a config object is not written to, so that it can be frozen and used again on a client', async () => {
	const { wrapped } = await both(async (pool, kind) => {
		if (kind === 'bare') return undefined
		const config = { text: 'select $1::int as a', values: [1] }
		const frozen = Object.freeze({ text: 'select $1::int as a', values: [2] })
		const first = [await pool.query(config), await pool.query(frozen)]
		const client = await pool.connect()
		first.push(await client.query(config))
		client.release()
		return { rows: first.map(({ rows }) => rows[0].a), config }
	})
	expect(wrapped).toEqual({ rows: [1, 2, 1], config: { text: 'select $1::int as a', values: [1] } })
})

test('an instance that pg writes its callback into answers a client afterwards, too', async () => {
	const { wrapped } = await both(async (pool, kind) => {
		if (kind === 'bare') return undefined
		const tagged = new Tagged(['select ', '::int as a'], [5])
		await pool.query(tagged)
		const client = await pool.connect()
		const { rows } = await client.query(tagged)
		client.release()
		return rows
	})
	expect(wrapped).toEqual([{ a: 5 }])
})

test('a config that is changed after the call does not change what is sent', async () => {
	const { wrapped } = await both(async (pool) => {
		const config = { text: 'select $1::int as a', values: [1] }
		const first = pool.query(config)
		config.values = [2]
		const second = pool.query(config)
		return [(await first).rows[0].a, (await second).rows[0].a]
	})
	expect(wrapped).toEqual([1, 2])
})

test('an exception of the callback reaches the process as it does with the bare pool', async () => {
	const { bare, wrapped } = await both(
		(pool) =>
			new Promise((resolve) => {
				const before = process.listeners('uncaughtException')
				const unhandled = process.listeners('unhandledRejection')
				process.removeAllListeners('uncaughtException')
				process.removeAllListeners('unhandledRejection')
				const told = (how: string) => (error: Error) => {
					process.removeAllListeners('uncaughtException')
					process.removeAllListeners('unhandledRejection')
					for (const listener of before) process.on('uncaughtException', listener)
					for (const listener of unhandled) process.on('unhandledRejection', listener)
					resolve([how, error.message])
				}
				process.on('uncaughtException', told('uncaught'))
				process.on('unhandledRejection', told('unhandled') as NodeJS.UnhandledRejectionListener)
				pool.query('select 1/0', (error) => {
					throw new Error(`from the callback: ${error.message}`)
				})
			}),
	)
	expect(wrapped).toEqual(bare)
})
