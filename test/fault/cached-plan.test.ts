/** DDL makes the plan of a named statement unfit, or its name is lost: who notices? Nobody but a borrower, who gets the server's own error. */
import { retryReport } from 'holdfast'
import pg from 'pg'
import { beforeEach, expect, test } from 'vitest'
import { onStage } from './on-stage.ts'

const at = onStage()

const all = { name: 'all', text: 'SELECT * FROM shape' }
const add = (id: number) => ({ name: 'add', text: 'INSERT INTO shape VALUES ($1) RETURNING *', values: [id] })
const pidOf = async (on: { query(text: string): Promise<pg.QueryResult> }) =>
	(await on.query('SELECT pg_backend_pid() AS pid')).rows[0].pid as number

beforeEach(async () => {
	await at.ask('DROP TABLE IF EXISTS shape; CREATE TABLE shape (a int)')
})

test('after DDL a named statement is prepared anew on the same connection, with its new columns; a write is applied once', async () => {
	const pool = at.wrap({}, { max: 1 })
	const pid = await pidOf(pool)
	await pool.query(all)
	await pool.query(add(1))
	await at.ask('ALTER TABLE shape ADD COLUMN b text')
	expect((await pool.query(all)).rows).toEqual([{ a: 1, b: null }])
	expect((await pool.query(add(2))).rows).toEqual([{ a: 2, b: null }])
	expect(await at.ask('SELECT a FROM shape ORDER BY a')).toEqual([{ a: 1 }, { a: 2 }])
	expect(await pidOf(pool)).toBe(pid)
	expect(pool.holdfast.stats()).toMatchObject({
		retries: { stale_plan: 2 },
		discarded: 0,
		inDoubt: 0,
		endpoint: { outages: 0, state: 'up' },
	})
	await pool.query(all)
	expect(pool.holdfast.stats().retries).toEqual({ stale_plan: 2 })
})

test('callers on ten connections at once all get the new columns, and no connection is replaced', async () => {
	const pool = at.wrap({}, { max: 10 })
	const busy = () => Promise.all(Array.from({ length: 50 }, () => pool.query(all)))
	await busy()
	const opened = pool.holdfast.stats().endpoint.connectAttempts
	await at.ask('INSERT INTO shape VALUES (1); ALTER TABLE shape ADD COLUMN b text')
	for (const { rows } of await busy()) expect(rows).toEqual([{ a: 1, b: null }])
	expect(pool.holdfast.stats()).toMatchObject({ discarded: 0, endpoint: { connectAttempts: opened } })
})

test('inside a transaction the whole function runs again, and commits once', async () => {
	const pool = at.wrap({}, { max: 1 })
	const pid = await pidOf(pool)
	let runs = 0
	const work = () =>
		pool.transaction(async (tx) => {
			runs += 1
			await tx.query('INSERT INTO written VALUES (1)')
			return (await tx.query(all)).rows
		})
	await work()
	await at.ask('INSERT INTO shape VALUES (1); ALTER TABLE shape ADD COLUMN b text')
	expect(await work()).toEqual([{ a: 1, b: null }])
	expect(runs).toBe(3)
	expect(await at.rows()).toBe(2)
	expect(await pidOf(pool)).toBe(pid)
	// As the first statement, where it takes BEGIN along.
	await at.ask('ALTER TABLE shape ADD COLUMN c text')
	expect(await pool.transaction(async (tx) => (await tx.query(all)).rows)).toEqual([{ a: 1, b: null, c: null }])
	expect(await pidOf(pool)).toBe(pid)
	expect(pool.holdfast.stats()).toMatchObject({ retries: { stale_plan: 2 }, discarded: 0, inDoubt: 0 })
})

