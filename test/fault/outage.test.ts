/** The server is away for a while: who waits, who knocks, and who is told what? */
import { createScheduler, DeadlineError, HoldfastError, OverloadError } from 'holdfast'
import { holdfast } from 'holdfast/pg'
import pg from 'pg'
import { expect, test } from 'vitest'
import { staged } from '../support/staged.ts'
import { until } from '../support/until.ts'
import { stage } from './stage.ts'

const at = staged(stage)

test('1,000 callers on 3 pools wait out an outage with at most one connection attempt in flight, and all are served', async () => {
	const scheduler = createScheduler()
	const pools = [1, 2, 3].map(() => at.wrap({ scheduler }, { max: 10 }))
	await Promise.all(pools.map((pool) => pool.query('SELECT 1')))
	await at.proxy.rejectConnections()
	at.proxy.resetAll()
	at.proxy.resetCounters()
	const calls = Array.from({ length: 1_000 }, (_, i) => pools[i % 3]?.query(`SELECT ${i} AS i`).then((result) => result.rows[0].i))
	await until(() => at.proxy.attempts >= 8, { what: 'eight probes' })
	expect(at.proxy.maxInFlightAttempts).toBe(1)
	expect(pools.map((pool) => pool.holdfast.stats().endpoint.state)).toEqual(['down', 'down', 'down'])
	expect(pools.reduce((sum, pool) => sum + pool.waitingCount, 0)).toBe(1_000)
	// One heap entry a caller (its deadline), one for the probe; and one timer for all of them.
	expect(scheduler.stats().waits).toBeLessThanOrEqual(1_002)
	await at.proxy.accept()
	expect(await Promise.all(calls)).toEqual(Array.from({ length: 1_000 }, (_, i) => i))
	expect(pools[0]?.holdfast.stats()).toMatchObject({ outages: 1, endpoint: { state: 'up' } })
})

test('a server that does not answer is asked by one connection attempt at a time, however many pools wait', async () => {
	const scheduler = createScheduler({ probeTimeoutMs: 300 })
	const pools = [1, 2, 3].map(() => at.wrap({ scheduler }, { max: 10 }))
	await Promise.all(pools.map((pool) => pool.query('SELECT 1')))
	await at.proxy.hangConnections()
	at.proxy.resetAll()
	at.proxy.resetCounters()
	const calls = Array.from({ length: 90 }, (_, i) => pools[i % 3]?.query(`SELECT ${i} AS i`).then((result) => result.rows[0].i))
	await until(() => at.proxy.attempts >= 3, { what: 'three probes' })
	expect(at.proxy.maxInFlightAttempts).toBe(1)
	await at.proxy.accept()
	expect(await Promise.all(calls)).toEqual(Array.from({ length: 90 }, (_, i) => i))
	expect(pools[0]?.holdfast.stats()).toMatchObject({ outages: 1, endpoint: { state: 'up' } })
})

test('the time limit of an attempt ends with the attempt: nothing is left that could cut the next one', async () => {
	const scheduler = createScheduler()
	const pool = at.wrap({ scheduler, attemptTimeoutMs: 60_000 }, { max: 1 })
	for (const text of ['SELECT 1', 'SELECT nonsense']) {
		await pool.query(text).catch(() => {})
		await pool.transaction((tx) => tx.query(text)).catch(() => {})
		expect(scheduler.stats().waits).toBe(0)
	}
	expect(pool.holdfast.stats().attempts).toBe(4)
})

test('nobody knocks while nobody waits', async () => {
	const pool = at.wrap({ deadlineMs: 200 })
	await pool.query('SELECT 1')
	at.proxy.refuse()
	at.proxy.resetAll()
	await expect(pool.query('SELECT 1')).rejects.toThrow()
	expect(pool.holdfast.stats().endpoint.state).toBe('down')
	const before = pool.holdfast.stats().endpoint.connectAttempts
	// Nothing is planned any more: no wait is left, so no probe can come.
	expect(pool.waitingCount).toBe(0)
	await at.proxy.accept()
	expect((await pool.query({ text: 'SELECT 2 AS n', deadlineMs: 30_000 })).rows).toEqual([{ n: 2 }])
	expect(pool.holdfast.stats().endpoint.connectAttempts).toBe(before + 1)
})

