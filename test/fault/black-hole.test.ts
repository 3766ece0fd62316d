/** All packets to PostgreSQL vanish in the middle of fifty calls: is everybody served or told, and when? */
import { createScheduler, InDoubtError } from 'holdfast'
import { afterEach, expect, test } from 'vitest'
import { until } from '../support/until.ts'
import { fiftyCalls } from './black-hole.ts'
import { onStage } from './on-stage.ts'

const at = onStage()
afterEach(() => at.proxy.resetAll())

const sleepy = {
	read: 'SELECT pg_sleep(0.02)',
	write: (id: number) => `WITH slept AS (SELECT pg_sleep(0.02)) INSERT INTO written SELECT ${id} FROM slept`,
}

test('when all packets vanish, every write under way is told that it is in doubt, every read is served once they pass again', async () => {
	const pool = at.wrap({ halfOpenAfterMs: 400 })
	await Promise.all(Array.from({ length: 10 }, () => pool.query('SELECT pg_sleep(0.05)')))
	at.proxy.resetCounters()
	const ended = fiftyCalls(
		() => pool.query(sleepy.read),
		(id) => pool.query(sleepy.write(id)),
	)
	await until(() => at.proxy.seen.statementsLike('SELECT pg_sleep') > 4, { what: 'the calls to be under way' })
	at.proxy.swallow('both', true)
	await until(() => pool.holdfast.stats().halfOpen === 10, { what: 'all links to be found dead' })
	await until(() => pool.holdfast.stats().endpoint.state === 'down', { what: 'the endpoint to be known as down' })
	at.proxy.swallow('both', false)
	const failed = (await ended).filter(({ error }) => error !== undefined)
	expect(failed.every(({ writes, error }) => writes && error instanceof InDoubtError)).toBe(true)
	expect(
		failed.every(
			({ error }) => (error as InDoubtError).message !== '' && (error as { cause: { code?: string } }).cause.code === 'HOLDFAST_LINK_LOST',
		),
	).toBe(true)
	expect(failed.length).toBe(pool.holdfast.stats().inDoubt)
	// Of each write at most one row: none was run again.
	expect(await at.ask('SELECT id FROM written GROUP BY id HAVING count(*) > 1')).toEqual([])
	const { halfOpen, outages, waiting } = pool.holdfast.stats()
	expect({ halfOpen, outages, waiting }).toEqual({ halfOpen: 10, outages: 1, waiting: 0 })
})

test('with a deadline, nobody waits in a black hole longer than that', async () => {
	const pool = at.wrap({ halfOpenAfterMs: 400, deadlineMs: 2_000 })
	await Promise.all(Array.from({ length: 10 }, () => pool.query('SELECT pg_sleep(0.05)')))
	at.proxy.resetCounters()
	const ended = fiftyCalls(
		() => pool.query(sleepy.read),
		(id) => pool.query(sleepy.write(id)),
	)
	await until(() => at.proxy.seen.statementsLike('SELECT pg_sleep') > 4, { what: 'the calls to be under way' })
	at.proxy.swallow('both', true)
	// Still in the black hole.
	const failed = (await ended).filter(({ error }) => error !== undefined)
	expect(failed.length).toBeGreaterThan(10)
	expect(pool.holdfast.stats().waiting).toBe(0)
	at.proxy.swallow('both', false)
})

test('while links are looked at there is one connection attempt at a time, whatever pools share the server', async () => {
	const scheduler = createScheduler()
	const options = { scheduler, halfOpenAfterMs: 300, deadlineMs: 3_000 }
	const pools = [at.wrap(options), at.wrap(options)]
	await Promise.all(pools.map((pool) => pool.query('SELECT 1')))
	at.proxy.resetCounters()
	await at.proxy.hangConnections()
	at.proxy.intercept({ from: 'client', match: ({ text }) => text?.startsWith('SELECT 42') ?? false, action: 'black hole', times: 2 })
	const answers = await Promise.allSettled(pools.map((pool) => pool.query('SELECT 42')))
	expect(answers.map(({ status }) => status)).toEqual(['rejected', 'rejected'])
	expect(pools.map((pool) => pool.holdfast.stats().halfOpen)).toEqual([1, 1])
	expect(at.proxy.attempts).toBeGreaterThan(1)
	expect(at.proxy.maxInFlightAttempts).toBe(1)
})
