/** Faults while the endpoint is up: are retries bounded, and are they never multiplied? */
import { createScheduler, retry, retryReport, stop, wait } from 'holdfast'
import { beforeAll, beforeEach, expect, test } from 'vitest'
import { staged } from '../support/staged.ts'
import { until } from '../support/until.ts'
import { stage } from './stage.ts'
import { whileLocked } from './while-locked.ts'

const at = staged(stage)
beforeAll(async () => {
	await at.ask(`CREATE FUNCTION fail(code text) RETURNS int LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION USING errcode = code, message = 'as ordered'; END $$;
		CREATE TABLE written (id int)`)
})
beforeEach(() => at.ask('TRUNCATE written'))

const seen = (text: string) => at.proxy.seen.statementsLike(text)
const ended = (call: Promise<unknown>) => call.catch((error: unknown) => error)

test('the server sees no more retries of failing statements than the budget holds; each caller gets the native error with the reason, and the hook is told', async () => {
	const scheduler = createScheduler({ retryBudget: { ratio: 0, minPerSecond: 4 } })
	const told: unknown[] = []
	const onBudgetSpent = ({ error }: { error: unknown }) => told.push(error)
	const pool = at.wrap({ scheduler, wait: wait.none(), deadlineMs: 400, onBudgetSpent }, { max: 4 })
	const errors = (await Promise.all(Array.from({ length: 60 }, () => ended(pool.query("SELECT fail('40001')"))))) as { code?: string }[]
	expect(errors.map(({ code }) => code)).toEqual(errors.map(() => '40001'))
	// 20 were kept; within the deadline there is one more to wait for.
	expect(seen('SELECT fail')).toBeGreaterThanOrEqual(60 + 20)
	expect(seen('SELECT fail')).toBeLessThanOrEqual(60 + 22)
	const refused = errors.filter((error) => retryReport(error)?.budgetSpent)
	expect(refused.length).toBeGreaterThan(30)
	expect(pool.holdfast.stats().budgetSpent).toBe(refused.length)
	expect(new Set(told)).toEqual(new Set(refused))
	expect(told).toHaveLength(refused.length)
})

test('a server that ends all work under way costs nobody an error, though the budget holds too few tokens for all', async () => {
	const scheduler = createScheduler({ retryBudget: { ratio: 0, minPerSecond: 2 } })
	const pool = at.wrap({ scheduler }, { max: 12 })
	let calls: Promise<unknown>[] = []
	await whileLocked(at.server, 'written', async (waiting) => {
		calls = Array.from({ length: 12 }, () => pool.query('SELECT count(*) FROM written'))
		await waiting(12)
		await at.ask("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'under test'")
	})
	expect(await Promise.all(calls)).toHaveLength(12)
	expect(seen('SELECT count')).toBeGreaterThanOrEqual(24)
	expect(pool.holdfast.stats().budgetSpent).toBe(0)
})

test('a server that is killed 20 times, as soon as it is back, costs 50 workers on a pool of 50 no error', async () => {
	const pool = at.wrap({ scheduler: createScheduler() }, { host: at.server.host, port: at.server.port, max: 50 })
	const errors: unknown[] = []
	let done = 0
	let isOver = false
	const workers = Array.from({ length: 50 }, async () => {
		while (!isOver) {
			await pool.query('SELECT pg_sleep(0.02)').catch((error: unknown) => errors.push(error))
			done += 1
		}
	})
	const more = async (count: number) => {
		const goal = done + count
		await until(() => done >= goal, { what: `${count} more calls`, timeoutMs: 30_000 })
	}
	for (let kill = 0; kill < 20; kill++) {
		// Now and then in the middle of the reconnecting.
		await more(kill % 2 === 0 ? 60 : 5)
		await at.server.restart('kill')
	}
	await more(100)
	isOver = true
	await Promise.all(workers)
	expect(errors).toEqual([])
	expect(pool.holdfast.stats()).toMatchObject({ budgetSpent: 0, inDoubt: 0, waiting: 0 })
	// Nothing but what the pool keeps idle is left at the server.
	const sessions = await at.ask<{ n: number }>("SELECT count(*)::int AS n FROM pg_stat_activity WHERE application_name = 'under test'")
	expect(sessions[0]?.n).toBe(pool.totalCount)
}, 60_000)

test('retry around a wrapped pool around a failing statement: as many attempts as the pool makes, not as many times as many', async () => {
	const pool = at.wrap({ stop: stop.afterAttempts(3), wait: wait.none() })
	const policy = { stop: stop.afterAttempts(4), wait: wait.none() }
	const error = await ended(retry(() => retry(() => pool.query("SELECT fail('40001')"), policy), policy))
	expect(error).toMatchObject({ code: '40001' })
	expect(seen('SELECT fail')).toBe(3)
})

test('retry around a transaction, and retry within it: the transaction alone is run again', async () => {
	const pool = at.wrap({ stop: stop.afterAttempts(3), wait: wait.none() })
	const policy = { stop: stop.afterAttempts(4), wait: wait.none() }
	const transaction = () =>
		pool.transaction(async (tx) => {
			await tx.query('INSERT INTO written VALUES (1)')
			await retry(() => tx.query("SELECT fail('40001')"), policy)
		})
	expect(await ended(retry(transaction, policy))).toMatchObject({ code: '40001' })
	expect(seen('SELECT fail')).toBe(3)
	expect(seen('INSERT')).toBe(3)
	expect(await at.ask('SELECT * FROM written')).toEqual([])
})

test('retry around a transaction that uses another database: what the pool there has given up on is not begun anew', async () => {
	const pool = at.wrap({}, { host: at.server.host, port: at.server.port })
	const other = at.wrap({ stop: stop.afterAttempts(3), wait: wait.none() })
	const policy = { stop: stop.afterAttempts(4), wait: wait.none() }
	const transaction = () => pool.transaction(() => other.query("SELECT fail('40001')"))
	expect(await ended(retry(transaction, policy))).toMatchObject({ code: '40001' })
	expect(seen('SELECT fail')).toBe(3)
})

test('retry around a transaction runs it again for the error of its function, also where a conflict came first', async () => {
	const pool = at.wrap({ wait: wait.none() })
	let runs = 0
	const transaction = () =>
		pool.transaction(async (tx) => {
			runs += 1
			if (runs === 1) await tx.query("SELECT fail('40001')")
			throw new Error('version conflict')
		})
	const error = await ended(retry(transaction, { stop: stop.afterAttempts(3), wait: wait.none(), reraise: true }))
	expect(error).toMatchObject({ message: 'version conflict' })
	expect(runs).toBe(4)
	expect(seen('COMMIT')).toBe(0)
})
