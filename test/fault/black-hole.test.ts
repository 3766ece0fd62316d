/** All packets to the server vanish in the middle of fifty calls: is everybody served or told, and when? */
import { createScheduler, InDoubtError, type PoolOptions } from 'holdfast'
import { afterEach, describe, expect, test } from 'vitest'
import { caught } from '../support/caught.ts'
import { fill } from '../support/fill.ts'
import { type Flavour, flavours } from '../support/mysql.ts'
import { until } from '../support/until.ts'
import { onMysqlStage, onStage } from './on-stage.ts'

/** A pool of ten connections, and statements that take the server a moment, so that many are under way when the packets vanish. */
const onPostgres = () => {
	const at = onStage()
	const open = (options: PoolOptions) => {
		const pool = at.wrap(options, { max: 10 })
		return {
			stats: () => pool.holdfast.stats(),
			fill: () => fill(10, () => pool.connect()),
			query: (text: string) => pool.query(text),
			read: () => pool.query('SELECT pg_sleep(0.02)'),
			write: (id: number) => pool.query(`WITH slept AS (SELECT pg_sleep(0.02)) INSERT INTO written SELECT ${id} FROM slept`),
		}
	}
	return { at, open, reads: 'SELECT pg_sleep' }
}
const onMysql = (flavour: Flavour) => {
	const at = onMysqlStage(flavour)
	const open = (options: PoolOptions) => {
		const pool = at.wrap(options, { connectionLimit: 10 })
		return {
			stats: () => pool.holdfast.stats(),
			fill: () => fill(10, () => pool.getConnection()),
			query: (text: string) => pool.query(text),
			read: () => pool.query('SELECT SLEEP(0.02)'),
			write: (id: number) => pool.execute('INSERT INTO written SELECT ? + 0 * SLEEP(0.02)', [id]),
		}
	}
	return { at, open, reads: 'SELECT SLEEP' }
}

describe.each(['postgres', ...flavours] as const)('on %s', (product) => {
	const { at, open, reads } = product === 'postgres' ? onPostgres() : onMysql(product)
	// The server's ends of the links that were found dead.
	afterEach(() => at.proxy.resetAll())

	type Opened = ReturnType<typeof open>

	/** Begins fifty calls, a third of them writes, and lets nothing through from the moment when some are under way. */
	async function vanishUnder(pool: Opened) {
		await pool.fill()
		at.proxy.resetCounters()
		const calls = Array.from({ length: 50 }, async (_, id) => {
			const writes = id % 3 === 0
			return { writes, error: await caught(writes ? pool.write(id) : pool.read()) }
		})
		await until(() => at.proxy.seen.statementsLike(reads) > 4, { what: 'the calls to be under way' })
		at.proxy.swallow('both', true)
		return { failed: Promise.all(calls).then((ended) => ended.filter(({ error }) => error !== undefined)) }
	}

	test('every write under way is told that it is in doubt, and every read is served once packets pass again', async () => {
		const pool = open({ halfOpenAfterMs: 400 })
		const calls = await vanishUnder(pool)
		await until(() => pool.stats().halfOpen === 10, { what: 'all links to be found dead' })
		await until(() => pool.stats().endpoint.state === 'down', { what: 'the endpoint to be known as down' })
		at.proxy.swallow('both', false)
		const failed = await calls.failed
		for (const { writes, error } of failed) {
			expect(writes).toBe(true)
			expect(error).toBeInstanceOf(InDoubtError)
			expect(error).toMatchObject({ message: expect.stringMatching(/./), cause: { code: 'HOLDFAST_LINK_LOST' } })
		}
		// Of each write at most one row: none was run again.
		const written = await at.ids()
		expect(written).toEqual([...new Set(written)])
		const { halfOpen, outages, waiting, inDoubt } = pool.stats()
		expect({ halfOpen, outages, waiting, inDoubt }).toEqual({ halfOpen: 10, outages: 1, waiting: 0, inDoubt: failed.length })
	})

	test('with a deadline, nobody waits in a black hole longer than that', async () => {
		const pool = open({ halfOpenAfterMs: 400, deadlineMs: 2_000 })
		const calls = await vanishUnder(pool)
		// Still in the black hole.
		expect((await calls.failed).length).toBeGreaterThan(10)
		expect(pool.stats().waiting).toBe(0)
		at.proxy.swallow('both', false)
	})

	test('while links are looked at there is one connection attempt at a time, whatever pools share the server', async () => {
		const scheduler = createScheduler()
		const options = { scheduler, halfOpenAfterMs: 300, deadlineMs: 3_000 }
		const pools = [open(options), open(options)]
		await Promise.all(pools.map((pool) => pool.query('SELECT 1')))
		at.proxy.resetCounters()
		await at.proxy.hangConnections()
		at.proxy.intercept({ from: 'client', match: ({ text }) => text?.startsWith('SELECT 42') ?? false, action: 'black hole', times: 2 })
		const answers = await Promise.allSettled(pools.map((pool) => pool.query('SELECT 42')))
		expect(answers.map(({ status }) => status)).toEqual(['rejected', 'rejected'])
		expect(pools.map((pool) => pool.stats().halfOpen)).toEqual([1, 1])
		expect(at.proxy.attempts).toBeGreaterThan(1)
		expect(at.proxy.maxInFlightAttempts).toBe(1)
	})
})
