/** Do the parts of mysql2 that the driver relies on still exist, with the meaning that it relies on? See drivers/mysql2/shape.ts. */
import { once } from 'node:events'
import { type AddressInfo, createServer } from 'node:net'
import mysql, { type PoolOptions } from 'mysql2'
import promised from 'mysql2/promise'
import { expect, test } from 'vitest'
import type { Command, Mysql2Cluster, Mysql2Connection, Mysql2Pool, Packet } from '../../drivers/mysql2/shape.ts'
import { until } from '../support/until.ts'
import { ground } from './mysql2-side-by-side.ts'

const setup = ground('mariadb')

async function withPool<T>(run: (pool: Mysql2Pool) => Promise<T>, options: PoolOptions = {}): Promise<T> {
	const pool = mysql.createPool({ ...setup.config(), connectionLimit: 2, ...options }) as unknown as Mysql2Pool
	try {
		return await run(pool)
	} finally {
		await new Promise((resolve) => pool.end(resolve))
	}
}

const borrow = (pool: Mysql2Pool) =>
	new Promise<Mysql2Connection>((resolve, reject) =>
		pool.getConnection((error, connection) => (connection === undefined ? reject(error) : resolve(connection))),
	)
const failure = (start: (done: (error: unknown) => void) => unknown) => new Promise<unknown>((resolve) => start(resolve))

test('the methods that are replaced belong to a class above the pool, and a namespace’s and a cluster’s to theirs', () =>
	withPool(async (pool) => {
		const names = ['getConnection', 'releaseConnection', 'query', 'execute', 'promise', 'end']
		for (const name of names) expect(Object.hasOwn(pool, name), name).toBe(false)
		const cluster = mysql.createPoolCluster() as unknown as Mysql2Cluster
		for (const name of ['add', 'of', 'end']) expect(Object.hasOwn(cluster, name), name).toBe(false)
		for (const name of ['getConnection', 'query', 'execute']) expect(Object.hasOwn(cluster.of(), name), name).toBe(false)
	}))

test('getConnection takes an idle connection out at once, and where it sees none opens one and counts it at once', () =>
	withPool(async (pool) => {
		const opening = borrow(pool)
		expect([pool._allConnections.length, pool._freeConnections.length]).toEqual([1, 0])
		const connection = await opening
		expect(pool._allConnections.get(0)).toBe(connection)
		connection.release()
		expect(pool._freeConnections.get(0)).toBe(connection)
		const again = borrow(pool)
		expect(pool._freeConnections.length).toBe(0)
		;(await again).release()
		const idle = pool._freeConnections
		const none = () => undefined
		pool._freeConnections = { length: 0, get: none, push: none, pop: none, shift: none }
		const second = borrow(pool)
		pool._freeConnections = idle
		expect(await second).not.toBe(connection)
		;(await second).release()
		expect([pool._allConnections.length, pool._freeConnections.length]).toEqual([2, 2])
	}))

test('release and the loss of a connection go through releaseConnection of the pool itself', () =>
	withPool(async (pool) => {
		const told: unknown[] = []
		const { releaseConnection } = pool
		pool.releaseConnection = (connection) => {
			told.push(connection._pool === null ? 'gone' : 'back')
			releaseConnection.call(pool, connection)
		}
		const connection = await borrow(pool)
		connection.release()
		;(await borrow(pool)).destroy()
		expect(told).toEqual(['back', 'gone'])
		expect(pool._allConnections.length).toBe(0)
	}))

test('a connection that comes back goes to who stands in the pool’s queue, and one that is gone sends him to getConnection', () =>
	withPool(
		async (pool) => {
			const connection = await borrow(pool)
			const served = new Promise((resolve) => pool._connectionQueue.push((_error, lent) => resolve(lent)))
			connection.release()
			expect(await served).toBe(connection)
			expect(pool._freeConnections.length).toBe(0)
			const asked = new Promise((resolve) => {
				pool.getConnection = (callback) => resolve(callback)
			})
			const waiting = () => {}
			pool._connectionQueue.push(waiting)
			connection.destroy()
			const bound = (await asked) as () => void
			expect(bound).toBe(waiting)
		},
		{ connectionLimit: 1 },
	))

