/** Is `migrate(knex)` what users of `knex.migrate` know? The same commands, tables, hooks and sources, on a plain and on a wrapped instance. */
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createScheduler } from 'holdfast'
import { holdfast, type MigrateOptions, migrate } from 'holdfast/knex'
import makeKnex, { type Knex } from 'knex'
import { beforeEach, describe, expect, test } from 'vitest'
import { onMigrationStage, outside as withoutTransaction, writes } from '../migrations/on-stage.ts'
import { sampleMigrations, sourceOf } from '../migrations/sample.ts'
import { errorOf, type Written } from '../migrations/stage.ts'

const at = onMigrationStage('postgres')
beforeEach(() => at.ask('CREATE TABLE applied (name text not null)'))

const outside = (name: string): Written => ({ ...writes(name), ...withoutTransaction })
const books = async () => at.ask('SELECT id, name, batch FROM knex_migrations ORDER BY id')
const names = ['a', 'b', 'c', 'd']
const four = { a: writes('a'), b: outside('b'), c: writes('c'), d: writes('d') }

describe('commands', () => {
	const steps: readonly MigrateOptions[] = [
		{ command: 'up' },
		{ command: 'up', name: 'c' },
		{ command: 'list' },
		{ command: 'down', name: 'a' },
		{ command: 'latest' },
		{ command: 'latest' },
		{ command: 'rollback' },
		{ command: 'rollback' },
		{ command: 'rollback' },
		{ command: 'latest' },
		{ command: 'down' },
		{ command: 'rollback', all: true },
		{ command: 'down' },
		{ command: 'list' },
	]

	test('every command resolves with what knex resolves with, and leaves the same in its table', async () => {
		const run = async (step: (knex: Knex, options: MigrateOptions) => Promise<unknown>) => {
			await at.begin()
			await at.ask('CREATE TABLE written (name text)')
			const knex = at.knex(four)
			const seen = []
			for (const options of steps) seen.push([options, await step(knex, options), await books(), await at.written()])
			await knex.destroy()
			return seen
		}
		const ours = await run((knex, options) => at.migrate(knex, options))
		const theirs = await run((knex, { command = 'latest', name, all }) => {
			if (command === 'rollback') return knex.migrate.rollback({}, all ?? false)
			return knex.migrate[command](name === undefined ? {} : ({ name } as object))
		})
		expect(ours).toEqual(theirs)
	})

	test.each([
		[{ command: 'up', name: 'nothing' }, 'Migration "nothing" not found.'],
		[{ command: 'down', name: 'a' }, 'Migration "a" was not run.'],
	] as const)('%o fails as it does in knex', async (options, message) => {
		const error = await errorOf(at.migrate(at.knex(four), options))
		expect(error.message).toBe(message)
		expect(await at.lock()).toEqual([0])
	})

	test('thirty migrations go forth and back', async () => {
		const knex = at.knex(Object.fromEntries(sampleMigrations(30)) as never)
		const all = [...sampleMigrations(30).keys()]
		expect(await at.migrate(knex)).toEqual([1, all])
		expect(await at.migrate(knex, { command: 'rollback' })).toEqual([1, all.toReversed()])
		expect(await at.ask('SELECT name FROM applied')).toEqual([])
	})

	test('a file that is missing is refused, unless disableMigrationsListValidation says otherwise', async () => {
		await at.migrate(at.knex({ a: writes('a'), b: writes('b') }))
		const knex = at.knex({ b: writes('b'), c: writes('c') })
		expect((await errorOf(at.migrate(knex))).message).toMatch(/missing: a/)
		expect(await at.migrate(knex, { config: { disableMigrationsListValidation: true } })).toEqual([2, ['c']])
	})

	test('a migration without a down function is refused before anything is run', async () => {
		const migrationSource = sourceOf(
			new Map<string, object>([
				['a', writes('a')],
				['b', { up: async () => {} }],
			]),
		)
		const knex = at.knex({}, {}, { migrationSource })
		expect((await errorOf(at.migrate(knex))).message).toBe('Invalid migration: b must have both an up and down function')
		expect(await at.written()).toEqual([])
	})
})