test('a caller whose deadline passes at the gate is told that the endpoint is down, with the last error as cause', async () => {
	at.proxy.refuse()
	const pool = at.wrap({ deadlineMs: 150 })
	const error = await pool.query('SELECT 1').catch((reason: unknown) => reason)
	expect(error).toBeInstanceOf(DeadlineError)
	expect(String(error)).toContain('it is down (it refuses connections)')
	expect((error as Error).cause).toMatchObject({ code: 'ECONNREFUSED' })
})

test('a caller beyond maxWaiting gets an OverloadError at once', async () => {
	at.proxy.refuse()
	const pool = at.wrap({ maxWaiting: 3 })
	const parked = [1, 2, 3].map(() => pool.query('SELECT 1'))
	await expect(pool.query('SELECT 1')).rejects.toBeInstanceOf(OverloadError)
	await at.proxy.accept()
	await Promise.all(parked)
})

test('pool.end() during an outage tells parked callers so, and leaves nothing', async () => {
	at.proxy.refuse()
	const pool = at.wrap()
	const parked = [pool.query('SELECT 1'), pool.transaction(async (tx) => tx.query('SELECT 1')), pool.connect()]
	await until(() => pool.holdfast.stats().endpoint.state === 'down', { what: 'the outage to be noticed' })
	const told = Promise.allSettled(parked)
	await pool.end()
	for (const outcome of await told) {
		expect(outcome).toMatchObject({ status: 'rejected', reason: { code: 'HOLDFAST_CLOSED' } })
		expect((outcome as PromiseRejectedResult).reason).toBeInstanceOf(HoldfastError)
	}
	await expect(pool.query('SELECT 1')).rejects.toThrow('Cannot use a pool after calling end on the pool')
})

test('an abort ends the wait at the gate at once, with the reason', async () => {
	at.proxy.refuse()
	const pool = at.wrap()
	const stop = new AbortController()
	const parked = pool.query({ text: 'SELECT 1', signal: stop.signal })
	await until(() => pool.waitingCount === 1, { what: 'the caller to wait' })
	stop.abort(new Error('changed my mind'))
	await expect(parked).rejects.toThrow('changed my mind')
	expect(pool.waitingCount).toBe(0)
})

test('ready() resolves when the database answers', async () => {
	at.proxy.refuse()
	const pool = at.wrap()
	const ready = pool.holdfast.ready()
	await until(() => pool.holdfast.stats().endpoint.state === 'down', { what: 'the outage to be noticed' })
	await at.proxy.accept()
	await ready
	await expect(pool.holdfast.ready({ deadlineMs: -1 })).rejects.toThrow('deadlineMs must be a positive number')
})

test('a database that does not exist is told at once and is no outage', async () => {
	const pool = at.wrap({}, { database: 'there_is_no_such_database' })
	const error = await pool.query('SELECT 1').catch((reason: unknown) => reason)
	expect(error).toMatchObject({ code: '3D000' })
	expect(pool.holdfast.stats()).toMatchObject({ outages: 0, endpoint: { state: 'up' } })
})

test('a full server (53300) holds new connections back and leaves the healthy ones in use', async () => {
	const own = await stage({ max_connections: '10', superuser_reserved_connections: '0', reserved_connections: '0' })
	try {
		const pool = own.wrap({}, { max: 2 })
		const held = await pool.connect()
		const pid = (await held.query('SELECT pg_backend_pid() AS pid')).rows[0].pid
		const hogs: pg.Client[] = []
		for (let full = false; !full; ) {
			const hog = new pg.Client(own.server.config())
			hog.on('error', () => {})
			full = await hog.connect().then(
				() => false,
				() => true,
			)
			if (!full) hogs.push(hog)
		}
		const parked = pool.query('SELECT pg_backend_pid() AS pid')
		await until(() => pool.holdfast.stats().endpoint.lastFault?.kind === 'too_many_connections', { what: 'the server to be full' })
		held.release()
		// The connection that is there serves the caller that waited for a new one.
		expect((await parked).rows[0].pid).toBe(pid)
		await Promise.all(hogs.map((hog) => hog.end()))
		await own.leaveNothing()
	} finally {
		await own.close()
	}
})

test('pools of the same server share one endpoint on the scheduler of the process', async () => {
	const config = { ...at.server.config(), host: at.proxy.host, port: at.proxy.port, max: 1 }
	const [one, two] = [holdfast(new pg.Pool(config)), holdfast(new pg.Pool(config))]
	await one.query('SELECT 1')
	expect(two.holdfast.stats().endpoint).toEqual(one.holdfast.stats().endpoint)
	await Promise.all([one.end(), two.end()])
})
