/** What does a connection get again that replaces a lost one? `onConnect` on PostgreSQL: on every new connection, before anybody has it. */
import { createScheduler, DeadlineError, HoldfastError } from 'holdfast'
import { holdfast } from 'holdfast/pg'
import pg from 'pg'
import { expect, test } from 'vitest'
import { fill } from '../support/fill.ts'
import { until } from '../support/until.ts'
import { onStage } from './on-stage.ts'

const at = onStage()

const toApp = (client: pg.ClientBase) => client.query('SET search_path TO app')
const searchPath = async (on: { query(text: string): Promise<pg.QueryResult> }) => (await on.query('SHOW search_path')).rows[0].search_path
const backends = async () =>
	(await at.ask<{ n: number }>("SELECT count(*)::int AS n FROM pg_stat_activity WHERE application_name = 'under test'"))[0]?.n

test('a connection that replaces a lost one is prepared before anybody gets it, on every path', async () => {
	const pool = at.wrap({ onConnect: toApp }, { max: 1 })
	const paths: string[] = []
	const lose = async () => {
		at.proxy.resetAll()
		await until(() => pool.totalCount === 0, { what: 'the pool to notice the loss' })
	}
	for (let round = 0; round < 3; round++) {
		paths.push(await searchPath(pool))
		if (round > 0) await lose()
		paths.push(await pool.transaction((tx) => searchPath(tx as unknown as pg.ClientBase)))
		if (round > 0) await lose()
		const client = await pool.connect()
		paths.push(await searchPath(client))
		client.release()
		if (round > 0) await lose()
	}
	expect(paths).toEqual(Array(9).fill('app'))
	expect(pool.holdfast.stats()).toMatchObject({ inDoubt: 0, endpoint: { outages: 0 } })
})

test('the hook runs once on each connection, whatever that is used for and however often', async () => {
	const prepared: unknown[] = []
	const pool = at.wrap({ onConnect: (client: object) => void prepared.push(client) }, { max: 3 })
	for (let round = 0; round < 3; round++) {
		await fill(3, () => pool.connect())
		await Promise.all(Array.from({ length: 6 }, () => pool.query('SELECT 1')))
	}
	expect(new Set(prepared).size).toBe(prepared.length)
	expect(prepared.length).toBe(pool.totalCount)
})

test('the pool’s own onConnect and its connect event go on working: once each, and before ours', async () => {
	const order: string[] = []
	const own = { onConnect: async () => void order.push('option of pg') }
	const pool = at.wrap({ onConnect: () => void order.push('ours') }, { max: 1, ...own })
	pool.on('connect', () => order.push('event'))
	await pool.query('SELECT 1')
	await pool.query('SELECT 1')
	expect(order).toEqual(['option of pg', 'event', 'ours'])
})

test('a connection that was open before the pool was wrapped is replaced by one that is prepared', async () => {
	const bare = new pg.Pool({ ...at.server.config(), application_name: 'under test', max: 2 })
	await bare.query('SELECT 1')
	const lent = await bare.connect()
	const pool = holdfast(bare, { onConnect: toApp })
	expect(await searchPath(pool)).toBe('app')
	lent.release()
	expect(await Promise.all([searchPath(pool), searchPath(pool)])).toEqual(['app', 'app'])
	await pool.end()
	await until(async () => (await backends()) === 0, { what: 'no backend to be left' })
})

test('a permanent error of the hook reaches the caller at once, the same object, and its connection is closed', async () => {
	const mine = new Error('no settings for this tenant')
	let broken = true
	const pool = at.wrap({ onConnect: () => broken && Promise.reject(mine) })
	expect(await pool.query('SELECT 1').catch((error: unknown) => error)).toBe(mine)
	expect(await pool.connect().catch((error: unknown) => error)).toBe(mine)
	const refused = at.wrap({ onConnect: (client: pg.ClientBase) => client.query('SET ROLE nobody_there') })
	await expect(refused.query('SELECT 1')).rejects.toMatchObject({ code: '22023' })
	expect(refused.holdfast.stats().endpoint).toMatchObject({ outages: 0 })
	await until(async () => (await backends()) === 0, { what: 'the connections to be closed' })
	broken = false
	await pool.query('SELECT 1')
})

