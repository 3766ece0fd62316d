/** What does a caller get when the retry budget is spent? */
import { expect, test } from 'vitest'
import { type BudgetSpentEvent, Call } from '../../src/call.ts'
import { HoldfastError } from '../../src/errors.ts'
import type { RetryBudget } from '../../src/outage/retry-budget.ts'
import { createScheduler, type SchedulerOptions } from '../../src/outage/scheduler.ts'
import type { PoolOptions } from '../../src/pool-options.ts'
import { retryReport } from '../../src/report.ts'
import { retry } from '../../src/retry/retry.ts'
import * as stop from '../../src/retry/stop.ts'
import * as wait from '../../src/retry/wait.ts'
import { sqlError } from './outage/fake-source.ts'
import { stage } from './outage/stage.ts'

const work = { idempotent: false, reads: () => true }
const conflict = () => sqlError('40001', 'ERROR', 'could not serialize access')

function drainConnects(budget: RetryBudget, nowMs: number): void {
	do budget.opened(nowMs)
	while (budget.mayConnectAgain('connection_lost', nowMs))
}

/** A pool whose budget is spent, and what a failed attempt of a new call leads to. */
function spent(scheduler: Omit<SchedulerOptions, 'clock'> = {}, options: PoolOptions = {}) {
	const set = stage({ scheduler, options: { wait: () => 0, ...options } })
	const { policy } = set.pool.core
	while (policy.budget.take(set.clock.now()));
	const fail = (error: unknown, deadlineMs: number, how = work) => {
		const call = new Call(policy, { deadlineMs, label: 'job' })
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

test('work that a crash breaks off takes no tokens; while connections come and go it does', async () => {
	const { fail, policy, clock } = spent()
	const lost = () => Object.assign(new Error('read ECONNRESET'), { code: 'ECONNRESET', syscall: 'read' })
	expect(await Promise.all(Array.from({ length: 500 }, () => fail(lost(), 50)))).toEqual(Array.from({ length: 500 }, () => 0))
	policy.budget.opened(clock.now())
	while (policy.budget.take(clock.now()));
	const error = lost()
	expect(await fail(error, 50)).toBe(error)
	expect(retryReport(error)?.budgetSpent).toBe(true)
})

/** How often `retry` runs work that fails in the second attempt of a call with this error. */
async function runsOf(last: Error, deadlineMs = 1_000): Promise<number> {
	const { pool, clock } = stage({ options: { wait: () => 0 } })
	let runs = 0
	const ended = retry(
		async () => {
			runs += 1
			const call = new Call(pool.core.policy, { deadlineMs })
			for (const error of [conflict(), last]) await call.next(error, call.classify(error, 'statement'), 'statement', work)
		},
		{ stop: stop.afterAttempts(3), wait: wait.none(), clock },
	).catch((error: unknown) => error)
	await clock.advance(10_000)
	await ended
	return runs
}

test('retry around a call runs work again for an error that the call has not tried again, whatever came before it', async () => {
	expect(await runsOf(sqlError('23505', 'ERROR', 'duplicate key value'))).toBe(3)
	expect(await runsOf(new Error('of the user'))).toBe(3)
})

test('retry around a call that waited for a connection until its deadline does not begin anew', async () => {
	const { pool, server, clock } = stage({ options: { wait: () => 0 } })
	let runs = 0
	const ended = retry(
		async () => {
			runs += 1
			const call = new Call(pool.core.policy, { deadlineMs: 1_000 })
			const error = sqlError('57P01', 'FATAL', 'terminating connection due to administrator command')
			await call.next(error, call.classify(error, 'statement'), 'statement', work)
			server.manner = 'refuses'
			await pool.core.acquire(call)
		},
		{ stop: stop.afterAttempts(3), wait: wait.none(), clock },
	).catch((error: unknown) => error)
	await clock.advance(10_000)
	expect(await ended).toMatchObject({ code: '57P01' })
	expect(runs).toBe(1)
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
	while (policy.budget.take(clock.now()));
	drainConnects(policy.budget, clock.now())
	policy.budget.opened(0)
	server.manner = 'accepts'
	for (let round = 0; round < 20; round++) {
		await clock.advance(500)
		for (const caller of callers) if (caller.connection !== undefined) pool.bringBack(caller)
	}
	expect(callers.filter(({ error }) => error !== undefined)).toEqual([])
	expect(callers.every(({ told }) => told === 1)).toBe(true)
})

test.each([false, true])('a server that dies while its pools fill costs nobody an error (all reruns spent: %s)', async (isSpent) => {
	const { pool, server, clock } = stage({ capacity: 50 })
	const { budget } = pool.core.policy
	if (isSpent) while (budget.reserve('statement', clock.now(), 2_000) !== undefined);
	const callers = Array.from({ length: 100 }, () => pool.ask({ deadlineMs: 30_000 }))
	while (server.inFlight < 32) await clock.advance(1)
	server.kill('refuses')
	for (const caller of callers) if (caller.connection !== undefined) pool.bringBack(caller)
	await clock.advance(2_000)
	server.manner = 'accepts'
	for (let round = 0; round < 20; round++) {
		await clock.advance(100)
		for (const caller of callers) if (caller.connection !== undefined) pool.bringBack(caller)
	}
	expect(callers.filter(({ error }) => error !== undefined)).toEqual([])
	expect(callers.every(({ told }) => told === 1)).toBe(true)
	expect(pool.core.stats().budgetSpent).toBe(0)
})

/** Half a minute of calls that need a connection each, while half of all attempts fail. */
async function flapping(callsPerSecond: number) {
	const { pool, server, clock } = stage({ capacity: 50 })
	Object.defineProperty(server, 'manner', { get: () => (clock.random() < 0.5 ? 'accepts' : 'resets') })
	const calls = 30 * callsPerSecond
	let failed = 0
	for (let call = 0; call < calls; call++) {
		pool.core.call({})
		pool.ask({
			deadlineMs: 30_000,
			onTold: (caller) => {
				if (caller.connection === undefined) {
					failed += 1
					return
				}
				caller.connection.alive = false
				pool.bringBack(caller)
			},
		})
		await clock.advance(1_000 / callsPerSecond)
	}
	return { calls, failed, attempts: server.attempts.length }
}

test.each([5, 8, 10, 20, 40, 100])(
	'while half of all connection attempts fail, %i calls a second make at most 1.25 attempts each',
	async (callsPerSecond) => {
		const { calls, attempts } = await flapping(callsPerSecond)
		expect(attempts).toBeGreaterThan(calls)
		expect(attempts / calls).toBeLessThanOrEqual(1.25)
	},
)

test('a lone caller who needs a connection once a second or less gets through, though half of all attempts fail', async () => {
	expect(await flapping(1)).toMatchObject({ failed: 0 })
})

test('work that its own time limit has cut takes a token: that is no crash', async () => {
	const { fail } = spent()
	const cut = new HoldfastError('HOLDFAST_ATTEMPT_TIMEOUT', 'cut')
	expect(await fail(cut, 50)).toBe(cut)
	expect(retryReport(cut)?.budgetSpent).toBe(true)
})

test('onBudgetSpent is told once of each call that gets its error for want of a token, and of no other', async () => {
	const told: BudgetSpentEvent[] = []
	const { fail, pool, clock, server, policy } = spent({}, { onBudgetSpent: (event) => told.push(event) })
	const error = conflict()
	await fail(error, 100)
	expect(told).toEqual([{ attempt: 1, fault: expect.objectContaining({ kind: 'serialization_failure' }), error, label: 'job' }])
	await fail(sqlError('42P01', 'ERROR', 'relation "t" does not exist'), 100)
	expect(told).toHaveLength(1)
	drainConnects(policy.budget, clock.now())
	server.manner = 'resets'
	const waiting = pool.core.acquire(new Call(policy, { label: 'connect' })).catch((thrown: unknown) => thrown)
	await clock.advance(5)
	const reset = await waiting
	expect(reset).toMatchObject({ code: 'ECONNRESET' })
	expect(told.slice(1)).toEqual([
		{ attempt: 1, fault: expect.objectContaining({ kind: 'connection_lost' }), error: reset, label: 'connect' },
	])
	expect(pool.core.stats().budgetSpent).toBe(told.length)
})

test('what onBudgetSpent throws is what the call gets, also one that waits for a connection', async () => {
	const thrown = new Error('of the hook')
	const { fail, pool, clock, server, policy, expectQuiet } = spent(
		{},
		{
			onBudgetSpent: () => {
				throw thrown
			},
		},
	)
	expect(await fail(conflict(), 100)).toBe(thrown)
	drainConnects(policy.budget, clock.now())
	server.manner = 'resets'
	const waiting = pool.core.acquire(new Call(policy, {})).catch((error: unknown) => error)
	await clock.advance(5)
	expect(await waiting).toBe(thrown)
	expectQuiet()
})

test('a call that is ended while it waits for its token leaves the token to others', async () => {
	const { fail, policy, expectQuiet } = spent()
	const controller = new AbortController()
	const calls = Array.from({ length: 100 }, () => {
		const call = new Call(policy, { deadlineMs: 30_000, signal: controller.signal })
		const error = conflict()
		return call.next(error, call.classify(error, 'statement'), 'statement', work).catch((reason: unknown) => reason)
	})
	controller.abort('enough')
	expect(await Promise.all(calls)).toEqual(calls.map(() => 'enough'))
	// Theirs would come in eight seconds.
	expect(await fail(conflict(), 1_000)).toBe(0)
	expectQuiet()
})

test('while some connection attempts succeed and others fail, a caller whose attempt failed gets that error once the budget is spent', async () => {
	const { pool, server, clock, policy } = spent()
	const first = pool.ask()
	await clock.advance(10)
	expect(first.connection).toBeDefined()
	drainConnects(policy.budget, clock.now())
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
