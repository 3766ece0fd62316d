/** Do the parts of pg and pg-pool that the driver relies on still exist, with the meaning that it relies on? See drivers/pg/shape.ts. */
import { once } from 'node:events'
import pg from 'pg'
import Cursor from 'pg-cursor'
import QueryStream from 'pg-query-stream'
import { expect, test } from 'vitest'
import type { PgClient, PgPool, Submittable } from '../../drivers/pg/shape.ts'
import { until } from '../support/until.ts'
import { ground, type Untyped } from './side-by-side.ts'

const setup = ground()

async function withPool<T>(run: (pool: PgPool, of: pg.Pool) => Promise<T>, options: pg.PoolConfig = {}): Promise<T> {
	const pool = new pg.Pool(setup.config({ max: 2, ...options }))
	try {
		return await run(pool as unknown as PgPool, pool)
	} finally {
		await pool.end()
	}
}

const asClient = (client: unknown) => client as PgClient & Untyped

test('newClient opens a connection at once, counts it in _clients, and calls back with client and release', () =>
	withPool(async (pool) => {
		const opened = new Promise<PgClient>((resolve, reject) => {
			pool.newClient({ callback: (error, client) => (client === undefined ? reject(error) : resolve(client)) })
		})
		expect(pool._clients).toHaveLength(1)
		expect(pool.totalCount).toBe(1)
		const client = await opened
		expect(pool._clients[0]).toBe(client)
		client.release()
		expect(pool.idleCount).toBe(1)
	}))

test('connect and the queue open connections by calling newClient on the pool itself', () =>
	withPool(
		async (pool, of) => {
			const { newClient } = pool
			let calls = 0
			pool.newClient = (pending) => {
				calls += 1
				newClient.call(pool, pending)
			}
			const client = await of.connect()
			const waiting = of.connect()
			expect(calls).toBe(1)
			client.release(true)
			;(await waiting).release()
			expect(calls).toBe(2)
		},
		{ max: 1 },
	))

test('_pulseQueue hands an idle connection to the first of _pendingQueue before it returns', () =>
	withPool(async (pool, of) => {
		;(await of.connect()).release()
		let served: PgClient | undefined
		pool._pendingQueue.push({
			callback: (_error, client) => {
				served = client
			},
		})
		pool._pulseQueue?.()
		expect(served).toBe(pool._clients[0])
		expect([pool.idleCount, pool._pendingQueue.length]).toEqual([0, 0])
		served?.release()
		expect(pool.idleCount).toBe(1)
	}))

test('newClient, connect, query, end and waitingCount belong to one class below pg.Pool', () => {
	const bare = Object.getPrototypeOf(pg.Pool.prototype)
	for (const name of ['newClient', 'connect', 'query', 'end', 'waitingCount']) expect(Object.hasOwn(bare, name), name).toBe(true)
})

test('the pool tells of a release before it has the client back, and of a removal after', () =>
	withPool(async (pool, of) => {
		const told: unknown[] = []
		of.on('release', () => told.push(['release', pool.idleCount]))
		of.on('remove', () => told.push(['remove', pool.totalCount]))
		;(await of.connect()).release()
		const removed = once(of, 'remove')
		;(await of.connect()).release(true)
		await removed
		expect(told).toEqual([
			['release', 0],
			['release', 0],
			['remove', 0],
		])
	}))

test('a client says I, T or E as the server last said, is not ready while it works, and drains once it is ready with nothing queued', () =>
	withPool(async (_pool, of) => {
		const client = asClient(await of.connect())
		const facts = () => [
			client.getTransactionStatus?.(),
			client.readyForQuery,
			client._queryable,
			client._ending,
			client._queryQueue?.length,
		]
		expect(facts()).toEqual(['I', true, true, false, 0])
		const drained: unknown[] = []
		client.on('drain', () => drained.push(facts()))
		const first = client.query('begin')
		const second = client.query('select 1')
		expect(facts()).toEqual(['I', false, true, false, 1])
		expect(client._getActiveQuery?.()).toMatchObject({ text: 'begin' })
		await first
		expect(drained).toEqual([])
		await second
		expect(drained).toEqual([['T', true, true, false, 0]])
		const atError: unknown[] = []
		await new Promise<void>((resolve) => {
			client.query('select 1/0', undefined, () => {
				atError.push(facts(), client._getActiveQuery?.())
				resolve()
			})
		})
		// The error comes before the server is ready: the status is still the old one.
		expect(atError).toEqual([['T', false, true, false, 0], null])
		await until(() => drained.length === 2, { what: 'the server to be ready' })
		expect(drained[1]).toEqual(['E', true, true, false, 0])
		await client.query('rollback')
		client.release()
	}))

