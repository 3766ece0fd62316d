/** Does every wait end, by its time, the signal or the deadline, and leave nothing behind? */
import { getEventListeners } from 'node:events'
import fc from 'fast-check'
import { expect, test } from 'vitest'
import { RetryError } from '../../../src/errors.ts'
import { retry } from '../../../src/retry/retry.ts'
import * as stop from '../../../src/retry/stop.ts'
import * as wait from '../../../src/retry/wait.ts'
import { fakeClock } from '../../support/fake-clock.ts'
import { through } from './an-attempt.ts'

const lost = () => {
	throw new Error('lost')
}
const settled = async (promise: Promise<unknown>) => (await Promise.allSettled([promise]))[0]

test('an abort ends the wait at once with the reason, and leaves no timer and no listener', async () => {
	const clock = fakeClock()
	const controller = new AbortController()
	const reason = new Error('shutting down')
	const outcome = settled(retry(lost, { clock, signal: controller.signal, wait: wait.fixed(60_000) }))
	await clock.advance(10)
	expect(clock.pendingTimers).toBe(1)
	expect(getEventListeners(controller.signal, 'abort')).toHaveLength(1)
	controller.abort(reason)
	expect(await outcome).toEqual({ status: 'rejected', reason })
	expect(clock.now()).toBe(10)
	expect(clock.pendingTimers).toBe(0)
	expect(getEventListeners(controller.signal, 'abort')).toHaveLength(0)
})

test('with a signal that is aborted already neither the work nor a hook is called', async () => {
	const calls: string[] = []
	const note = (name: string) => () => calls.push(name)
	const signal = AbortSignal.abort('no')
	expect(await settled(retry(note('work'), { signal, before: note('before'), onError: note('onError') }))).toEqual({
		status: 'rejected',
		reason: 'no',
	})
	expect(calls).toEqual([])
})

test('no listener is added while the work runs, and none is left after success', async () => {
	const clock = fakeClock()
	const { signal } = new AbortController()
	const listeners: number[] = []
	const work = ({ number }: { number: number }) => {
		listeners.push(getEventListeners(signal, 'abort').length)
		if (number < 3) lost()
	}
	await through(clock, retry(work, { clock, signal }))
	expect(listeners).toEqual([0, 0, 0])
	expect(getEventListeners(signal, 'abort')).toHaveLength(0)
})

test.each(['before', 'after', 'beforeSleep'] as const)('an abort during the hook %s starts no further work and no wait', async (hook) => {
	const clock = fakeClock()
	const controller = new AbortController()
	let calls = 0
	const work = () => {
		calls += 1
		lost()
	}
	const outcome = await settled(retry(work, { clock, signal: controller.signal, [hook]: async () => controller.abort('no') }))
	expect(outcome).toEqual({ status: 'rejected', reason: 'no' })
	expect(calls).toBe(hook === 'before' ? 0 : 1)
	expect(clock.pendingTimers).toBe(0)
})

test('an abort while the work runs: its success stands, its failure becomes the reason', async () => {
	for (const fails of [false, true]) {
		const controller = new AbortController()
		const work = () => {
			controller.abort('no')
			return fails ? lost() : 'rows'
		}
		const outcome = await settled(retry(work, { signal: controller.signal }))
		expect(outcome).toEqual(fails ? { status: 'rejected', reason: 'no' } : { status: 'fulfilled', value: 'rows' })
	}
})

test('an abort during the last attempt is the reason too, and after an abort no wait of any kind is begun', async () => {
	const slept: number[] = []
	const ending = async (options: object) => {
		const controller = new AbortController()
		const sleep = async (delayMs: number) => void slept.push(delayMs)
		const beforeSleep = () => controller.abort('no')
		const outcome = await settled(retry(lost, { signal: controller.signal, sleep, beforeSleep, ...options }))
		expect(outcome).toEqual({ status: 'rejected', reason: 'no' })
	}
	await ending({})
	const controller = new AbortController()
	await ending({ stop: stop.afterAttempts(1), signal: controller.signal, after: () => controller.abort('no') })
	expect(slept).toEqual([])
})

test('stop.whenAborted gives up with the last error, not with the reason', async () => {
	const controller = new AbortController()
	const work = () => {
		controller.abort()
		lost()
	}
	expect(await settled(retry(work, { stop: stop.whenAborted(controller.signal) }))).toMatchObject({ reason: { name: 'RetryError' } })
})

