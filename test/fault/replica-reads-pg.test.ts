/** Reads that may go to a replica: how old they may be, what they must see, and where they go when there is no replica that will do. */
import { expect, test } from 'vitest'
import { until } from '../support/until.ts'
import { onFailoverStage } from './failover-stage.ts'

const at = onFailoverStage()

const where = 'SELECT pg_is_in_recovery() AS replica'
const count = 'SELECT count(*)::int AS n FROM written'

test('a read goes to a replica on request, in every form, and otherwise to the primary', async () => {
	const pool = at.wrap()
	expect((await pool.query(where)).rows).toEqual([{ replica: false }])
	expect((await pool.query(where, { target: 'replica' })).rows).toEqual([{ replica: true }])
	expect((await pool.query({ text: where, target: 'replica' })).rows).toEqual([{ replica: true }])
	expect((await pool.query('SELECT $1::int AS n', [7], { target: 'replica' })).rows).toEqual([{ n: 7 }])
	expect((await pool.query({ text: where, target: 'primary' })).rows).toEqual([{ replica: false }])
	const told = await new Promise((resolve) => {
		pool.query({ text: where, target: 'replica' } as { text: string }, (error: unknown, result: unknown) => resolve(error ?? result))
	})
	expect(told).toMatchObject({ rows: [{ replica: true }] })
})

test('a read sees what was written before it although the replica lags: it waits for the replica, or goes to the primary', async () => {
	const pool = at.wrap()
	for (let n = 1; n <= 20; n++) {
		await pool.query('INSERT INTO written VALUES ($1)', [n])
		expect((await pool.query(count, { target: 'replica', readYourWrites: true })).rows).toEqual([{ n }])
	}
	await at.replica.query('SELECT pg_wal_replay_pause()')
	try {
		await pool.query('INSERT INTO written VALUES (21)')
		expect((await pool.query(count, { target: 'replica' })).rows).toEqual([{ n: 20 }])
		expect((await pool.query(count, { target: 'replica', readYourWrites: true })).rows).toEqual([{ n: 21 }])
	} finally {
		await at.replica.query('SELECT pg_wal_replay_resume()')
	}
})

test('a replica that is further behind than maxLagMs is passed over, one that keeps up is not', async () => {
	const pool = at.wrap()
	const asked = async (maxLagMs: number) =>
		(await pool.query<{ replica: boolean }>(where, { target: 'replica', maxLagMs })).rows[0]?.replica
	await pool.query('INSERT INTO written VALUES (1)')
	await at.cluster.caughtUp(at.replica, at.primary)
	expect(await asked(5_000)).toBe(true)
	await at.replica.query('SELECT pg_wal_replay_pause()')
	try {
		await pool.query('INSERT INTO written VALUES (2)')
		// A state that was proven recent a moment ago is still within five seconds, but not within one that has to be asked for anew.
		expect(await asked(1)).toBe(false)
	} finally {
		await at.replica.query('SELECT pg_wal_replay_resume()')
	}
	await until(() => asked(5_000), { what: 'the replica to be good enough again' })
})

test('without a replica, and with one that dies under the read, the primary answers', async () => {
	const pool = at.wrap()
	expect((await pool.query(where, { target: 'replica' })).rows).toEqual([{ replica: true }])
	const endless = 'SELECT pg_is_in_recovery() AS replica, pg_sleep(CASE WHEN pg_is_in_recovery() THEN 3600 ELSE 0 END)'
	const slow = pool.query(endless, { target: 'replica' })
	const running = "SELECT 1 FROM pg_stat_activity WHERE query LIKE '%pg_sleep(CASE%' AND state = 'active' AND pid <> pg_backend_pid()"
	await until(async () => (await at.replica.query(running)).length > 0, { what: 'the read to run' })
	await at.replica.kill()
	expect((await slow).rows).toEqual([expect.objectContaining({ replica: false })])
	expect((await pool.query(where, { target: 'replica' })).rows).toEqual([{ replica: false }])
	await at.replica.start()
	await until(async () => (await pool.query<{ replica: boolean }>(where, { target: 'replica' })).rows[0]?.replica, {
		what: 'the replica to be used again',
	})
})

test('a read that has little time, or is stopped, does not wait for one that has much, although they share the question to the primary', async () => {
	const pool = at.wrap()
	await pool.query(count, { target: 'replica', readYourWrites: true })
	await at.primary.kill()
	try {
		const order: string[] = []
		const ask = (name: string, deadlineMs: number, signal?: AbortSignal) =>
			pool.query(count, { target: 'replica', readYourWrites: true, deadlineMs, ...(signal && { signal }) }).then(
				() => order.push(`${name}: served`),
				(error: Error) => order.push(`${name}: ${error.name}`),
			)
		const stop = new AbortController()
		const patient = ask('patient', 4_000)
		await until(() => pool.holdfast.stats().endpoint.state === 'down', { what: 'the outage to be noticed' })
		const [hasty, stopped] = [ask('hasty', 300), ask('stopped', 4_000, stop.signal)]
		stop.abort()
		await Promise.all([patient, hasty, stopped])
		expect(order).toEqual(['stopped: AbortError', 'hasty: DeadlineError', 'patient: DeadlineError'])
	} finally {
		await at.primary.start()
	}
})

test('what cannot be meant is refused at the call', async () => {
	const pool = at.wrap()
	const plain = at.wrap({ hosts: undefined }, { host: '127.0.0.1', port: at.proxyOf(at.primary).port })
	const query = pool.query.bind(pool) as (...args: unknown[]) => Promise<unknown>
	await expect(query(where, { target: 'standby' })).rejects.toThrow("target must be one of 'primary', 'replica', got \"standby\"")
	await expect(query(where, { target: 'replica', maxLagMs: -1 })).rejects.toThrow(
		'maxLagMs must be a positive number of milliseconds, got -1',
	)
	await expect(query(where, { maxLagMs: 10 })).rejects.toThrow("maxLagMs and readYourWrites need target: 'replica'")
	await expect(query(where, { target: 'replica', lag: 1 })).rejects.toThrow('unknown option lag')
	await expect(query('INSERT INTO written VALUES (1)', { target: 'replica' })).rejects.toThrow('is for a single plain read')
	await expect(plain.query(where, { target: 'replica' })).rejects.toThrow("target: 'replica' needs a pool with hosts")
	expect(await at.rows()).toBe(0)
})
