/** Does a statement that is sent at once stay what it was for those who listen to the pool, and for clients of a class of the user's? */
import { holdfast } from 'holdfast/pg'
import pg from 'pg'
import { expect, test } from 'vitest'
import { accidentMark } from '../support/leaks.ts'
import { until } from '../support/until.ts'
import { ground } from './side-by-side.ts'

const setup = ground()
const { both } = setup

const turn = () => new Promise((resolve) => setImmediate(resolve))

/** What the pool's listeners hear from now on. */
function heard(pool: pg.Pool, ...names: ('acquire' | 'release')[]): string[] {
	const told: string[] = []
	for (const name of names) pool.on(name, () => told.push(name))
	return told
}

/** The options of pg-pool that its types leave out. */
const withOptions = (options: object) => options as pg.PoolConfig

test('after the only caller who waited has given up nobody waits, and a connection that comes back is taken out for nobody', async () => {
	const { bare, wrapped } = await both(
		async (pool) => {
			const client = await pool.connect()
			const told = heard(pool, 'acquire', 'release')
			const end = await pool.query('select 1').catch((error) => error.message)
			await turn()
			const waiting = pool.waitingCount
			client.release()
			await turn()
			return { end, waiting, told, after: (await pool.query('select 1 as a')).rows }
		},
		{ max: 1, connectionTimeoutMillis: 30 },
	)
	expect(wrapped).toEqual(bare)
	const pool = setup.wrapped({ max: 1 })
	const client = await pool.connect()
	const told = heard(pool, 'acquire', 'release')
	await expect(pool.query({ text: 'select 1', deadlineMs: 30 })).rejects.toThrow()
	const waiting = pool.waitingCount
	client.release()
	await turn()
	expect({ waiting, told }).toEqual({ waiting: 0, told: ['release'] })
})

class Remembering extends pg.Client {
	override query(...given: unknown[]): never {
		const done = given.find((each) => typeof each === 'function') as ((error: unknown, result: unknown) => void) | undefined
		if (done !== undefined && given[0] === 'remembered') return done(null, { rows: [{ a: 1 }] }) as never
		return (super.query as (...given: unknown[]) => never)(...given)
	}
}

test('the callback of a statement that a class of clients answers at once is called after pool.query has returned', async () => {
	const { bare, wrapped } = await both(
		async (pool) => {
			await pool.query('select 1')
			const order: string[] = []
			await new Promise<void>((resolve) => {
				pool.query('remembered', () => {
					order.push('called back')
					resolve()
				})
				order.push('returned')
			})
			return { order, idle: pool.idleCount }
		},
		withOptions({ Client: Remembering }),
	)
	expect(wrapped).toEqual(bare)
})

for (const name of ['acquire', 'release'] as const) {
	test(`a write that a listener of ${name} sends while the lifetime of the idle connection ends does not go over that connection`, async () => {
		const { bare, wrapped } = await both(
			async (pool) => {
				await pool.query('select 1')
				const ends: string[] = []
				pool.once(name, () => {
					pool.query('create temp table x (a int)').then(
						({ command }) => ends.push(command),
						(error) => ends.push(error.message),
					)
				})
				await until(() => ends.length > 0, { what: 'the statement to end' })
				return ends
			},
			withOptions({ max: 2, maxLifetimeSeconds: 0.2 }),
		)
		expect(wrapped).toEqual(bare)
	})
}

test('what a listener of acquire throws is an uncaught exception as on the bare pool, not thrown at the caller, who is served', async () => {
	const run = async (kind: 'bare' | 'wrapped') => {
		const pool = new pg.Pool(setup.config({ max: 2 }))
		if (kind === 'wrapped') holdfast(pool)
		await pool.query('select 1')
		const accidents = accidentMark()
		pool.once('acquire', () => {
			throw new Error('of the listener')
		})
		const rows: unknown[] = []
		pool.query('select 1 as a', (_error, result) => rows.push(...result.rows))
		await until(() => accidents.accidents.length > 0, { what: 'the exception' })
		if (kind === 'wrapped') await until(() => rows.length > 0, { what: 'the rows' })
		accidents.stop()
		// pg-pool itself has lost the connection for which it threw, and waits for it for ever.
		void pool.end()
		for (const client of (pool as unknown as { _clients: pg.Client[] })._clients) await client.end()
		return { accidents: accidents.accidents.map((each) => each.split('\n')[0]), rows }
	}
	const bare = await run('bare')
	expect(await run('wrapped')).toEqual({ ...bare, rows: [{ a: 1 }] })
})

for (const name of ['connect', 'acquire', 'release'] as const) {
	test(`statements that a listener of ${name} sends are answered, and nobody is left waiting`, async () => {
		const { bare, wrapped } = await both(
			async (pool) => {
				const ends: unknown[] = []
				let left = 3
				pool.on(name, () => {
					if (left === 0) return
					left -= 1
					pool.query('select $1::int as a', [left]).then(
						({ rows }) => ends.push(rows[0].a),
						(error) => ends.push(error.message),
					)
				})
				const [client, other] = [await pool.connect(), await pool.connect()]
				client.release()
				other.release(true)
				await pool.query('select 1')
				const last = await pool.connect()
				last.release(true)
				await until(() => ends.length === 3 - left, { what: 'the statements to end' })
				await turn()
				return { ends: ends.sort(), left, waiting: pool.waitingCount }
			},
			{ max: 3 },
		)
		expect(wrapped).toEqual(bare)
	})
}

test('end() in a listener of acquire: the call is told, and nothing is left', async () => {
	const pool = holdfast(new pg.Pool(setup.config({ max: 1 })))
	await pool.query('select 1')
	let end: Promise<void> | undefined
	pool.once('acquire', () => {
		end = pool.end()
	})
	await expect(pool.query('select 2')).rejects.toMatchObject({ code: 'HOLDFAST_CLOSED' })
	await end
	expect(pool.totalCount).toBe(0)
})

test('thousands of statements that pg refuses, in line for one connection, are told one after the other and cost none', async () => {
	const pool = setup.wrapped({ max: 1 })
	const client = await pool.connect()
	const calls = Promise.allSettled(Array.from({ length: 9_000 }, () => pool.query(null as never)))
	client.release()
	const ends = (await calls).map((end) => end.status === 'rejected' && end.reason.message)
	expect(new Set(ends)).toEqual(new Set(['Client was passed a null or undefined query']))
	expect([pool.totalCount, pool.idleCount, pool.waitingCount]).toEqual([1, 1, 0])
})