test('query makes its command before it asks for a connection, and so does that of a namespace', () =>
	withPool(async (pool) => {
		const asked: unknown[] = []
		const standIn = { config: pool.config, getConnection: (done: unknown) => asked.push(done) } as unknown as Mysql2Pool
		const callback = () => {}
		const command = pool.query.call(standIn, 'SELECT ?', [1], callback)
		expect([asked.length, command.constructor.name, command.onResult, typeof command.stream]).toEqual([1, 'Query', callback, 'function'])
		expect(command.sql).toBe('SELECT ?')
		const cluster = mysql.createPoolCluster() as unknown as Mysql2Cluster
		expect(cluster.of().query.call(standIn as never, 'SELECT 1').constructor.name).toBe('Query')
		expect(asked).toHaveLength(2)
	}))

test('the texts of the pool’s own refusals and limits are those that the driver repeats', async () => {
	await withPool(
		async (pool) => {
			const held = await borrow(pool)
			expect(await failure((done) => pool.getConnection(done))).toMatchObject({ message: 'No connections available.' })
			held.release()
		},
		{ connectionLimit: 1, waitForConnections: false },
	)
	await withPool(
		async (pool) => {
			const held = await borrow(pool)
			const waiting = borrow(pool)
			expect(await failure((done) => pool.getConnection(done))).toMatchObject({ message: 'Queue limit reached.' })
			held.release()
			;(await waiting).release()
		},
		{ connectionLimit: 1, queueLimit: 1 },
	)
	const ended = mysql.createPool(setup.config()) as unknown as Mysql2Pool
	await new Promise((resolve) => ended.end(resolve))
	expect(ended._closed).toBe(true)
	expect(await failure((done) => ended.getConnection(done))).toMatchObject({ message: 'Pool is closed.' })
	const silent = createServer((socket) => socket.on('error', () => {}))
	await new Promise<void>((resolve) => silent.listen(0, '127.0.0.1', resolve))
	const slow = mysql.createConnection({ host: '127.0.0.1', port: (silent.address() as AddressInfo).port, connectTimeout: 20 })
	const [late] = await once(slow, 'error')
	silent.close()
	expect(late).toMatchObject({ message: 'connect ETIMEDOUT', code: 'ETIMEDOUT', errorno: 'ETIMEDOUT', syscall: 'connect' })
})

test('a connection says what runs on it and what waits, and the step that gets the next packet is one of its command', () =>
	withPool(async (pool) => {
		const connection = await borrow(pool)
		const steps: string[] = []
		const { handlePacket } = connection
		connection.handlePacket = (packet?: Packet) => {
			const command = connection._command as Command & Record<string, unknown>
			const names = ['resultsetHeader', 'infileOk', 'pingResponse', 'resetConnectionResponse'] as const
			if (packet) {
				const step = names.find((name) => command.next !== null && command.next === command[name])
				if (step) steps.push(`${step} ${packet.buffer[packet.offset]}`)
				expect(packet.end).toBeGreaterThan(packet.offset)
			}
			handlePacket.call(connection, packet)
		}
		expect([connection._command ?? undefined, connection._commands.length]).toEqual([undefined, 0])
		const queries = [failure((done) => connection.query('DO 1', undefined, done)), failure((done) => connection.execute('DO 1', [], done))]
		expect([connection._command?.constructor.name, connection._commands.length]).toEqual(['Query', 2])
		await Promise.all(queries)
		await failure((done) => connection.ping(done))
		await failure((done) => (connection as unknown as { reset(done: unknown): void }).reset(done))
		expect(steps).toEqual(['resultsetHeader 0', 'resultsetHeader 0', 'pingResponse 0', 'resetConnectionResponse 0'])
		expect([connection._command ?? undefined, connection._commands.length, connection._paused]).toEqual([undefined, 0, false])
		connection.release()
	}))

test('a callback of an error is told before the command has ended, and one of a success after', () =>
	withPool(async (pool) => {
		const connection = await borrow(pool)
		const busy: boolean[] = []
		await failure((done) =>
			connection.query('SELECT * FROM no_such_table', undefined, () => {
				busy.push(Boolean(connection._command))
				process.nextTick(() => {
					busy.push(Boolean(connection._command))
					done(undefined)
				})
			}),
		)
		await failure((done) =>
			connection.query('DO 1', undefined, () => {
				busy.push(Boolean(connection._command))
				done(undefined)
			}),
		)
		expect(busy).toEqual([true, false, false])
		connection.release()
	}))