test('inside the callback of a success the client is ready although more is queued', () =>
	withPool(async (_pool, of) => {
		const client = asClient(await of.connect())
		const inside = new Promise((resolve) => {
			client.query('select 1', undefined, () => resolve([client.readyForQuery, client._queryQueue?.length]))
		})
		const last = client.query('select 2')
		expect(await inside).toEqual([true, 1])
		await last
		client.release()
	}))

test('in pipeline mode what was sent behind the active query is in _sentQueryQueue', () =>
	withPool(
		async (_pool, of) => {
			const client = asClient(await of.connect())
			const all = [client.query('select 1'), client.query('select 2'), client.query('select 3')]
			expect([client.readyForQuery, client._sentQueryQueue?.length, client._queryQueue?.length]).toEqual([false, 2, 0])
			await Promise.all(all)
			expect([client.readyForQuery, client._sentQueryQueue?.length]).toEqual([true, 0])
			client.release()
		},
		{ pipeline: true } as pg.PoolConfig,
	))

test('every ReadyForQuery of the connection carries the status, for versions without getTransactionStatus', () =>
	withPool(async (_pool, of) => {
		const client = asClient(await of.connect())
		const heard: unknown[] = []
		client.connection?.prependListener?.('readyForQuery', ({ status }) => heard.push(status))
		for (const sql of ['begin', 'select 1', 'rollback']) await client.query(sql)
		expect(heard).toEqual(['T', 'T', 'I'])
		client.release()
	}))

test('destroying the stream of a connection fails what runs with the error, ends the client, and makes it unqueryable', () =>
	withPool(async (_pool, of) => {
		const client = asClient(await of.connect())
		client.on('error', () => {})
		const end = new Promise((resolve) => client.once('end', resolve))
		const running = (client.query('select pg_sleep(5)') as Promise<unknown>).catch((error: unknown) => error)
		const cut = new Error('cut')
		client.connection?.stream.destroy(cut)
		expect(await running).toBe(cut)
		await end
		expect(client._queryable).toBe(false)
		client.release()
	}))

test('a cursor and a stream tell by state where they stand, and can be closed early', () =>
	withPool(async (_pool, of) => {
		const client = asClient(await of.connect())
		const cursor = new Cursor('select * from generate_series(1, 3) as a') as Cursor & Submittable
		expect([cursor.state, typeof cursor.read, typeof cursor.close]).toEqual(['initialized', 'function', 'function'])
		client.query(cursor)
		expect(cursor.state).toBe('submitted')
		await cursor.read(1)
		expect(['idle', 'busy']).toContain(cursor.state)
		await cursor.close()
		expect(cursor.state).toBe('done')
		const stream = new QueryStream('select * from generate_series(1, 3) as a') as QueryStream & Submittable
		expect([stream.cursor?.state, stream.cursor?.text]).toEqual(['initialized', 'select * from generate_series(1, 3) as a'])
		client.query(stream)
		stream.resume()
		await once(stream, 'end')
		expect(stream.cursor?.state).toBe('done')
		client.release()
	}))

test('a pg.Query has a text, no state and no read, and its callback is empty until it is given one', () => {
	const query = new pg.Query('select 1') as unknown as Submittable
	expect([query.text, query.state, query.read, 'callback' in query, query.callback]).toEqual([
		'select 1',
		undefined,
		undefined,
		true,
		undefined,
	])
	for (const name of ['submit', 'handleError', 'handleRowDescription', 'handleReadyForQuery'] as const)
		expect(typeof query[name]).toBe('function')
})

test('a client knows its host and port from options, connection string and environment without connecting', () => {
	const { Client } = new pg.Pool() as unknown as PgPool
	const { host, port } = new Client({ connectionString: 'postgres://u:p@db.example:6543/d' })
	expect([host, port]).toEqual(['db.example', 6543])
})

test('COMMIT of a failed transaction is answered by the tag ROLLBACK, and pg calls that a success', () =>
	withPool(async (_pool, of) => {
		const client = await of.connect()
		await client.query('begin')
		await client.query('select 1/0').catch(() => {})
		expect((await client.query('commit')).command).toBe('ROLLBACK')
		client.release()
	}))