test.each([undefined, null])(
	'a hook that fails without an error (%s) is no success: nobody gets its connection, nothing is sent',
	async (nothing) => {
		const pool = at.wrap({ onConnect: () => Promise.reject(nothing) })
		const calls = [pool.query('INSERT INTO written VALUES (1)'), pool.connect(), pool.transaction((tx) => tx.query('SELECT 1'))]
		for (const call of calls) expect(await call.catch((error: unknown) => error)).toMatchObject({ code: 'HOLDFAST_ON_CONNECT' })
		expect(await at.rows()).toBe(0)
		await until(async () => (await backends()) === 0, { what: 'the connections to be closed' })
	},
)

test('a transient error of the hook is retried under the gate, and no caller hears of it', async () => {
	let tries = 0
	const onConnect = async (client: pg.ClientBase) => {
		tries += 1
		if (tries === 1) await client.query("DO $$ BEGIN RAISE EXCEPTION 'starting' USING ERRCODE = '57P03'; END $$")
		if (tries === 2) await client.query('SELECT pg_terminate_backend(pg_backend_pid())')
		await toApp(client)
	}
	const pool = at.wrap({ onConnect }, { max: 5 })
	expect(await Promise.all(Array.from({ length: 5 }, () => searchPath(pool)))).toEqual(Array(5).fill('app'))
	// One that nobody needed any more may still be on its way.
	await until(() => pool.idleCount === pool.totalCount, { what: 'no connection to be under way' })
	expect(tries).toBe(2 + pool.totalCount)
	expect(pool.holdfast.stats().endpoint.outages).toBe(1)
})

test('an error of another server in the hook is no outage of this one: its caller gets it, and the other connections are kept', async () => {
	let elsewhere: unknown
	const pool = at.wrap({ onConnect: () => elsewhere && Promise.reject(elsewhere) }, { max: 2 })
	const before = (await pool.query('SELECT pg_backend_pid() AS pid')).rows[0].pid
	const held = await pool.connect()
	elsewhere = Object.assign(new Error('connect ECONNREFUSED 10.0.0.9:8200'), { code: 'ECONNREFUSED', syscall: 'connect' })
	expect(await pool.query('SELECT 1').catch((error: unknown) => error)).toBe(elsewhere)
	held.release()
	expect((await pool.query('SELECT pg_backend_pid() AS pid')).rows[0].pid).toBe(before)
	expect(pool.holdfast.stats().endpoint).toMatchObject({ outages: 0 })
})

test('a hook that hangs holds nobody for ever: its connection is closed, and callers are told at their deadline', async () => {
	const scheduler = createScheduler({ probeTimeoutMs: 100 })
	let hang = true
	const pool = at.wrap({ scheduler, deadlineMs: 600, onConnect: () => (hang ? new Promise(() => {}) : undefined) })
	const late = await pool.query('SELECT 1').catch((error: unknown) => error)
	expect(late).toBeInstanceOf(DeadlineError)
	expect((late as Error).cause).toMatchObject({ code: 'HOLDFAST_ON_CONNECT' })
	await until(async () => (await backends()) === 0, { what: 'the connections to be closed' })
	hang = false
	await pool.query('SELECT 1')
})

test('the end of the pool ends a hook that hangs, and leaves no connection', async () => {
	const pool = at.wrap({ onConnect: () => new Promise(() => {}) })
	const call = pool.query('SELECT 1').catch((error: unknown) => error)
	await until(async () => (await backends()) === 1, { what: 'the hook to run' })
	await pool.end()
	expect(await call).toMatchObject({ code: 'HOLDFAST_CLOSED' })
	expect(await backends()).toBe(0)
})

test('a hook that leaves a transaction open is refused: what others write would be lost in it', async () => {
	const pool = at.wrap({ onConnect: (client: pg.ClientBase) => client.query('BEGIN') })
	const error = await pool.query('INSERT INTO written VALUES (1)').catch((thrown: unknown) => thrown)
	expect(error).toBeInstanceOf(HoldfastError)
	expect(error).toMatchObject({ code: 'HOLDFAST_ON_CONNECT' })
	expect(await at.rows()).toBe(0)
})

test('a pool with enabled: false calls no hook, as a bare pool does not', async () => {
	const calls: unknown[] = []
	const pool = at.wrap({ enabled: false, onConnect: (client: object) => void calls.push(client) })
	await pool.query('SELECT 1')
	expect(calls).toEqual([])
})

test('a bad onConnect is refused at the call, by name and rule', () => {
	const pool = new pg.Pool()
	expect(() => holdfast(pool, { onConnect: 'SET search_path TO app' as never })).toThrow(
		new TypeError('onConnect must be a function, got "SET search_path TO app"'),
	)
})