describe('configuration', () => {
	test('tableName and schemaName: the tables of knex stand where they are said to', async () => {
		await at.ask('CREATE SCHEMA books')
		const knex = at.knex({ a: writes('a') }, {}, { tableName: 'history', schemaName: 'books' })
		expect(await at.migrate(knex)).toEqual([1, ['a']])
		expect(await at.ask('SELECT name, batch FROM books.history')).toEqual([{ name: 'a', batch: 1 }])
		expect(await at.ask('SELECT is_locked FROM books.history_lock')).toEqual([{ is_locked: 0 }])
	})

	test('directories, sortDirsSeparately and loadExtensions are read as knex reads them', async () => {
		const folder = mkdtempSync(join(tmpdir(), 'holdfast-migrations-'))
		try {
			const file = (place: string, name: string) => {
				mkdirSync(join(folder, place), { recursive: true })
				const text = `exports.up = (knex) => knex('written').insert({ name: '${name}' }); exports.down = async () => {}`
				writeFileSync(join(folder, place, name), text)
			}
			file('one', '2.js')
			file('two', '1.js')
			file('two', '3.ext')
			const directory = [join(folder, 'one'), join(folder, 'two')]
			const knex = at.knex({}, {}, { migrationSource: undefined, directory, sortDirsSeparately: true, loadExtensions: ['.js'] } as never)
			expect(await at.migrate(knex, { command: 'list' })).toEqual([
				[],
				[
					{ file: '2.js', directory: directory[0] },
					{ file: '1.js', directory: directory[1] },
				],
			])
			expect(await at.migrate(knex, { config: { directory, sortDirsSeparately: false } })).toEqual([1, ['1.js', '2.js']])
			expect(await at.migrate(at.knex({ x: writes('x') }), { config: { directory, loadExtensions: ['.js'] } })).toEqual([1, []])
		} finally {
			rmSync(folder, { recursive: true })
		}
	})

	test('the hooks of knex run around the batch and around each migration, those of a migration inside its transaction', async () => {
		const seen: unknown[] = []
		const hook = (name: string) => (knex: Knex, migrations: unknown[]) => {
			seen.push([name, knex.isTransaction === true, migrations])
		}
		const hooks = { beforeAll: hook('beforeAll'), afterAll: hook('afterAll'), beforeEach: hook('beforeEach'), afterEach: hook('afterEach') }
		await at.migrate(at.knex({ a: writes('a'), b: outside('b') }, {}, hooks as never))
		expect(seen).toEqual([
			['beforeAll', false, ['a', 'b']],
			['beforeEach', true, ['a']],
			['afterEach', true, ['a']],
			['beforeEach', false, ['b']],
			['afterEach', false, ['b']],
			['afterAll', false, ['a', 'b']],
		])
		seen.length = 0
		await at.migrate(at.knex({ a: writes('a'), b: outside('b') }, {}, hooks as never))
		expect(seen).toEqual([])
	})

	test('disableTransactions holds for all but those that ask for one', async () => {
		const seen: boolean[] = []
		const looks = { up: async (knex: Knex) => void seen.push(knex.isTransaction === true) }
		await at.migrate(at.knex({ a: looks, b: { ...looks, config: { transaction: true } } }, {}, { disableTransactions: true }))
		expect(seen).toEqual([false, true])
	})

	test("the user's wrapIdentifier, postProcessResponse, searchPath, afterCreate and user parameters hold in migrations, and not in the books", async () => {
		await at.ask('CREATE SCHEMA other; CREATE TABLE other.snake_case (id int)')
		const created: unknown[] = []
		let seen: unknown
		const knex = at.knex(
			{
				a: {
					async up(trx) {
						await trx('snakeCase').insert({ id: 1 })
						seen = [await trx('snakeCase').first(), trx.userParams]
					},
				},
			},
			{
				searchPath: ['other', 'public'],
				wrapIdentifier: (value, wrap) => wrap(value === 'snakeCase' ? 'snake_case' : value === 'name' ? 'spoilt' : value),
				postProcessResponse: (result) => (Array.isArray(result) || typeof result !== 'object' ? result : { wrapped: result }),
				pool: {
					min: 0,
					max: 1,
					afterCreate: (connection: unknown, done: (error: Error | null, connection: unknown) => void) => {
						created.push(connection)
						done(null, connection)
					},
				},
			},
		)
		await at.migrate(knex.withUserParams({ tenant: 7 }))
		expect(seen).toEqual([{ wrapped: { id: 1 } }, expect.objectContaining({ tenant: 7 })])
		expect(created.length).toBeGreaterThan(0)
		expect(await at.ask('SELECT name FROM other.knex_migrations')).toEqual([{ name: 'a' }])
	})

	test('the listeners of the instance hear of the queries of migrations', async () => {
		const knex = at.knex({ a: writes('a') })
		const heard: string[] = []
		knex.on('query', ({ sql }: { sql: string }) => heard.push(sql))
		await at.migrate(knex)
		expect(heard.filter((sql) => sql.includes('written'))).toHaveLength(1)
	})

	test('a connection that is given as a function is asked for', async () => {
		const knex = at.knex({ a: writes('a') })
		const { connection } = knex.client.config
		const provided = at.knex({ a: writes('a') }, { connection: async () => ({ ...connection }) })
		expect(await at.migrate(provided)).toEqual([1, ['a']])
	})

	test('it works over a native pool that was given to knex', async () => {
		const { default: pg } = await import('pg')
		const knex = at.knex({ a: writes('a'), b: outside('b') })
		const pool = new pg.Pool(knex.client.config.connection)
		const over = makeKnex({ client: 'pg', connectionPool: pool, migrations: knex.client.config.migrations } as never)
		expect(await at.migrate(over)).toEqual([1, ['a', 'b']])
		expect(pool.totalCount).toBe(pool.idleCount)
		expect((await pool.query('SHOW lock_timeout')).rows).toEqual([{ lock_timeout: '0' }])
		await over.destroy()
		await pool.end()
	})

	test('a native pool that is too small is refused at once: the run would wait for itself', async () => {
		const { default: pg } = await import('pg')
		const over = makeKnex({ client: 'pg', connectionPool: new pg.Pool({ max: 2 }) } as never)
		const error = await errorOf(migrate(over))
		expect(error).toBeInstanceOf(RangeError)
		expect(error.message).toBe('migrate: the connectionPool of knex must have room for 3 connections, got 2')
	})

	test('what onProgress throws ends the run before the next migration', async () => {
		const own = new Error('no more')
		const onProgress = ({ type }: { type: string }) => {
			if (type === 'done') throw own
		}
		expect(await errorOf(migrate(at.knex(four), { onProgress }))).toBe(own)
		expect(await at.written()).toEqual(['a'])
		expect(await at.lock()).toEqual([0])
	})

	test('a pool of one connection is enough, also for a migration without a transaction', async () => {
		expect(await at.migrate(at.knex({ a: outside('a'), b: writes('b') }, { pool: { min: 0, max: 1 } }))).toEqual([1, ['a', 'b']])
	})

	test('an instance wrapped by holdfast(knex) gives the same', async () => {
		const scheduler = createScheduler()
		const knex = holdfast(at.knex(four), { scheduler })
		expect(await at.migrate(knex, { scheduler })).toEqual([1, names])
		expect(await knex('written').pluck('name')).toEqual(names)
		expect(await at.migrate(knex, { command: 'rollback', scheduler })).toEqual([1, names.toReversed()])
	})
})

