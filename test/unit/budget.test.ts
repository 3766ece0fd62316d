/** What does a caller get when the retry budget is spent? */
import { expect, test } from 'vitest'
import { Call } from '../../src/call.ts'
import { createScheduler, type SchedulerOptions } from '../../src/outage/scheduler.ts'
import type { PoolOptions } from '../../src/pool.ts'
import { retryReport } from '../../src/report.ts'
import { sqlError } from './outage/fake-source.ts'
import { stage } from './outage/stage.ts'

const work = { idempotent: false, reads: () => true }
const conflict = () => sqlError('40001', 'ERROR', 'could not serialize access')

/** A pool whose budget is spent, and what a failed attempt of a new call leads to. */
function spent(scheduler: Omit<SchedulerOptions, 'clock'> = {}, options: PoolOptions = {}) {
	const set = stage({ scheduler, options: { wait: () => 0, ...options } })
	const { policy } = set.pool.core
	while (policy.budget.take(1, set.clock.now()));
	const fail = (error: unknown, deadlineMs: number, how = work) => {
		const call = new Call(policy, { deadlineMs })
		const fault = call.classify(error, 'statement')
		return call.next(error, fault, 'statement', how).then(
			() => set.clock.now(),
			(thrown: unknown) => thrown,
		)
	}
	return { ...set, policy, fail }
}

test('a retry waits for a token, in order', async () => {
	const { fail, clock, expectQuiet } = spent({ retryBudget: { ratio: 0 } })
	const ended = [fail(conflict(), 1_000), fail(conflict(), 1_000), fail(conflict(), 1_000)]
	await clock.advance(1_000)
	expect(await Promise.all(ended)).toEqual([100, 200, 300])
	expectQuiet()
})

test('a call whose token would come too late gets its native error at once, its report says why, and it is counted', async () => {
	const { fail, pool, expectQuiet } = spent()
	const error = conflict()
	expect(await fail(error, 100)).toBe(error)
	expect(retryReport(error)).toMatchObject({ attempts: 1, budgetSpent: true, faults: [{ kind: 'serialization_failure' }] })
	expect(pool.core.stats().budgetSpent).toBe(1)
	expectQuiet()
})

test('without a budget nothing is waited for', async () => {
	const { fail } = spentOff()
	expect(await fail(conflict(), 100)).toBe(0)
})

function spentOff() {
	const set = stage({ scheduler: { retryBudget: false }, options: { wait: () => 0 } })
	const { policy } = set.pool.core
	return {
		fail(error: unknown, deadlineMs: number) {
			const call = new Call(policy, { deadlineMs })
			return call.next(error, call.classify(error, 'statement'), 'statement', work).then(
				() => set.clock.now(),
				(thrown: unknown) => thrown,
			)
		},
	}
}

test('transactions that conflict take turns and no tokens; a single statement that conflicts takes one', async () => {
	const { fail } = spent()
	expect(await fail(conflict(), 50, { ...work, takesTurns: true } as typeof work)).toBe(0)
	const error = conflict()
	expect(await fail(error, 50)).toBe(error)
})

test('all pools on the endpoint share one budget, and those on another have their own', () => {
	const { pools, scheduler } = stage({ pools: 2 })
	expect(pools[0]?.core.policy.budget).toBe(pools[1]?.core.policy.budget)
	expect(scheduler.budget(scheduler.endpoint('elsewhere:5432'))).not.toBe(pools[0]?.core.policy.budget)
})

test('in an outage nobody fails for want of tokens', async () => {
	const { pool, server, clock, policy } = spent()
	server.manner = 'refuses'
	const callers = Array.from({ length: 100 }, () => pool.ask({ deadlineMs: 30_000 }))
	await clock.advance(20_000)
	while (policy.budget.take(1, clock.now()));
	server.manner = 'accepts'
	for (let round = 0; round < 20; round++) {
		await clock.advance(500)
		for (const caller of callers) if (caller.connection !== undefined) pool.bringBack(caller)
	}
	expect(callers.filter(({ error }) => error !== undefined)).toEqual([])
	expect(callers.every(({ told }) => told === 1)).toBe(true)
})

test('while some connection attempts succeed and others fail, a caller whose attempt failed gets that error once the budget is spent', async () => {
	const { pool, server, clock, policy } = spent()
	const first = pool.ask()
	await clock.advance(10)
	expect(first.connection).toBeDefined()
	while (policy.budget.take(1, clock.now()));
	server.manner = 'resets'
	const second = pool.ask()
	const third = pool.ask()
	await clock.advance(5)
	expect(second.error).toMatchObject({ code: 'ECONNRESET' })
	expect(third.told).toBe(0)
	expect(pool.core.stats().budgetSpent).toBe(1)
})

test.each([
	[{ retryBudget: true }, 'retryBudget must be false or an object { ratio, minPerSecond }, got true'],
	[{ retryBudget: { ratio: 20 } }, 'ratio must be a number from 0 to 1, got 20'],
	[{ retryBudget: { minPerSecond: '5' } }, 'minPerSecond must be a finite number of 0 or more, got "5"'],
	[{ retryBudget: { perSecond: 5 } }, 'retryBudget: unknown option perSecond; known are ratio, minPerSecond'],
])('a wrong budget is refused by name: %j', (options, text) => {
	expect(() => createScheduler(options as SchedulerOptions)).toThrow(text)
})
