/** Texts of several statements, and what they leave behind: is a migration run again only where nothing of it can be in force? */
import type { Knex } from 'knex'
import { beforeEach, expect, test } from 'vitest'
import { markOf } from '../../drivers/knex/migrate/books.ts'
import { onMigrationStage, outside } from '../migrations/on-stage.ts'
import { errorOf } from '../migrations/stage.ts'

const at = onMigrationStage('postgres')
beforeEach(() =>
	at.ask(`
		CREATE FUNCTION note() RETURNS void LANGUAGE sql AS $$ INSERT INTO written VALUES ('a') $$;
		CREATE FUNCTION conflict() RETURNS void LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'as it happens' USING ERRCODE = '40001'; END $$`),
)

const lasting: readonly (readonly [text: string, options: object])[] = [
	["SET statement_timeout = 60000; INSERT INTO written VALUES ('a')", outside],
	["BEGIN; INSERT INTO written VALUES ('a'); COMMIT", outside],
	["INSERT INTO written VALUES ('a'); SELECT 1", outside],
	['SELECT "note"()', outside],
	["INSERT INTO written VALUES ('a'); COMMIT", {}],
]

test.each(lasting)('what is in force is not applied again after a conflict: %s %o', async (text, options) => {
	const a = {
		...options,
		async up(knex: Knex) {
			await knex.raw(text)
			await knex.raw('SELECT conflict()')
		},
	}
	expect(await errorOf(at.migrate(at.knex({ a })))).toMatchObject({ code: '40001' })
	expect(await errorOf(at.migrate(at.knex({ a })))).toMatchObject({ code: 'HOLDFAST_IN_DOUBT', migration: 'a' })
	expect(await at.written()).toEqual(['a'])
	expect(await at.recorded()).toEqual([])
})

test('a transaction in one text that was rolled back has left nothing: the migration is run again', async () => {
	let runs = 0
	const a = {
		...outside,
		async up(knex: Knex) {
			runs += 1
			await knex.raw("BEGIN; INSERT INTO written VALUES ('a'); ROLLBACK")
			if (runs === 1) await knex.raw('SELECT conflict()')
		},
	}
	expect(await at.migrate(at.knex({ a }))).toEqual([1, ['a']])
	expect(runs).toBe(2)
	expect(await at.written()).toEqual([])
})

test('what follows a failed COMMIT on the same connection is in force, and not applied again', async () => {
	const a = {
		...outside,
		async up(knex: Knex) {
			const swallows = knex.transaction((trx) => trx.raw('SELECT * FROM nothing_of_that_name').catch(() => {}))
			expect(await errorOf(swallows)).toMatchObject({ code: 'HOLDFAST_ROLLED_BACK' })
			await knex('written').insert({ name: 'a' })
			await knex.raw('SELECT conflict()')
		},
	}
	await errorOf(at.migrate(at.knex({ a })))
	expect(await errorOf(at.migrate(at.knex({ a })))).toMatchObject({ code: 'HOLDFAST_IN_DOUBT', migration: 'a' })
	expect(await at.written()).toEqual(['a'])
})

test.each(['COMMIT', 'ROLLBACK'])(
	'the run dies after the migration has sent %s in the transaction it was given: the next run asks, and applies nothing twice',
	async (end) => {
		let reached = () => {}
		const there = new Promise<void>((resolve) => {
			reached = resolve
		})
		const a = {
			async up(knex: Knex) {
				await knex.raw(end)
				await knex('written').insert({ name: 'a' })
				reached()
				// Its process is gone from here on.
				await new Promise<void>((resolve) => stop.signal.addEventListener('abort', () => resolve()))
				throw new Error('its process is dead')
			},
		}
		const stop = new AbortController()
		const dying = errorOf(at.migrate(at.knex({ a })))
		await there
		expect(await at.lock()).toEqual([markOf('a', 'up')])
		at.proxy.resetAll()
		stop.abort()
		await dying
		expect(await errorOf(at.migrate(at.knex({ a })))).toMatchObject({ code: 'HOLDFAST_IN_DOUBT', migration: 'a' })
		expect(await at.written()).toEqual(['a'])
	},
)

test('a transaction that a migration has left open does not keep the run from its end, and is rolled back', async () => {
	const a = {
		...outside,
		async up(knex: Knex) {
			const trx = await knex.transaction()
			await trx('written').insert({ name: 'a' })
			throw new Error('given up')
		},
	}
	expect((await errorOf(at.migrate(at.knex({ a })))).message).toBe('given up')
	expect(await at.written()).toEqual([])
	expect(await at.lock()).toEqual([0])
})

test('a migration that another runner left unfinished while our session was lost is not run, and its mark stays', async () => {
	let runs = 0
	const migrations = {
		a: {
			async up(knex: Knex) {
				await at.ask(`UPDATE knex_migrations_lock SET is_locked = ${markOf('b', 'up')}`)
				at.proxy.resetAll()
				await knex('written').insert({ name: 'a' })
			},
		},
		b: { ...outside, up: () => void runs++ },
	}
	expect(await errorOf(at.migrate(at.knex(migrations)))).toMatchObject({ code: 'HOLDFAST_MIGRATIONS_LOCKED' })
	expect(await at.lock()).toEqual([markOf('b', 'up')])
	expect(await errorOf(at.migrate(at.knex(migrations)))).toMatchObject({ code: 'HOLDFAST_IN_DOUBT', migration: 'b' })
	expect(runs).toBe(0)
})

test('a lock that another runner freed while our session was lost is taken again before the next migration', async () => {
	let runs = 0
	let during: number[] = []
	const migrations = {
		a: {
			async up(knex: Knex) {
				runs += 1
				if (runs === 1) {
					await at.ask('UPDATE knex_migrations_lock SET is_locked = 0')
					at.proxy.resetAll()
				}
				await knex('written').insert({ name: 'a' })
			},
		},
		b: {
			async up() {
				during = await at.lock()
			},
		},
	}
	expect(await at.migrate(at.knex(migrations))).toEqual([1, ['a', 'b']])
	expect(during).toEqual([2])
	expect(await at.written()).toEqual(['a'])
	expect(await at.lock()).toEqual([0])
})
