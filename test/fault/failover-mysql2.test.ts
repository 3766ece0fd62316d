/** The source of a MySQL or MariaDB is replaced by its replica while a pool with `hosts` works: what do callers notice? */
import { commitLedger, createScheduler, InDoubtError, type PoolOptions } from 'holdfast'
import { type HoldfastPool, holdfast } from 'holdfast/mysql2'
import mysql, { type PoolOptions as MysqlPoolOptions, type Pool } from 'mysql2/promise'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { type AccidentMark, accidentMark } from '../support/leaks.ts'
import { flavours } from '../support/mysql.ts'
import { type MysqlPair, startMysqlPair } from '../support/mysql-replica.ts'
import { noRetries } from '../support/no-retries.ts'
import { until } from '../support/until.ts'
import { startHistory } from './history-load.ts'

type WrappedPool = HoldfastPool<Pool>

describe.each(flavours)('%s', (flavour) => {
	let pair: MysqlPair
	let accidents: AccidentMark
	let wrapped: Array<{ pool: WrappedPool; scheduler: ReturnType<typeof createScheduler> }> = []
	beforeEach(async () => {
		pair = await startMysqlPair(flavour)
		accidents = accidentMark()
		wrapped = []
	})
	afterEach(async () => {
		for (const { pool } of wrapped) await pool.end()
		for (const { scheduler } of wrapped) expect(scheduler.stats().waits).toBe(0)
		await until(async () => (await pair.replica.connections()).length === 0, { what: 'no connection to be left' })
		await accidents.assertNone()
		accidents.stop()
		await pair.dispose()
	})

	const hosts = () => [pair.source, pair.replica].map(({ host, port }) => ({ host, port }))
	const wrap = (options: PoolOptions = {}, config: MysqlPoolOptions = {}): WrappedPool => {
		const scheduler = createScheduler()
		const { user, database } = pair.source.config()
		const pool = holdfast(mysql.createPool({ user, database, connectionLimit: 6, ...config }), { hosts: hosts(), ...options, scheduler })
		wrapped.push({ pool, scheduler })
		return pool
	}
	const portOf = async (on: Pick<WrappedPool, 'query'>) =>
		((await on.query('SELECT @@port AS port')) as unknown as [[{ port: number }]])[0][0].port

	test('a switch-over under load: no error, nothing lost, nothing twice', async () => {
		const pool = wrap({ commit: commitLedger({ create: true }) })
		const load = await startHistory([pool], { ask: (sql) => pair.source.query(sql), seed: 3, workers: 8, exactlyOnce: true })
		await load.more(40)
		await pair.demote()
		await pair.caughtUp()
		await pair.promote()
		await load.more(40)
		await load.stop()
		expect(load.operations.filter(({ told }) => told !== 'ok').map(({ error }) => error)).toEqual([])
		expect(await load.anomalies((sql) => pair.replica.query(sql))).toEqual([])
		expect(await portOf(pool)).toBe(pair.replica.port)
		expect(pool.holdfast.stats().hosts).toMatchObject([{}, { role: 'primary', state: 'up' }])
	})

	test('kill -9 of the source and promotion: nothing acknowledged after it is lost, nothing is there twice, and doubts are told', async () => {
		await pair.source.query('CREATE TABLE written (id int)')
		await pair.caughtUp()
		const pool = wrap({ commit: commitLedger({ create: true }) })
		let lastId = 0
		let promoted = false
		let stopped = false
		const after: number[] = []
		const told: unknown[] = []
		const work = async (): Promise<void> => {
			while (!stopped) {
				lastId += 1
				const id = lastId
				const isAfter = promoted
				try {
					await pool.transaction((tx) => tx.query('INSERT INTO written VALUES (?)', [id]))
					if (isAfter) after.push(id)
				} catch (error) {
					told.push(error)
				}
			}
		}
		const workers = Array.from({ length: 8 }, work)
		await until(() => lastId > 60, { what: 'some writes' })
		await pair.source.kill()
		await until(() => pool.holdfast.stats().endpoint.state === 'down', { what: 'the source to be missed' })
		await pair.promote()
		promoted = true
		await until(() => after.length > 40, { what: 'writes on the new primary', timeoutMs: 20_000 })
		stopped = true
		await Promise.all(workers)
		const ids = (await pair.replica.query<{ id: number }>('SELECT id AS id FROM written')).map(({ id }) => id)
		expect(new Set(ids).size).toBe(ids.length)
		expect(after.filter((id) => !ids.includes(id))).toEqual([])
		// The ledger's rows of the source may be lost with it.
		for (const error of told) expect(error).toBeInstanceOf(InDoubtError)
	})

	test('reads go to the replica on request, no older than they may be; without one they go to the primary', async () => {
		const pool = wrap()
		await pool.query('CREATE TABLE written (id int)')
		await pair.caughtUp()
		const port = async (options: object) =>
			(
				(await pool.query({ sql: 'SELECT @@port AS port, (SELECT COUNT(*) FROM written) AS n', ...options })) as unknown as [
					[{ port: number; n: number }],
				]
			)[0][0]
		expect((await port({})).port).toBe(pair.source.port)
		// The first connection may take longer than a read waits for it.
		await until(async () => (await port({ target: 'replica' })).port === pair.replica.port, { what: 'the replica to be used' })
		await pool.query('INSERT INTO written VALUES (1)')
		expect((await port({ target: 'replica', readYourWrites: true })).n).toBe(1)
		expect((await port({ target: 'replica', maxLagMs: 5_000 })).port).toBe(pair.replica.port)

		await pair.stopApplying()
		await pool.query('INSERT INTO written VALUES (2)')
		expect(await port({ target: 'replica' })).toEqual({ port: pair.replica.port, n: 1 })
		expect(await port({ target: 'replica', readYourWrites: true })).toEqual({ port: pair.source.port, n: 2 })
		expect(await port({ target: 'replica', maxLagMs: 1 })).toEqual({ port: pair.source.port, n: 2 })
		await pair.startApplying()
		await pair.caughtUp()
		expect(await port({ target: 'replica', readYourWrites: true })).toEqual({ port: pair.replica.port, n: 2 })

		await expect(pool.query({ sql: 'INSERT INTO written VALUES (3)', target: 'replica' } as never)).rejects.toThrow(
			"target: 'replica' is for a single plain read",
		)
		await expect(pool.query({ sql: 'SELECT 1', maxLagMs: 5 } as never)).rejects.toThrow("need target: 'replica'")
		await expect(pool.query({ sql: 'SELECT 1', target: 'replica', maxLagMs: -5 } as never)).rejects.toThrow(
			'maxLagMs must be a positive number',
		)
	})

	test('a read that has little time, or is stopped, does not wait for one that has much, although they share the question to the primary', async () => {
		const pool = wrap()
		const read = (options: object) => pool.query({ sql: 'SELECT 1', target: 'replica', readYourWrites: true, ...options })
		await read({})
		await pair.source.kill()
		const order: string[] = []
		const ask = (name: string, options: object) =>
			read(options).then(
				() => order.push(`${name}: served`),
				(error: Error) => order.push(`${name}: ${error.name}`),
			)
		const stop = new AbortController()
		const patient = ask('patient', { deadlineMs: 4_000 })
		await until(() => pool.holdfast.stats().endpoint.state === 'down', { what: 'the outage to be noticed' })
		const [hasty, stopped] = [ask('hasty', { deadlineMs: 300 }), ask('stopped', { deadlineMs: 4_000, signal: stop.signal })]
		stop.abort()
		await Promise.all([patient, hasty, stopped])
		expect(order).toEqual(['stopped: AbortError', 'hasty: DeadlineError', 'patient: DeadlineError'])
	})

	test("target 'prefer-replica': reads and read-only transactions on the replica, writes on the primary", async () => {
		const pool = wrap({ target: 'prefer-replica' })
		expect(await portOf(pool)).toBe(pair.replica.port)
		await pool.query('CREATE TABLE written (id int)')
		await pool.transaction(async (tx) => tx.query('INSERT INTO written VALUES (1)'))
		await pair.caughtUp()
		expect(await pool.transaction((tx) => portOf(tx as never), { readOnly: true })).toBe(pair.replica.port)
		expect(await pool.query('SELECT COUNT(*) AS n FROM written')).toMatchObject([[{ n: 1 }], {}])
		// Who borrows a connection and writes on it is told by the server, and nobody else notices.
		const borrowed = await pool.getConnection()
		await expect(borrowed.query('INSERT INTO written VALUES (2)')).rejects.toMatchObject({ errno: 1290 })
		borrowed.release()
		expect(await portOf(pool)).toBe(pair.replica.port)
		expect(pool.holdfast.stats()).toMatchObject({ retries: noRetries, outages: 0 })
	})
})

test('a cluster has its own nodes, and wrong hosts are refused by name', () => {
	const cluster = mysql.createPoolCluster()
	expect(() => holdfast(cluster, { hosts: ['a'] })).toThrow('a cluster has its own nodes')
	const pool = mysql.createPool({})
	expect(() => holdfast(pool, { hosts: [] })).toThrow('hosts must be an array of one or more')
	expect(() => holdfast(pool, { target: 'primary' })).toThrow('target needs hosts')
})