test('a wait that could not end before the deadline is not begun: the loop gives up then and there', async () => {
	const clock = fakeClock()
	const slept: number[] = []
	const options = { clock, stop: stop.never, wait: wait.exponential({ multiplierMs: 100 }), deadlineMs: 700 }
	const outcome = settled(retry(lost, { ...options, name: 'load', beforeSleep: (attempt) => slept.push(attempt.upcomingWaitMs) }))
	await clock.runAll()
	// 100 + 200 have passed; 400 more would end at the deadline itself, which is not before it.
	expect(slept).toEqual([100, 200])
	expect(clock.now()).toBe(300)
	const { reason } = (await outcome) as PromiseRejectedResult
	expect(reason).toBeInstanceOf(RetryError)
	expect(reason.message).toBe(
		'load: gave up after 3 attempts in 300 ms, since a wait of 400 ms could not end before deadlineMs (700); of the last attempt its error is the cause',
	)
})

test('a running attempt is not cut by the deadline, and its success stands', async () => {
	const clock = fakeClock()
	const work = async () => {
		await clock.advance(5000)
		return 'rows'
	}
	expect(await retry(work, { clock, deadlineMs: 10 })).toBe('rows')
})

test('time that a hook takes counts: after a slow beforeSleep no wait is begun that is too long by now', async () => {
	const clock = fakeClock()
	const slow = () => clock.advance(60)
	const outcome = await settled(retry(lost, { clock, wait: wait.fixed(50), deadlineMs: 100, beforeSleep: slow, onError: () => 'late' }))
	expect(outcome).toEqual({ status: 'fulfilled', value: 'late' })
	expect([clock.now(), clock.pendingTimers]).toEqual([60, 0])
})

test('when the timer fires late, past the deadline, no further attempt starts', async () => {
	const clock = fakeClock()
	let calls = 0
	const work = () => {
		calls += 1
		lost()
	}
	const sleep = () => clock.advance(500)
	const outcome = await settled(retry(work, { clock, sleep, wait: wait.fixed(50), deadlineMs: 100 }))
	expect(outcome).toMatchObject({ status: 'rejected', reason: { lastAttempt: { number: 1 } } })
	expect(calls).toBe(1)
})

test('no retry ever sleeps past its deadline, nor longer than its waits say', async () => {
	const policies = fc.record({
		waitsMs: fc.array(fc.integer({ min: 0, max: 500 }), { minLength: 1, maxLength: 6 }),
		workMs: fc.integer({ min: 0, max: 100 }),
		deadlineMs: fc.integer({ min: 1, max: 2000 }),
		attempts: fc.integer({ min: 1, max: 12 }),
	})
	await fc.assert(
		fc.asyncProperty(policies, async ({ waitsMs, workMs, deadlineMs, attempts }) => {
			const clock = fakeClock()
			const startsMs: number[] = []
			const work = async () => {
				startsMs.push(clock.now())
				clock.advanceSync(workMs)
				lost()
			}
			const rule = wait.chain(...waitsMs.map((waitMs) => wait.fixed(waitMs)))
			const outcome = settled(retry(work, { clock, deadlineMs, wait: rule, stop: stop.afterAttempts(attempts) }))
			await clock.runAll()
			expect(await outcome).toMatchObject({ reason: { lastAttempt: { number: startsMs.length } } })
			expect(startsMs.every((startMs) => startMs < deadlineMs)).toBe(true)
			expect(clock.now()).toBe(startsMs.at(-1)! + workMs)
			for (const [index, startMs] of startsMs.slice(1).entries()) {
				expect(startMs - startsMs[index]! - workMs).toBe(waitsMs[Math.min(index, waitsMs.length - 1)])
			}
		}),
		{ numRuns: 60 },
	)
})

test('a wait of 0 lets the event loop turn, so that a signal on a timer can end an endless retry', async () => {
	const controller = new AbortController()
	const outcome = settled(retry(lost, { stop: stop.never, wait: wait.none, signal: controller.signal }))
	setImmediate(() => controller.abort('enough'))
	expect(await outcome).toEqual({ status: 'rejected', reason: 'enough' })
})

test('the option sleep waits in place of the timer and gets the signal', async () => {
	const { signal } = new AbortController()
	const calls: unknown[] = []
	const sleep = async (delayMs: number, given?: AbortSignal) => {
		calls.push([delayMs, given === signal])
	}
	const clock = fakeClock()
	await settled(retry(lost, { clock, sleep, signal, wait: wait.fixed(7), stop: stop.afterAttempts(3) }))
	expect(calls).toEqual([
		[7, true],
		[7, true],
	])
	expect(clock.pendingTimers).toBe(0)
})
