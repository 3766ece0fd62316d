/** Does a transaction begin with its first statement, in one round trip, and never run that statement outside? */
import { commitLedger } from 'holdfast'
import { type HoldfastPool, holdfast } from 'holdfast/pg'
import pg from 'pg'
import Cursor from 'pg-cursor'
import { afterAll, beforeAll, beforeEach, expect, test } from 'vitest'
import { Opening } from '../../drivers/pg/opening.ts'
import type { PgClient } from '../../drivers/pg/shape.ts'
import { type FaultProxy, startProxy } from '../support/proxy.ts'
import { ground } from './side-by-side.ts'

const setup = ground()
let proxy: FaultProxy
beforeAll(async () => {
	await setup.server.query('create table if not exists opened (id int primary key)')
	proxy = await startProxy({ target: setup.server, protocol: 'postgres' })
})
afterAll(() => proxy.close())
beforeEach(async () => {
	await setup.server.query('truncate opened')
})

const kept = async () => (await setup.server.query<{ id: number }>('select id from opened order by id')).map(({ id }) => id)

async function through<T>(options: Parameters<typeof holdfast>[1], steps: (pool: HoldfastPool) => Promise<T>): Promise<T> {
	const pool = holdfast(new pg.Pool({ ...setup.config({ max: 1 }), host: proxy.host, port: proxy.port }), options)
	try {
		return await steps(pool)
	} finally {
		await pool.end()
	}
}

/** The ends of round trips that the server has seen while `steps` ran. */
async function roundTrips(steps: () => Promise<unknown>): Promise<number> {
	const seen = proxy.intercept({ from: 'server', match: ({ type }) => type === 'ReadyForQuery', action: 'pass', times: 1_000 })
	try {
		await steps()
		return seen.hits
	} finally {
		seen.remove()
	}
}

const firsts = [
	{ name: 'a text', query: 'insert into opened values (1)' },
	{ name: 'a text with values', query: { text: 'insert into opened values ($1)', values: [1] } },
	{ name: 'a named statement', query: { name: 'one', text: 'insert into opened values ($1)', values: [1] } },
]
const ways = [
	{ commit: 'off', options: { commit: 'off' as const } },
	{ commit: 'verify', options: {} },
	{ commit: 'a ledger', options: { commit: commitLedger({ create: true, table: 'opening_ledger' }) } },
]

for (const { commit, options } of ways) {
	for (const { name, query } of firsts) {
		test(`commit: ${commit}; BEGIN and ${name} are one round trip, and the values come back as ever`, async () => {
			await through(options, async (pool) => {
				// What each connection learns once is not counted.
				for (let warm = 0; warm < 2; warm++) await pool.transaction((tx) => tx.query('select 1'))
				const trips = await roundTrips(() =>
					pool.transaction(async (tx) => {
						const { command, rowCount, rows } = await tx.query(query)
						expect({ command, rowCount, rows }).toEqual({ command: 'INSERT', rowCount: 1, rows: [] })
						expect((await tx.query('select id from opened')).rows).toEqual([{ id: 1 }])
					}),
				)
				expect(trips).toBe(3)
			})
			expect(await kept()).toEqual([1])
		})

		test(`commit: ${commit}; an error of ${name} that came with BEGIN is its own, with the position in its own text`, async () => {
			await through(options, async (pool) => {
				const wrong =
					typeof query === 'string' ? 'insert into opened values (bogus)' : { ...query, text: 'insert into opened values ($1 + bogus)' }
				const bare = await setup.server.query(typeof wrong === 'string' ? wrong : wrong.text.replace('$1', '1')).catch((error) => error)
				for (let round = 0; round < 2; round++) {
					const error = await pool.transaction((tx) => tx.query(wrong)).catch((reason) => reason)
					expect(error).toMatchObject({ code: '42703', message: bare.message })
					expect(Number(error.position)).toBe(typeof wrong === 'string' ? Number(bare.position) : wrong.text.indexOf('bogus') + 1)
				}
				// A name whose text was never parsed is not taken for known.
				await pool.transaction((tx) => tx.query(query))
				await pool.query('delete from opened')
				await pool.transaction((tx) => tx.query(query))
			})
			expect(await kept()).toEqual([1])
		})
	}
}

for (const { name, query } of firsts) {
	test(`${name} behind a BEGIN that the server refuses is never run, nor is anything after it`, async () => {
		const client = new pg.Client(setup.config())
		await client.connect()
		const opening = new Opening(client as unknown as PgClient, 'BEGIN BOGUS', undefined)
		const run = (config: unknown) => new Promise((resolve) => opening.run(config, undefined, (error) => resolve(error)))
		expect(await run(query)).toMatchObject({ code: '42601' })
		expect(await run('insert into opened values (2)')).toMatchObject({ code: '42601' })
		expect((await client.query('select 1 as alive')).rows).toEqual([{ alive: 1 }])
		await client.end()
		expect(await kept()).toEqual([])
	})
}

test('statements that are not awaited run in order, in the same transaction', async () => {
	await through({}, async (pool) => {
		await pool.transaction(async (tx) => {
			const all = [1, 2, 3].map((id) => tx.query('insert into opened values ($1) returning pg_current_xact_id()::text as xid', [id]))
			const xids = (await Promise.all(all)).map(({ rows }) => rows[0].xid)
			expect(new Set(xids).size).toBe(1)
		})
	})
	expect(await kept()).toEqual([1, 2, 3])
})

test('a savepoint, a cursor, several statements in one text, COPY: what cannot come along begins after BEGIN was answered', async () => {
	await through({}, async (pool) => {
		await pool.transaction((tx) => tx.transaction((inner) => inner.query('insert into opened values (1)')))
		await pool.transaction(async (tx) => {
			const cursor = tx.query(new Cursor('select * from generate_series(1, 3) n'))
			expect(await cursor.read(2)).toEqual([{ n: 1 }, { n: 2 }])
			await cursor.close()
			await tx.query('insert into opened values (2)')
		})
		await pool.transaction((tx) => tx.query('insert into opened values (3); insert into opened values (4)'))
		await expect(pool.transaction((tx) => tx.query('copy opened from stdin'))).rejects.toThrow('No source stream')
	})
	expect(await kept()).toEqual([1, 2, 3, 4])
})

test('a function that asks nothing of the database commits nothing and sends nothing', async () => {
	await through({}, async (pool) => {
		await pool.query('select 1')
		let told = 0
		const trips = await roundTrips(async () => {
			expect(
				await pool.transaction(async (tx) => {
					tx.onCommit(() => {
						told += 1
					})
					return 'done'
				}),
			).toBe('done')
			await expect(pool.transaction(async () => Promise.reject(new Error('mine')))).rejects.toThrow('mine')
		})
		expect({ trips, told }).toEqual({ trips: 0, told: 1 })
	})
})

test('a value that pg cannot turn into text leaves no transaction and no connection behind', async () => {
	const cyclic: { self?: unknown } = {}
	cyclic.self = cyclic
	await through({}, async (pool) => {
		await expect(pool.transaction((tx) => tx.query('insert into opened values ($1)', [cyclic]))).rejects.toThrow('circular')
		await pool.transaction((tx) => tx.query('insert into opened values ($1)', [1]))
		expect(pool.totalCount).toBe(pool.idleCount)
	})
	expect(await kept()).toEqual([1])
})