describe('options', () => {
	const knex = makeKnex({ client: 'pg', connection: { port: 1 } })
	test.each([
		[{ command: 'lastest' }, TypeError, `command must be one of 'latest', 'up', 'down', 'rollback', 'list', got "lastest"`],
		[{ deadlineMs: '5s' }, TypeError, 'deadlineMs must be a positive number of milliseconds (Infinity for none), got "5s"'],
		[{ lockTimeoutMs: 0 }, RangeError, 'lockTimeoutMs must be a positive number of milliseconds, got 0'],
		[{ attempts: 1.5 }, RangeError, 'attempts must be a whole number of at least 1, got 1.5'],
		[{ blocked: 'maybe' }, TypeError, `blocked must be one of 'fail', 'wait', got "maybe"`],
		[
			{ resolved: { a: true } },
			TypeError,
			"resolved must be an object of migration names with 'applied' or 'not applied', got an object (Object)",
		],
		[{ onProgress: 1 }, TypeError, 'onProgress must be a function, got 1'],
		[{ progress: 'yes' }, TypeError, 'progress must be true, false or a writable stream, got "yes"'],
		[{ scheduler: {} }, TypeError, 'scheduler must be a scheduler made by createScheduler, got an object (Object)'],
		[{ name: 'a' }, TypeError, `name goes with the commands 'up' and 'down', got "a" with 'latest'`],
		[{ all: true }, TypeError, `all goes with the command 'rollback', got true with 'latest'`],
		[{ retries: 3 }, TypeError, /^migrate: unknown option retries; known are command, name,/],
	])('%o is refused by name, rule and value', async (options, Kind, message) => {
		const error = await errorOf(migrate(knex, options as never))
		expect(error).toBeInstanceOf(Kind)
		expect(error.message).toEqual(typeof message === 'string' ? message : expect.stringMatching(message))
	})

	test('what is no knex instance for pg or mysql2 is refused', async () => {
		expect((await errorOf(migrate({} as never))).message).toBe('migrate: knex must be a knex instance, got an object (Object)')
		const sqlite = makeKnex({
			client: class extends knex.client.constructor {
				driverName = 'sqlite3'
			} as never,
		})
		expect((await errorOf(migrate(sqlite))).message).toBe('migrate: knex must be made for pg or mysql2, got one for sqlite3')
		const other = at.knex({})
		const trx = await other.transaction()
		expect((await errorOf(migrate(trx))).message).toMatch(/got a transaction/)
		await trx.rollback()
	})
})