test('destroying the stream fails what runs with that error; a command without a callback leaves that to the connection', () =>
	withPool(async (pool) => {
		const errors: unknown[] = []
		const [one, two] = [await borrow(pool), await borrow(pool)]
		const mine = new Error('mine')
		const answered = failure((done) => one.query('SELECT SLEEP(5)', undefined, done))
		one.stream.destroy(mine)
		expect(await answered).toBe(mine)
		expect([one._pool, one._fatalError, one.stream.destroyed]).toEqual([null, mine, true])
		const command = two.query('SELECT SLEEP(5)')
		command.on('error', () => errors.push('command'))
		two.on('error', (error) => errors.push(error))
		two.stream.destroy(mine)
		await until(() => errors.length > 0, { what: 'somebody to be told' })
		expect(errors).toEqual([mine])
	}))

test('destroy forgets what runs, marks the connection as closing, and takes it out of the pool at once', () =>
	withPool(async (pool) => {
		const connection = await borrow(pool)
		connection.destroy()
		expect([connection._pool, connection._closing, pool._allConnections.length]).toEqual([null, true, 0])
		expect(await failure((done) => connection.query('SELECT 1', undefined, done))).toMatchObject({
			message: "Can't add new command when connection is in closed state",
			fatal: true,
		})
		connection.stream.destroy()
	}))

test('the server’s status flags of OK and EOF packets stand where the driver reads them', () =>
	withPool(async (pool) => {
		const connection = await borrow(pool)
		const header = await new Promise((resolve) => connection.query('BEGIN', undefined, (_error, result) => resolve(result)))
		expect(header).toMatchObject({ serverStatus: expect.any(Number) })
		expect((header as { serverStatus: number }).serverStatus & 1).toBe(1)
		const { holdfast } = await import('holdfast/mysql2')
		const { sessionOf } = await import('../../drivers/mysql2/state.ts')
		connection.release()
		const wrapped = holdfast(pool as never, { commit: 'off' }) as unknown as Mysql2Pool
		const lent = await borrow(wrapped)
		const seen: unknown[] = []
		for (const sql of [
			'BEGIN',
			'SELECT 1',
			'ROLLBACK',
			'SET autocommit = 0',
			'SELECT COUNT(*) FROM information_schema.collations',
			'SET autocommit = 1',
		]) {
			await failure((done) => lent.query(sql, undefined, done))
			seen.push([sessionOf(lent).inTransaction, sessionOf(lent).autocommit])
		}
		expect(seen).toEqual([
			[true, true],
			[true, true],
			[false, true],
			[false, false],
			[expect.any(Boolean), false],
			[false, true],
		])
		lent.release()
	}))

test('a promise pool does all it does through the callback pool in it, and a promise cluster through its cluster', async () => {
	const pool = promised.createPool(setup.config()) as unknown as { pool: Mysql2Pool; query(sql: string): Promise<unknown> }
	const asked: unknown[] = []
	pool.pool.query = (sql) => {
		asked.push(sql)
		return undefined as never
	}
	void pool.query('SELECT 1')
	expect(asked).toEqual(['SELECT 1'])
	pool.pool.end()
	const cluster = promised.createPoolCluster() as unknown as { poolCluster: Mysql2Cluster; of(pattern: string): unknown }
	cluster.poolCluster.add('a', setup.config())
	const { _nodes, _namespaces, _canRetry } = cluster.poolCluster
	cluster.of('*')
	expect([Object.keys(_nodes), _nodes.a?.id, typeof _nodes.a?.pool.getConnection, _canRetry]).toEqual([['a'], 'a', 'function', true])
	const [namespace] = Object.values(_namespaces)
	expect([namespace?._pattern, namespace?._selector(['x'])]).toEqual(['*', 'x'])
	expect(cluster.poolCluster._findNodeIds('*')).toEqual(['a'])
	await new Promise((resolve) => cluster.poolCluster.end(resolve))
})
