/** Do commands, streams and the pool emit what they emit on the bare pool, and is nothing shown twice? */
import type { Pool, PoolConnection, PoolOptions } from 'mysql2'
import { describe, expect, test } from 'vitest'
import { flavours } from '../support/mysql.ts'
import { until } from '../support/until.ts'
import { calledBack, ground, plain, type Untyped } from './mysql2-side-by-side.ts'
import { seen } from './side-by-side.ts'

const options: PoolOptions = { connectionLimit: 2, multipleStatements: true }
const numbers = (upTo: number) =>
	`WITH RECURSIVE numbers AS (SELECT 1 AS n UNION ALL SELECT n + 1 FROM numbers WHERE n < ${upTo}) SELECT n, REPEAT('x', 200) AS filler FROM numbers`

/** What a command without a callback says until it ends. */
function said(pool: Pool, sql: unknown): Promise<unknown[]> {
	return new Promise((resolve) => {
		const events: unknown[] = []
		const command = (pool as unknown as Untyped).query(sql) as NodeJS.EventEmitter
		for (const name of ['fields', 'result']) command.on(name, (...given) => events.push({ name, given: given.map(plain) }))
		command.on('error', (error) => events.push({ name: 'error', error: seen(error) }))
		command.on('end', () => {
			events.push('end')
			setImmediate(resolve, events)
		})
	})
}

const queries: Record<string, unknown> = {
	rows: 'SELECT 1 AS a UNION ALL SELECT 2',
	'no row': 'SELECT 1 AS a FROM DUAL WHERE FALSE',
	'several statements': 'SELECT 1 AS a; DO 1; SELECT 2 AS b',
	'an insert': 'CREATE TEMPORARY TABLE seen (id INT); INSERT INTO seen VALUES (1), (2)',
	'rows as arrays': { sql: 'SELECT 1 AS a, 2 AS a', rowsAsArray: true },
	'an error': 'SELECT * FROM no_such_table',
	'an error behind rows': 'SELECT 1 AS a; SELECT * FROM no_such_table',
}

const streamed = (pool: Pool, sql: string): Promise<unknown> =>
	new Promise((resolve) => {
		const rows: unknown[] = []
		const stream = pool.query(sql).stream({ highWaterMark: 2 })
		const fields: unknown[] = []
		stream.on('fields', (given) => fields.push(plain(given)))
		stream.on('data', (row) => rows.push(plain(row)))
		stream.on('error', (error) => resolve({ rows, fields, error: seen(error) }))
		stream.on('close', () => setImmediate(resolve, { rows, fields }))
	})

