/** A migration cannot have its lock: does nobody queue behind it, who is in the way, and what happens in the end? */
import pg from 'pg'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { onMigrationStage } from '../migrations/on-stage.ts'
import { errorOf, type Written } from '../migrations/stage.ts'
import type { PostgresServer } from '../support/postgres.ts'
import { until } from '../support/until.ts'

const at = onMigrationStage('postgres')
let other: pg.Client
beforeEach(async () => {
	await at.ask("CREATE TABLE items (id int, v text); INSERT INTO items VALUES (1, 'x')")
	other = new pg.Client({ ...(at.server as PostgresServer).config(at.database), application_name: 'a long report' })
	await other.connect()
})
afterEach(() => other.end())

const addsColumn: Written = { up: (knex) => knex.schema.alterTable('items', (table) => void table.string('x')) }
const holdTable = () => other.query("BEGIN; SELECT count(*) FROM items WHERE v <> 'a secret'")
const columns = async () => (await at.ask("SELECT 1 FROM information_schema.columns WHERE table_name = 'items'")).length
const waiters = "SELECT 1 FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database()"

test('it fails in the end, names those in the way without the values of their query, and leaves nothing', async () => {
	await holdTable()
	const error = await errorOf(at.migrate(at.knex({ a: addsColumn }), { attempts: 5 }))
	expect(error).toMatchObject({
		name: 'MigrationBlockedError',
		code: 'HOLDFAST_MIGRATION_BLOCKED',
		migration: 'a',
		tries: 5,
		cause: { code: '55P03' },
		blockers: [{ application: 'a long report', state: 'idle in transaction', query: expect.stringContaining('WHERE v <> ?') }],
	})
	expect(error.message).toMatch(/pid \d+ \(a long report\), idle in transaction for [\d.]+ s: BEGIN; SELECT count\(\*\) FROM items/)
	expect(error.message).not.toContain('secret')
	expect(await columns()).toBe(2)
	expect(await at.lock()).toEqual([0])
	expect(await at.ask(waiters)).toEqual([])
})

test('once it knows whom it waits for it does not ask for the lock again until they have gone', async () => {
	await holdTable()
	const run = at.migrate(at.knex({ a: addsColumn }))
	const blocked = () => at.events.filter(({ type }) => type === 'blocked')
	await until(() => blocked().length >= 8, { what: 'the steps to pass' })
	const triesBefore = at.proxy.seen.statementsLike('alter table "items"')
	expect(triesBefore).toBeLessThan(blocked().length)
	expect(at.events.filter(({ type }) => type === 'blocked').at(-1)).toMatchObject({ blockers: [{ application: 'a long report' }] })
	expect(await at.ask('SELECT v FROM items')).toEqual([{ v: 'x' }])
	await other.query('COMMIT')
	expect(await run).toEqual([1, ['a']])
	expect(await columns()).toBe(3)
})

test("blocked: 'wait' queues for the lock like anybody when the tries are used up", async () => {
	await holdTable()
	const run = at.migrate(at.knex({ a: addsColumn }), { attempts: 3, blocked: 'wait' })
	await until(async () => (await at.ask(waiters)).length === 1 && at.events.filter(({ type }) => type === 'blocked').length === 2, {
		what: 'the migration to wait in the queue',
	})
	await other.query('COMMIT')
	expect(await run).toEqual([1, ['a']])
})

test('lockTimeoutMs bounds each wait of a migration that asks for no transaction, and its statement is tried again by itself', async () => {
	await holdTable()
	let runs = 0
	const knex = at.knex({
		a: {
			config: { transaction: false },
			async up(db) {
				runs += 1
				await db.schema.createTable('first', (table) => void table.increments())
				await addsColumn.up(db)
			},
		},
	})
	const run = at.migrate(knex, { lockTimeoutMs: 30 })
	await until(() => at.events.some(({ type }) => type === 'blocked'), { what: 'the migration to be blocked' })
	await other.query('COMMIT')
	expect(await run).toEqual([1, ['a']])
	expect(runs).toBe(1)
	expect(await columns()).toBe(3)
})

test('CREATE INDEX CONCURRENTLY waits without a limit, for it holds up nobody and would leave an invalid index', async () => {
	await other.query("BEGIN; UPDATE items SET v = 'y'")
	const knex = at.knex({ a: { config: { transaction: false }, up: (db) => db.raw('CREATE INDEX CONCURRENTLY items_v ON items (v)') } })
	const run = at.migrate(knex, { lockTimeoutMs: 20 })
	await until(async () => (await at.ask(waiters)).length === 1, { what: 'the index to wait' })
	await other.query('COMMIT')
	expect(await run).toEqual([1, ['a']])
	expect(await at.ask('SELECT indisvalid FROM pg_index WHERE NOT indisvalid')).toEqual([])
})

test('a statement of knex itself that waits for a plain knex in its transaction does not hold up anybody either', async () => {
	await at.migrate(at.knex({}))
	await other.query('BEGIN; UPDATE knex_migrations_lock SET is_locked = 1')
	const error = await errorOf(at.migrate(at.knex({ a: addsColumn }), { runnerDeadlineMs: 500 }))
	expect(error).toMatchObject({ code: 'HOLDFAST_MIGRATIONS_LOCKED' })
	await other.query('ROLLBACK')
	expect(await at.migrate(at.knex({ a: addsColumn }))).toEqual([1, ['a']])
})
