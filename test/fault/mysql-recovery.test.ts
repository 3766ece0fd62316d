/** MySQL or MariaDB dies, falls silent, turns read-only or loses an answer: what do the callers of the pool get? */
import { Readable } from 'node:stream'
import { createScheduler, DeadlineError, InDoubtError, OverloadError, retryReport } from 'holdfast'
import type { RowDataPacket } from 'mysql2'
import { afterEach, describe, expect, test } from 'vitest'
import { flavours } from '../support/mysql.ts'
import { noRetries } from '../support/no-retries.ts'
import type { Intercept, InterceptRule } from '../support/proxy-rules.ts'
import { until } from '../support/until.ts'
import { startLoad } from './load.ts'
import type { WrappedPool } from './mysql-stage.ts'
import { onMysqlStage } from './on-stage.ts'

describe.each(flavours)('%s', (flavour) => {
	const at = onMysqlStage(flavour)
	const rules: Intercept[] = []
	const intercept = (rule: InterceptRule) => {
		const made = at.proxy.intercept(rule)
		rules.push(made)
		return made
	}
	afterEach(async () => {
		// Whatever a test that failed has left: the next one begins with a server and a proxy that are as they were.
		await at.ask('SET GLOBAL read_only = 0; SET GLOBAL local_infile = 0; DROP TABLE IF EXISTS held')
		for (const rule of rules.splice(0)) rule.remove()
	})

	/** Of the next statement that begins with this word. */
	const loseReply = (word: string) => intercept({ from: 'server', match: ({ tag }) => tag === word, action: 'cut before', how: 'reset' })
	const run = (pool: WrappedPool, method: 'query' | 'execute', sql: string, values: number[] = []) =>
		method === 'query' ? pool.query(sql, values) : pool.execute(sql, values)
	const first = async <T>(call: Promise<unknown>) => ((await call) as [T[]])[0][0] as T
	const idOf = async (on: Pick<WrappedPool, 'query'>) =>
		(await first<{ id: number }>(on.query<RowDataPacket[]>('SELECT CONNECTION_ID() AS id'))).id

	const sizeOf = (pool: WrappedPool) => (pool.pool as unknown as { _allConnections: { length: number } })._allConnections.length

	test('1,000 callers on 3 pools wait out an outage with at most one connection attempt in flight, and all are served', async () => {
		const scheduler = createScheduler()
		const pools = [1, 2, 3].map(() => at.wrap({ scheduler }))
		await Promise.all(pools.map((pool) => pool.query('SELECT 1')))
		await at.proxy.rejectConnections()
		at.proxy.resetAll()
		at.proxy.resetCounters()
		const calls = Array.from({ length: 1_000 }, (_, i) => first<{ i: number }>((pools[i % 3] as WrappedPool).query(`SELECT ${i} AS i`)))
		await until(() => at.proxy.attempts >= 6, { what: 'six probes' })
		expect(at.proxy.maxInFlightAttempts).toBe(1)
		expect(pools.map((pool) => pool.holdfast.stats().endpoint.state)).toEqual(['down', 'down', 'down'])
		expect(pools.reduce((sum, pool) => sum + pool.holdfast.stats().waiting, 0)).toBe(1_000)
		await at.proxy.accept()
		expect((await Promise.all(calls)).map(({ i }) => i)).toEqual(Array.from({ length: 1_000 }, (_, i) => i))
		expect(pools[0]?.holdfast.stats()).toMatchObject({ outages: 1, endpoint: { state: 'up' } })
	})

	test('a server that does not answer is asked by one connection attempt at a time, however many pools wait', async () => {
		const scheduler = createScheduler({ probeTimeoutMs: 300 })
		const pools = [1, 2, 3].map(() => at.wrap({ scheduler }))
		await Promise.all(pools.map((pool) => pool.query('SELECT 1')))
		await at.proxy.hangConnections()
		at.proxy.resetAll()
		at.proxy.resetCounters()
		const calls = Array.from({ length: 90 }, (_, i) => first<{ i: number }>((pools[i % 3] as WrappedPool).query(`SELECT ${i} AS i`)))
		await until(() => at.proxy.attempts >= 3, { what: 'three probes' })
		expect(at.proxy.maxInFlightAttempts).toBe(1)
		await at.proxy.accept()
		expect((await Promise.all(calls)).map(({ i }) => i)).toEqual(Array.from({ length: 90 }, (_, i) => i))
		expect(pools[0]?.holdfast.stats()).toMatchObject({ outages: 1, endpoint: { state: 'up' } })
	})

	test('the time limit of an attempt ends with the attempt: nothing is left that could cut the next one', async () => {
		const scheduler = createScheduler()
		const pool = at.wrap({ scheduler, attemptTimeoutMs: 60_000 }, { connectionLimit: 1 })
		for (const sql of ['SELECT 1', 'SELECT nonsense']) {
			await pool.query(sql).catch(() => {})
			await pool.execute(sql).catch(() => {})
			await pool.transaction((tx) => tx.query(sql)).catch(() => {})
			expect(scheduler.stats().waits).toBe(0)
		}
		expect(pool.holdfast.stats().attempts).toBe(6)
	})

	test('waits end: by the deadline with the endpoint’s last error, by maxWaiting at once, by an abort with its reason', async () => {
		at.proxy.refuse()
		const pool = at.wrap({ deadlineMs: 300, maxWaiting: 2 })
		const stop = new AbortController()
		const parked = [pool.query('SELECT 1'), pool.execute({ sql: 'SELECT 1', signal: stop.signal }), pool.getConnection()].map((call) =>
			call.catch((error: unknown) => error),
		)
		expect(await parked[2]).toBeInstanceOf(OverloadError)
		stop.abort(new Error('changed my mind'))
		expect(await parked[1]).toMatchObject({ message: 'changed my mind' })
		const late = await parked[0]
		expect(late).toBeInstanceOf(DeadlineError)
		expect((late as Error).cause).toMatchObject({ code: 'ECONNREFUSED' })
		expect(pool.holdfast.stats().waiting).toBe(0)
	})

	test.each(['kill', 'fast'] as const)('workers with reads and idempotent writes meet no error over two restarts (%s)', async (how) => {
		const pool = at.wrap({}, { host: at.server.host, port: at.server.port })
		const reads = () => pool.query('SELECT COUNT(*) FROM written')
		const writes = (id: number) => pool.execute({ sql: 'INSERT INTO written VALUES (?)', idempotent: true }, [id])
		const load = startLoad([reads, writes], 30)
		for (let round = 0; round < 2; round++) {
			await load.more()
			await at.server.restart(how)
		}
		await load.more()
		await load.stop()
		expect(load.errors).toEqual([])
		expect(pool.holdfast.stats()).toMatchObject({ inDoubt: 0, waiting: 0, endpoint: { state: 'up' } })
	})

	test.each(['query', 'execute'] as const)('%s: a read whose answer is lost is run again, and nobody notices', async (method) => {
		const pool = at.wrap()
		const lost = loseReply('SELECT')
		expect(await first(run(pool, method, 'SELECT 42 AS answer'))).toEqual({ answer: 42 })
		expect(lost.hits).toBe(1)
		expect(pool.holdfast.stats()).toMatchObject({ attempts: 2, retries: { connection_lost: 1 }, inDoubt: 0 })
	})

	test.each(['query', 'execute'] as const)('%s: a write whose answer is lost is in doubt and never run twice', async (method) => {
		const pool = at.wrap()
		const lost = loseReply('INSERT')
		const error = await run(pool, method, 'INSERT INTO written VALUES (?)', [1_234_567]).catch((reason: unknown) => reason)
		expect(lost.hits).toBe(1)
		expect(error).toBeInstanceOf(InDoubtError)
		expect(error).toMatchObject({ code: 'HOLDFAST_IN_DOUBT', outcome: 'unknown', phase: 'statement', attempts: 1 })
		expect((error as Error).cause).toMatchObject({ code: expect.stringMatching(/ECONNRESET|PROTOCOL_CONNECTION_LOST/) })
		expect(String(error)).not.toContain('1234567')
		expect(retryReport(error)).toMatchObject({ attempts: 1, faults: [{ kind: 'connection_lost', outcome: 'unknown' }] })
		expect(await at.rows()).toBe(1)
		expect(pool.holdfast.stats()).toMatchObject({ attempts: 1, inDoubt: 1, resolved: { unresolved: 1 } })
	})

	test.each(['query', 'execute'] as const)(
		'%s: a read that is run again sends what the call said, whatever became of the array of values since',
		async (method) => {
			const pool = at.wrap()
			await pool.query('SELECT 0')
			const lost = loseReply('SELECT')
			const values = [1]
			const answer = run(pool, method, 'SELECT ? AS n', values)
			values[0] = 2
			expect(await first(answer)).toEqual({ n: 1 })
			expect(lost.hits).toBe(1)
		},
	)

	test('a write declared idempotent is run again; an undeclared read is not, with readsAreSafe: false', async () => {
		const pool = at.wrap()
		loseReply('INSERT')
		await pool.query({ sql: 'INSERT INTO written VALUES (1)', idempotent: true })
		expect(await at.rows()).toBe(2)
		const wary = at.wrap({ readsAreSafe: false })
		loseReply('SELECT')
		await expect(wary.query('SELECT 42')).rejects.toBeInstanceOf(InDoubtError)
	})

	test.each([
		"SELECT GET_LOCK('mine', 1)",
		'SELECT id FROM written FOR UPDATE',
		'SELECT @n := 1',
		'SELECT 1 INTO @n',
		'SELECT LAST_INSERT_ID()',
	])('%s is more than a read: in doubt when its answer is lost', async (sql) => {
		const pool = at.wrap()
		loseReply('SELECT')
		await expect(pool.query(sql)).rejects.toBeInstanceOf(InDoubtError)
	})

	test('LOAD DATA is run again with a new stream, and says so where it is given the one that was read', async () => {
		await at.ask('SET GLOBAL local_infile = 1')
		const pool = at.wrap({}, { connectionLimit: 1 })
		const load = { sql: "LOAD DATA LOCAL INFILE 'f' INTO TABLE written", idempotent: true }
		const file = () => Readable.from([Buffer.from('1\n2\n')])
		const loseLoad = () => intercept({ from: 'server', match: ({ tag }) => tag === 'LOAD', action: 'cut before' })
		loseLoad()
		await pool.query({ ...load, infileStreamFactory: file })
		const before = await at.rows()
		loseLoad()
		const once = file()
		await expect(pool.query({ ...load, infileStreamFactory: () => once })).rejects.toThrow('let it make a new one each time')
		expect([before, await at.rows()]).toEqual([4, 6])
	})

	test('of several statements the first is committed when the second fails: the whole is not rerun, and is in doubt when lost', async () => {
		const pool = at.wrap({}, { multipleStatements: true, connectionLimit: 1 })
		await pool.query('SET SESSION innodb_lock_wait_timeout = 1')
		await at.ask('CREATE TABLE IF NOT EXISTS held (id INT PRIMARY KEY) ENGINE = InnoDB; REPLACE INTO held VALUES (1)')
		const other = at.wrap()
		const blocker = await other.getConnection()
		await blocker.query('BEGIN')
		await blocker.query('SELECT * FROM held FOR UPDATE')
		const error = await pool.query('INSERT INTO written VALUES (1); UPDATE held SET id = 2').catch((reason: unknown) => reason)
		expect(error).toMatchObject({ code: 'ER_LOCK_WAIT_TIMEOUT' })
		await blocker.query('ROLLBACK')
		blocker.release()
		expect(await at.rows()).toBe(1)
		loseReply('INSERT')
		await expect(pool.query('INSERT INTO written VALUES (2); DO 1')).rejects.toBeInstanceOf(InDoubtError)
	})

	test('borrowers get no connection of before an outage, dead or silent, and no error', async () => {
		const pool = at.wrap({ scheduler: createScheduler({ probeTimeoutMs: 300 }) }, { connectionLimit: 3 })
		const lent = await Promise.all([pool.getConnection(), pool.getConnection(), pool.getConnection()])
		const old = await Promise.all(lent.map(idOf))
		for (const connection of lent) connection.release()
		// Dead: the server went and came back.
		await at.server.restart('kill')
		const dead = await Promise.all([pool.getConnection(), pool.getConnection()])
		for (const connection of dead) expect(await first(connection.query('SELECT 1 AS a'))).toEqual({ a: 1 })
		// Silent: the link of those is swallowed, new ones work; one loss makes the others doubtful.
		for (const connection of dead) connection.release()
		const [victim] = await at.server.connections()
		await at.server.killConnection(victim?.id as number)
		const again = await Promise.all([pool.getConnection(), pool.getConnection(), pool.getConnection()])
		for (const connection of again) expect(old).not.toContain(await idOf(connection))
		for (const connection of again) connection.release()
	})

	test('after a failover a borrower is not given a connection to a server that takes no writes', async () => {
		const pool = at.wrap({}, { connectionLimit: 3 })
		await pool.query('INSERT INTO written VALUES (1)')
		const lent = await Promise.all([pool.getConnection(), pool.getConnection(), pool.getConnection()])
		for (const connection of lent) connection.release()
		const before = (await at.server.connections()).map(({ id }) => id)
		expect(before.length).toBeGreaterThanOrEqual(3)
		await at.server.applySettings({ read_only: 1 })
		const write = pool.query('INSERT INTO written VALUES (2)')
		await until(() => (pool.holdfast.stats().retries.read_only ?? 0) >= 1, { what: 'the first refusal' })
		await at.server.applySettings({ read_only: 0 })
		await write
		expect(await at.rows()).toBe(2)
		// What was made before is asked; it takes writes again, so it may stay. The one that refused has gone.
		expect(pool.holdfast.stats()).toMatchObject({ inDoubt: 0, endpoint: { state: 'up' } })
		await at.server.applySettings({ read_only: 1 })
		const [victim] = await at.server.connections()
		await at.server.killConnection(victim?.id as number)
		const asking = pool.getConnection()
		await until(() => pool.holdfast.stats().endpoint.lastFault?.kind === 'read_only' && pool.holdfast.stats().endpoint.state === 'down', {
			what: 'the server to be found read-only',
		})
		await at.server.applySettings({ read_only: 0 })
		const asked = await asking
		expect(before).not.toContain(await idOf(asked))
		asked.release()
	})

	test('a pool that gets its numbers as texts keeps the connections that take writes', async () => {
		const pool = at.wrap({}, { connectionLimit: 3, supportBigNumbers: true, bigNumberStrings: true })
		await pool.query('INSERT INTO written VALUES (1)')
		const lent = await Promise.all([pool.getConnection(), pool.getConnection(), pool.getConnection()])
		for (const connection of lent) connection.release()
		await at.server.killConnection(lent[0]?.threadId as number)
		await until(() => sizeOf(pool) === 2, { what: 'the loss to be noticed' })
		const again = await Promise.all([pool.getConnection(), pool.getConnection(), pool.getConnection()])
		const kept = new Set(again.map(({ threadId }) => threadId))
		expect(lent.map(({ threadId }) => kept.has(threadId))).toEqual([false, true, true])
		for (const connection of again) connection.release()
	})

	test('a server that falls silent while a connection is cleared for the next caller costs that connection, and not its place', async () => {
		const pool = at.wrap({ scheduler: createScheduler({ probeTimeoutMs: 200 }) }, { connectionLimit: 1 })
		await pool.query('SELECT 1')
		const silent = intercept({ from: 'client', match: ({ type }) => type === 'COM_PING', action: 'black hole' })
		await expect(pool.query('DROP TABLE no_such_table')).rejects.toMatchObject({ errno: 1051 })
		expect(await first(pool.query('SELECT 42 AS answer'))).toEqual({ answer: 42 })
		expect(silent.hits).toBe(1)
		// What was swallowed on this link was its end as well.
		at.proxy.resetAll()
	})

	test('a server that falls silent at the ROLLBACK does not keep the error of the function from its caller', async () => {
		const pool = at.wrap({ scheduler: createScheduler({ probeTimeoutMs: 200 }) }, { connectionLimit: 1 })
		const silent = intercept({ from: 'client', match: ({ text }) => text === 'ROLLBACK', action: 'black hole' })
		const mine = new Error('mine')
		const failing = pool.transaction(async (tx) => {
			await tx.query('INSERT INTO written VALUES (1)')
			throw mine
		})
		await expect(failing).rejects.toBe(mine)
		expect(silent.hits).toBe(1)
		at.proxy.resetAll()
		expect(await first(pool.query('SELECT 42 AS answer'))).toEqual({ answer: 42 })
		expect(await at.rows()).toBe(0)
	})

	test('a borrower that meets a read-only server leaves a connection that nobody gets', async () => {
		const pool = at.wrap({}, { connectionLimit: 1 })
		const borrowed = await pool.getConnection()
		const id = await idOf(borrowed)
		// With what he holds in his session he is not moved.
		await borrowed.query('SET @held = 1')
		await at.server.applySettings({ read_only: 1 })
		await expect(borrowed.query('INSERT INTO written VALUES (1)')).rejects.toMatchObject({ errno: 1290 })
		await at.server.applySettings({ read_only: 0 })
		borrowed.release()
		expect(await idOf(pool)).not.toBe(id)
	})

	test('KILL QUERY reaches the caller as it is, and the connection stays; after KILL CONNECTION the statement is run again', async () => {
		const pool = at.wrap({}, { connectionLimit: 1 })
		const id = await idOf(pool)
		const running = async (sql: string) => {
			const listed = async () => (await at.server.connections()).find(({ info }) => info === sql)
			return (await until(listed, { what: `${sql} to run` })).id
		}
		// SLEEP itself answers 1 where it is interrupted, on both servers.
		const long =
			'SELECT COUNT(*) AS n FROM information_schema.collations a, information_schema.collations b, information_schema.collations c'
		const interrupted = pool.query(long).catch((error: unknown) => error)
		await at.ask(`KILL QUERY ${await running(long)}`)
		expect(await interrupted).toMatchObject({ errno: 1317 })
		expect(await idOf(pool)).toBe(id)
		expect(pool.holdfast.stats()).toMatchObject({ retries: noRetries, endpoint: { outages: 0 } })
		const slept = pool.query('SELECT COUNT(*) AS n FROM (SELECT SLEEP(0.5) FROM information_schema.collations LIMIT 3) AS x')
		const killed = slept.catch((error: unknown) => error)
		const victim = await until(async () => (await at.server.connections()).find(({ info }) => info?.includes('SLEEP(0.5)')), {
			what: 'it to run',
		})
		await at.ask(`KILL CONNECTION ${victim.id}`)
		expect(await killed).toMatchObject([[{ n: 3 }], {}])
		expect(await idOf(pool)).not.toBe(id)
		expect(pool.holdfast.stats()).toMatchObject({ inDoubt: 0, endpoint: { outages: 0 } })
		expect(Object.values(pool.holdfast.stats().retries)).toEqual([1])
	})

	test('a server that falls silent costs the time limit of the attempt, and a released connection is given up', async () => {
		const scheduler = createScheduler({ probeTimeoutMs: 200 })
		const pool = at.wrap({ scheduler, attemptTimeoutMs: 300 }, { connectionLimit: 2 })
		await pool.query('SELECT 1')
		intercept({ from: 'server', match: ({ tag }) => tag === 'SELECT', action: 'black hole' })
		expect(await first(pool.query('SELECT 42 AS answer'))).toEqual({ answer: 42 })
		expect(pool.holdfast.stats()).toMatchObject({ retries: { attempt_timeout: 1 } })
	})
})