describe.each(flavours)('%s', (flavour) => {
	const { both, wrapped, server } = lazily(ground(flavour))

	for (const [name, sql] of Object.entries(queries)) {
		test(`a command without a callback says of ${name} what it says on the bare pool`, async () => {
			const { bare, wrapped: ours } = await both((pool) => said(pool, sql), options)
			expect(ours).toEqual(bare)
		})
	}

	test('a command with a callback tells its listeners what it tells them on the bare pool', async () => {
		const { bare, wrapped: ours } = await both(async (pool) => {
			const outcomes: unknown[] = []
			for (const sql of ['SELECT 1 AS a', 'DO 1', 'SELECT * FROM no_such_table']) {
				const events: unknown[] = []
				await new Promise<void>((resolve) => {
					const command = pool.query(sql, () => setImmediate(resolve)) as unknown as NodeJS.EventEmitter
					for (const name of ['fields', 'result', 'end']) command.on(name, (...given) => events.push({ name, given: given.map(plain) }))
				})
				outcomes.push(events)
			}
			return outcomes
		}, options)
		expect(ours).toEqual(bare)
	})

	for (const sql of ['SELECT 1 AS a UNION ALL SELECT 2 UNION ALL SELECT 3', 'SELECT * FROM no_such_table', 'DO 1']) {
		test(`a stream gives of ${sql} what it gives on the bare pool`, async () => {
			const { bare, wrapped: ours } = await both((pool) => streamed(pool, sql), options)
			expect(ours).toEqual(bare)
		})
	}

	test('a stream that is destroyed early, or read slowly, gives its connection back', async () => {
		const pool = wrapped({ ...options, connectionLimit: 1 })
		const stream = pool.query(numbers(500)).stream({ highWaterMark: 1 })
		for await (const row of stream) if ((row as { n: number }).n === 3) break
		let slow = 0
		for await (const _row of pool.query(numbers(200)).stream({ highWaterMark: 1 })) {
			slow += 1
			if (slow % 50 === 0) await new Promise(setImmediate)
		}
		expect(slow).toBe(200)
		expect(await calledBack((done) => pool.query('SELECT 1 AS a', done))).toMatchObject({ error: null })
		expect(pool.holdfast.stats().discarded).toBe(0)
	})

	test('a stream whose connection dies before its first row is run again, unseen', async () => {
		const pool = wrapped({ ...options, connectionLimit: 1 })
		await pool.promise().query('DROP TABLE IF EXISTS held; CREATE TABLE held (id INT PRIMARY KEY)')
		const rows: unknown[] = []
		const fields: unknown[] = []
		const lock = await locked(server(), 'held')
		const stream = pool.query('SELECT COUNT(*) AS n FROM held').stream()
		stream.on('fields', (given) => fields.push(given))
		stream.on('data', (row) => rows.push({ ...row }))
		const over = new Promise((resolve, reject) => stream.on('end', resolve).on('error', reject))
		await server().killConnection(await lock.waiter())
		await lock.free()
		await over
		expect(rows).toEqual([{ n: 0 }])
		expect(fields).toHaveLength(1)
		expect(pool.holdfast.stats()).toMatchObject({ inDoubt: 0 })
	})

	test('a stream whose connection dies behind its first row ends with the error, and shows no row twice', async () => {
		const pool = wrapped({ ...options, connectionLimit: 1 })
		const rows: number[] = []
		const stream = pool.query(numbers(900)).stream({ highWaterMark: 1 })
		const error = await new Promise((resolve, reject) => {
			stream.on('data', (row: { n: number }) => {
				rows.push(row.n)
				if (rows.length > 1) return
				// The link itself: the server is done with its part long before.
				stream.pause()
				pool.once('release', () => {})
				linkOf(pool).destroy(Object.assign(new Error('read ECONNRESET'), { code: 'ECONNRESET' }))
			})
			stream.on('error', resolve)
			stream.on('end', () => reject(new Error('the stream ended as if it was whole')))
			stream.resume()
		})
		expect(error).toMatchObject({ code: 'ECONNRESET' })
		expect(rows).toEqual([...new Set(rows)])
		expect(pool.holdfast.stats()).toMatchObject({ attempts: 1 })
		expect(await calledBack((done) => pool.query('SELECT 1 AS a', done))).toMatchObject({ error: null })
	})

	test('the pool emits connection, acquire, enqueue and release as the bare pool does', async () => {
		const { bare, wrapped: ours } = await both(async (pool) => {
			const events: string[] = []
			const ids = new Map<unknown, number>()
			const idOf = (connection: unknown) => {
				if (!ids.has(connection)) ids.set(connection, ids.size + 1)
				return ids.get(connection)
			}
			for (const name of ['connection', 'acquire', 'release'])
				pool.on(name, (connection: unknown) => events.push(`${name} ${idOf(connection)}`))
			pool.on('enqueue', () => events.push('enqueue'))
			const borrow = () =>
				new Promise<PoolConnection>((resolve, reject) =>
					pool.getConnection((error, connection) => (error ? reject(error) : resolve(connection))),
				)
			const first = await borrow()
			first.release()
			first.release()
			const again = await borrow()
			const second = await borrow()
			const third = borrow()
			events.push('third is waiting')
			pool.releaseConnection(second)
			;(await third).release()
			again.destroy()
			const fresh = await borrow()
			fresh.release()
			events.push(String(fresh === first), String(second === (await third)))
			return events
		}, options)
		expect(ours).toEqual(bare)
	})

	test('what a listener of connection sends is there before anybody gets the connection, on each new one', async () => {
		const pool = wrapped({ ...options, connectionLimit: 1 })
		pool.on('connection', (connection) => connection.query('SET @who = 7'))
		const ask = async () =>
			plain((await pool.promise().query('SELECT @who AS who, CONNECTION_ID() AS id'))[0]) as [{ who: number; id: number }]
		const [before] = await ask()
		await server().killConnection(before.id)
		const [after] = await ask()
		expect([before.who, after.who]).toEqual([7, 7])
		expect(after.id).not.toBe(before.id)
	})
	test('a tracer that listens to the command after it was sent does not keep it from being run again, and hears its end once', async () => {
		const pool = wrapped({ connectionLimit: 1 })
		const heard: string[] = []
		pool.on('connection', (connection) => {
			const traced = connection as unknown as Untyped
			const { query } = traced
			// As OpenTelemetry's and others' do.
			traced.query = (...given) => {
				const command = query.apply(connection, given) as NodeJS.EventEmitter
				for (const name of ['error', 'result', 'end']) command.once(name, () => heard.push(name))
				return command
			}
		})
		const text = "SELECT 'traced' AS what, COUNT(*) AS n FROM (SELECT SLEEP(0.5) FROM information_schema.collations LIMIT 3) AS x"
		const answer = calledBack((done) => pool.query(text, done))
		const running = async () => (await server().connections()).find(({ info }) => info === text)
		await server().killConnection((await until(running, { what: 'it to run' })).id)
		expect(await answer).toMatchObject({ error: null, answer: [[{ what: 'traced', n: 3 }], expect.anything()] })
		expect(pool.holdfast.stats()).toMatchObject({ inDoubt: 0 })
		expect(Object.values(pool.holdfast.stats().retries)).toEqual([1])
		// Of the command that ran, and of the one that the caller holds.
		expect(heard.filter((name) => name !== 'end')).toEqual([])
		expect(heard.length).toBeLessThanOrEqual(2)
	})
})

/** The socket under the pool's only connection. */
function linkOf(pool: Pool): { destroy(error: Error): void } {
	const { _allConnections: all } = pool as unknown as { _allConnections: { get(at: number): { stream: { destroy(error: Error): void } } } }
	return all.get(0).stream
}

/** Lets a test name the server before the hook has made it. */
function lazily(of: ReturnType<typeof ground>) {
	return { both: of.both, wrapped: of.wrapped, server: () => of.server }
}

/** Locks the table until it is freed; `waiter` resolves with the connection that waits for it. */
async function locked(server: ReturnType<ReturnType<typeof lazily>['server']>, table: string) {
	const { default: mysql } = await import('mysql2/promise')
	const found = await server.query<{ db: string }>(`SELECT table_schema AS db FROM information_schema.tables WHERE table_name = '${table}'`)
	const connection = await mysql.createConnection(server.adminConfig(found.at(-1)?.db))
	await connection.query(`LOCK TABLES ${table} WRITE`)
	return {
		async waiter(): Promise<number> {
			const waiting = async () => (await server.connections()).find(({ info }) => info?.includes(`FROM ${table}`))
			return (await until(waiting, { what: 'somebody to wait for the lock' })).id
		},
		async free() {
			await connection.query('UNLOCK TABLES')
			await connection.end()
		},
	}
}