test('a borrower gets the server’s own error, untouched; what it prepares next on the connection is prepared anew', async () => {
	const pool = at.wrap({}, { max: 1 })
	const client = await pool.connect()
	await client.query(all)
	await at.ask('ALTER TABLE shape ADD COLUMN b text')
	const error = await client.query(all).catch((thrown: unknown) => thrown)
	expect(error).toBeInstanceOf(pg.DatabaseError)
	expect(error).toMatchObject({ code: '0A000', message: 'cached plan must not change result type' })
	expect(retryReport(error)).toBeUndefined()
	expect((await client.query(all)).fields.map(({ name }) => name)).toEqual(['a', 'b'])
	await client.query('BEGIN')
	await at.ask('SET lock_timeout TO 1000; DISCARD PLANS').catch(() => {})
	await client.query('DEALLOCATE ALL')
	expect(await client.query(all).catch((thrown: unknown) => thrown)).toMatchObject({ code: '26000' })
	expect(await client.query('SELECT 1').catch((thrown: unknown) => thrown)).toMatchObject({ code: '25P02' })
	await client.query('ROLLBACK')
	await client.query(all)
	client.release()
	expect(await pool.query(all)).toMatchObject({ rows: [] })
	expect(pool.totalCount).toBe(1)
})

test('what a borrower has sent behind a statement whose plan is unfit is prepared anew already, and pg warns of nothing', async () => {
	const warnings: Error[] = []
	const warned = (warning: Error) => void warnings.push(warning)
	process.on('warning', warned)
	const pool = at.wrap({}, { max: 1 })
	const client = await pool.connect()
	await client.query(all)
	await at.ask('ALTER TABLE shape ADD COLUMN b text')
	const [first, second] = await Promise.allSettled([client.query(all), client.query(all)])
	expect(first).toMatchObject({ status: 'rejected', reason: { code: '0A000' } })
	expect(second).toMatchObject({ status: 'fulfilled' })
	client.release()
	process.removeListener('warning', warned)
	expect(warnings).toEqual([])
})

test.each(['DISCARD ALL', 'DEALLOCATE all', 'DEALLOCATE ALL'])(
	'after %s a named statement is prepared anew on the same connection',
	async (lose) => {
		const pool = at.wrap({}, { max: 1 })
		const pid = await pidOf(pool)
		await pool.query(all)
		await pool.query(add(1))
		await pool.query(lose)
		expect((await pool.query(all)).rows).toEqual([{ a: 1 }])
		await pool.query(lose)
		await pool.transaction(async (tx) => {
			await tx.query(all)
			await tx.query(add(2))
		})
		expect(await at.ask('SELECT a FROM shape ORDER BY a')).toEqual([{ a: 1 }, { a: 2 }])
		expect(await pidOf(pool)).toBe(pid)
		expect(pool.holdfast.stats()).toMatchObject({ inDoubt: 0, discarded: 0, endpoint: { outages: 0 } })
	},
)

test('the caller’s config is left as it was, and is not needed any more once the call is made', async () => {
	const pool = at.wrap({}, { max: 1 })
	const config: { name: string; text: string } = { ...all }
	await pool.query(config)
	await at.ask('ALTER TABLE shape ADD COLUMN b text')
	const answer = pool.query(Object.freeze(config))
	expect((await answer).fields.map(({ name }) => name)).toEqual(['a', 'b'])
	expect(config).toEqual(all)
})

test.each([
	['EXECUTE nowhere', '26000'],
	['DEALLOCATE nowhere', '26000'],
	['PREPARE twice AS SELECT 1; PREPARE twice AS SELECT 1', '42P05'],
])('what the user has prepared by SQL is the user’s business: %s fails at once, and is not run again', async (text, code) => {
	const pool = at.wrap({}, { max: 1 })
	const pid = await pidOf(pool)
	const sent = at.proxy.seen.statementsLike(text)
	await expect(pool.query(text)).rejects.toMatchObject({ code })
	expect(at.proxy.seen.statementsLike(text) - sent).toBe(1)
	await expect(pool.transaction((tx) => tx.query(text))).rejects.toMatchObject({ code })
	expect(at.proxy.seen.statementsLike(text) - sent).toBe(2)
	expect(await pidOf(pool)).toBe(pid)
	expect(pool.holdfast.stats().retries).toEqual({})
	expect(pool.holdfast.stats()).toMatchObject({ discarded: 0 })
})

