/** Do query objects, cursors and streams run on a wrapped pool as on a bare one, and give their connection back? */
import { once } from 'node:events'
import type { Readable } from 'node:stream'
import { pipeline } from 'node:stream/promises'
import pg from 'pg'
import Cursor from 'pg-cursor'
import QueryStream from 'pg-query-stream'
import { expect, test } from 'vitest'
import { until } from '../support/until.ts'
import { ending, ground, seen, shape } from './side-by-side.ts'

const setup = ground()
const { both } = setup
type Query = (query: unknown, callback?: unknown) => unknown
const ask = (on: pg.Pool | pg.PoolClient) => on.query.bind(on) as Query

async function collect(stream: Readable): Promise<unknown[]> {
	const rows: unknown[] = []
	for await (const row of stream) rows.push(row)
	return rows
}

test('a pg.Query given to the pool resolves with its result and emits its rows', async () => {
	const { bare, wrapped } = await both(async (pool) => {
		const query = new pg.Query('select * from generate_series(1, 3) as a')
		const rows: unknown[] = []
		query.on('row', (row) => rows.push(row))
		const end = once(query, 'end')
		const result = await ending(() => ask(pool)(query))
		return { result, rows, end: shape((await end)[0]), idle: pool.idleCount }
	})
	expect(wrapped).toEqual(bare)
})

test('a pg.Query that fails rejects with the error', async () => {
	const { bare, wrapped } = await both((pool) => ending(() => ask(pool)(new pg.Query('select 1/0'))))
	expect(wrapped).toEqual(bare)
})

test('a pg.Query with a callback of its own is answered by it, and its connection comes back', async () => {
	const pool = setup.wrapped()
	const answer = await new Promise((resolve) => {
		ask(pool)(new pg.Query('select 1 as a', (error: unknown, result: unknown) => resolve([error, shape(result)])))
	})
	expect(answer).toMatchObject([null, { rows: [{ a: 1 }] }])
	await until(() => pool.idleCount === pool.totalCount, { what: 'the connection to come back' })
})

test('a stream given to the pool yields all rows in order and gives its connection back', async () => {
	const { bare, wrapped } = await both(async (pool) => {
		const stream = new QueryStream('select * from generate_series(1, 250) as a', [], { highWaterMark: 100 })
		const returned = ask(pool)(stream)
		const rows = await collect(stream)
		await returned
		return { rows: rows.length, last: rows.at(-1), idle: pool.idleCount, total: pool.totalCount }
	})
	expect(wrapped).toEqual(bare)
})

test('a stream on the pool whose statement fails tells its reader the error of pg, and the connection stays healthy', async () => {
	const pool = setup.wrapped({ max: 1 })
	const before = (await pool.query('select pg_backend_pid() as pid')).rows
	const stream = new QueryStream('select 1/0 as a')
	ask(pool)(stream)
	const error = await collect(stream).catch((thrown) => thrown)
	expect(seen(error)).toMatchObject({ class: 'DatabaseError', code: '22012' })
	expect((await pool.query('select pg_backend_pid() as pid')).rows).toEqual(before)
})

test('a stream that is destroyed half read gives its connection back', async () => {
	const pool = setup.wrapped({ max: 1 })
	const stream = new QueryStream('select * from generate_series(1, 100000) as a')
	ask(pool)(stream)
	for await (const row of stream) if ((row as { a: number }).a === 5) break
	expect((await pool.query('select 1 as a')).rows).toEqual([{ a: 1 }])
	expect(pool.totalCount).toBe(1)
})

test('a cursor given to the pool is read in batches, and its connection comes back when it is closed', async () => {
	const pool = setup.wrapped({ max: 1 })
	const cursor = new Cursor('select * from generate_series(1, 10) as a')
	ask(pool)(cursor)
	expect(await cursor.read(4)).toHaveLength(4)
	expect(await cursor.read(4)).toHaveLength(4)
	await cursor.close()
	expect((await pool.query('select 1 as a')).rows).toEqual([{ a: 1 }])
})

test('a cursor read to its end gives its connection back by itself', async () => {
	const pool = setup.wrapped({ max: 1 })
	const cursor = new Cursor('select * from generate_series(1, 3) as a')
	ask(pool)(cursor)
	expect(await cursor.read(10)).toHaveLength(3)
	expect(await cursor.read(10)).toHaveLength(0)
	expect((await pool.query('select 1 as a')).rows).toEqual([{ a: 1 }])
})

test('a cursor on the pool whose statement fails rejects its read with the error of pg', async () => {
	const pool = setup.wrapped({ max: 1 })
	const cursor = new Cursor('select * from no_such_table')
	ask(pool)(cursor)
	expect(seen(await cursor.read(1).catch((thrown: unknown) => thrown))).toMatchObject({ code: '42P01' })
	expect((await pool.query('select 1 as a')).rows).toEqual([{ a: 1 }])
})

test('streams and cursors on a borrowed client are answered as on a bare one', async () => {
	const { bare, wrapped } = await both(async (pool) => {
		const client = await pool.connect()
		const stream = client.query(new QueryStream('select * from generate_series(1, 150) as a'))
		const rows = await collect(stream)
		const cursor = client.query(new Cursor('select * from generate_series(1, 5) as a'))
		const batches = [await cursor.read(3), await cursor.read(3), await cursor.read(3)]
		const query = client.query(new pg.Query('select 1 as a'))
		const end = shape((await once(query, 'end'))[0])
		client.release()
		return { rows: rows.length, batches, end, idle: pool.idleCount, same: query instanceof pg.Query }
	})
	expect(wrapped).toEqual(bare)
})

test('a stream can be piped on from a borrowed client and released at its end', async () => {
	const { bare, wrapped } = await both(async (pool) => {
		const client = await pool.connect()
		const stream = client.query(new QueryStream('select * from generate_series(1, 1000) as a'))
		let sum = 0
		await pipeline(stream, async (rows) => {
			for await (const row of rows) sum += row.a
		})
		client.release()
		return { sum, idle: pool.idleCount }
	})
	expect(wrapped).toEqual(bare)
})
