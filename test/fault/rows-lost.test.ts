/** A stream, a cursor or a query object loses its connection: begun anew before its first row, and never after it. */
import pg from 'pg'
import Cursor from 'pg-cursor'
import QueryStream from 'pg-query-stream'
import { expect, test } from 'vitest'
import { staged } from '../support/staged.ts'
import { type Stage, stage } from './stage.ts'

const at = staged(stage)

const series = 'SELECT generate_series(1, 6)::int AS n'

/** What a reader got to see, and how it ended. */
type Seen = { readonly rows: number[]; readonly end: unknown }

async function readStream(pool: ReturnType<Stage['wrap']>): Promise<Seen> {
	const rows: number[] = []
	const stream = new QueryStream(series, [], { batchSize: 2 })
	pool.query(stream)
	try {
		for await (const { n } of stream) rows.push(n)
		return { rows, end: 'complete' }
	} catch (error) {
		return { rows, end: error }
	}
}

async function readCursor(pool: ReturnType<Stage['wrap']>): Promise<Seen> {
	const rows: number[] = []
	const cursor = new Cursor<{ n: number }>(series)
	pool.query(cursor)
	try {
		for (let batch = await cursor.read(2); batch.length > 0; batch = await cursor.read(2)) rows.push(...batch.map(({ n }) => n))
		return { rows, end: 'complete' }
	} catch (error) {
		return { rows, end: error }
	}
}

async function readEvents(pool: ReturnType<Stage['wrap']>): Promise<Seen> {
	const rows: number[] = []
	const query = new pg.Query<{ n: number }>(series)
	query.on('row', ({ n }) => rows.push(n))
	// As with bare pg the promise of pool.query tells of the end.
	const ended = pool.query(query) as unknown as Promise<unknown>
	return ended.then(
		() => ({ rows, end: 'complete' }),
		(end) => ({ rows, end }),
	)
}

const readers = [
	['a stream', readStream, 'PortalSuspended', 1],
	['a cursor', readCursor, 'PortalSuspended', 1],
	['a query object', readEvents, 'CommandComplete', 0],
] as const

test.each(readers)(
	'%s that has shown rows is not begun anew: its reader gets the error, and no row twice',
	async (_what, read, type, skip) => {
		const pool = at.wrap()
		let seen = 0
		at.proxy.intercept({ from: 'server', match: (message) => message.type === type && seen++ >= skip, action: 'cut before' })
		const { rows, end } = await read(pool)
		expect(end).toBeInstanceOf(Error)
		expect(rows.length).toBeGreaterThan(0)
		expect(new Set(rows).size).toBe(rows.length)
		expect(pool.holdfast.stats().retries).toEqual({})
	},
)

test.each(readers)('%s that has shown nothing yet is begun anew, and its reader sees no error', async (_what, read) => {
	const pool = at.wrap()
	at.proxy.intercept({ from: 'server', match: ({ type }) => type === 'RowDescription', action: 'cut before' })
	expect(await read(pool)).toEqual({ rows: [1, 2, 3, 4, 5, 6], end: 'complete' })
	expect(pool.holdfast.stats().retries).toEqual({ connection_lost: 1 })
})