test.each([
	['EXECUTE mine', '0A000'],
	['EXECUTE nowhere', '26000'],
	['PREPARE mine AS SELECT 1', '42P05'],
	['SELECT run_mine()', '0A000'],
])('also where a statement of ours with a name runs it: %s fails at once, and names go on', async (text, code) => {
	await at.ask("CREATE OR REPLACE FUNCTION run_mine() RETURNS void LANGUAGE plpgsql AS $$ BEGIN EXECUTE 'EXECUTE mine'; END $$")
	const pool = at.wrap({}, { max: 1 })
	await pool.query('PREPARE mine AS SELECT * FROM shape; EXECUTE mine')
	await at.ask('ALTER TABLE shape ADD COLUMN b text')
	await expect(pool.query({ name: 'runs', text })).rejects.toMatchObject({ code })
	await expect(pool.transaction((tx) => tx.query({ name: 'runs too', text }))).rejects.toMatchObject({ code })
	expect(pool.holdfast.stats().retries).toEqual({})
	expect(pool.holdfast.stats()).toMatchObject({ discarded: 0, inDoubt: 0 })
	await pool.query(all)
	expect((await pool.query("SELECT count(*)::int AS n FROM pg_prepared_statements WHERE name = 'all'")).rows).toEqual([{ n: 1 }])
})

test('a procedure that could commit a part of its work is run again where it was not begun, and never where it was', async () => {
	const body = (more: string) => `LANGUAGE plpgsql AS $$ BEGIN INSERT INTO written VALUES (1); COMMIT; ${more} END $$`
	await at.ask(`CREATE OR REPLACE PROCEDURE well() ${body('')}; CREATE OR REPLACE PROCEDURE ill() ${body("EXECUTE 'EXECUTE nowhere';")}`)
	const pool = at.wrap({}, { max: 1 })
	const well = { name: 'well', text: 'CALL well()' }
	await pool.query(well)
	await pool.query('DISCARD ALL')
	await pool.query(well)
	expect(await at.rows()).toBe(2)
	await expect(pool.query({ name: 'ill', text: 'CALL ill()' })).rejects.toMatchObject({ code: '26000' })
	expect(await at.rows()).toBe(3)
	expect(pool.holdfast.stats()).toMatchObject({ retries: { stale_plan: 1 }, inDoubt: 0 })
})

test('a name that the user has taken by PREPARE is left alone: our statement runs without one', async () => {
	const pool = at.wrap({}, { max: 1 })
	await pool.query('PREPARE "all" AS SELECT 42 AS theirs')
	expect((await pool.query(all)).rows).toEqual([])
	expect((await pool.query('EXECUTE "all"')).rows).toEqual([{ theirs: 42 }])
	await pool.transaction((tx) => tx.query(all))
	expect(pool.holdfast.stats().retries).toEqual({ stale_plan: 1 })
})

test('a row of the user’s classification goes before all this', async () => {
	const permanent = {
		kind: 'permanent',
		scope: 'statement',
		outcome: 'rolled_back',
		retryable: false,
		reason: 'ours',
		source: 'us',
	} as const
	const pool = at.wrap({ classify: [{ code: '26000', ...permanent }] }, { max: 1 })
	await pool.query(all)
	await pool.query('DISCARD ALL')
	await expect(pool.query(all)).rejects.toMatchObject({ code: '26000' })
})

test('a query object with a name is run again as well', async () => {
	const pool = at.wrap({}, { max: 1 })
	await pool.query(all)
	await at.ask('INSERT INTO shape VALUES (1); ALTER TABLE shape ADD COLUMN b text')
	const rows: unknown[] = []
	await new Promise((resolve, reject) => {
		const query = new pg.Query(all)
		query.on('row', (row: unknown) => rows.push(row))
		query.on('end', resolve)
		query.on('error', reject)
		pool.query(query)
	})
	expect(rows).toEqual([{ a: 1, b: null }])
})

test('in pipeline mode too', async () => {
	const pool = at.wrap({}, { max: 1, pipeline: true } as pg.PoolConfig)
	await pool.query(all)
	await at.ask('INSERT INTO shape VALUES (1); ALTER TABLE shape ADD COLUMN b text')
	expect((await pool.query(all)).rows).toEqual([{ a: 1, b: null }])
	expect((await pool.transaction((tx) => tx.query(all))).rows).toEqual([{ a: 1, b: null }])
})

test('a query_timeout leaves no timer behind', async () => {
	const pool = at.wrap({}, { max: 1, query_timeout: 60_000 })
	await pool.query(all)
	await at.ask('ALTER TABLE shape ADD COLUMN b text')
	await pool.query(all)
	expect(process.getActiveResourcesInfo().filter((name) => name === 'Timeout').length).toBeLessThanOrEqual(3)
})
