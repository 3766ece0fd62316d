/** Does the loop try, judge and give up as it says, and in Tenacity's order? */
import { expect, test } from 'vitest'
import { HoldfastError, RetryError } from '../../../src/errors.ts'
import type { Attempt } from '../../../src/retry/attempt.ts'
import type { AttemptContext } from '../../../src/retry/course.ts'
import { retry, retryWith } from '../../../src/retry/retry.ts'
import * as stop from '../../../src/retry/stop.ts'
import { TryAgain } from '../../../src/retry/try-again.ts'
import * as wait from '../../../src/retry/wait.ts'
import * as when from '../../../src/retry/when.ts'
import { fakeClock } from '../../support/fake-clock.ts'
import { failing, through } from './an-attempt.ts'

const lost = () => Array.from({ length: 20 }, (_, index) => new Error(`lost ${index + 1}`))
const rejection = async (promise: Promise<unknown>): Promise<unknown> => {
	try {
		await promise
	} catch (error) {
		return error
	}
	throw new Error('expected a rejection')
}

/** Hooks and rules that write down that they were called. */
function recorder(attempts: number, waitMs = 10) {
	const calls: string[] = []
	const seen: Attempt[] = []
	const note = (what: string) => (attempt: Attempt) => {
		calls.push(`${what} ${attempt.number}`)
		seen.push(attempt)
	}
	const options = {
		before: note('before'),
		after: note('after'),
		beforeSleep: note('beforeSleep'),
		when: (attempt: Attempt) => {
			calls.push(`when ${attempt.number}`)
			return attempt.failed
		},
		wait: (attempt: Attempt) => {
			calls.push(`wait ${attempt.number}`)
			return waitMs
		},
		stop: (attempt: Attempt) => {
			calls.push(`stop ${attempt.number} before ${attempt.upcomingWaitMs}`)
			return attempt.number >= attempts
		},
		sleep: async (delayMs: number) => {
			calls.push(`sleep ${delayMs}`)
		},
	}
	return { calls, seen, options }
}

test('success at once: the result, one call, no timer', async () => {
	const clock = fakeClock()
	const work = failing([], 'rows')
	expect(await retry(work, { clock })).toBe('rows')
	expect(work.calls).toBe(1)
	expect(clock.pendingTimers).toBe(0)
})

test('work that returns a plain value or throws at once is retried like work that returns a promise', async () => {
	const clock = fakeClock()
	let calls = 0
	const work = () => {
		calls += 1
		if (calls < 3) throw new Error('lost')
		return calls
	}
	expect(await through(clock, retry(work, { clock }))).toBe(3)
})

test('the hooks and rules run in order, and beforeSleep is not run after the last attempt but after is', async () => {
	const { calls, options } = recorder(2)
	const error = await rejection(retry(failing(lost(), 1), options))
	expect(error).toBeInstanceOf(RetryError)
	expect(calls).toEqual([
		...['before 1', 'when 1', 'after 1', 'wait 1', 'stop 1 before 10', 'beforeSleep 1', 'sleep 10'],
		...['before 2', 'when 2', 'after 2', 'wait 2', 'stop 2 before 10'],
	])
})

test('a success is asked about by when alone', async () => {
	const { calls, options } = recorder(3)
	await retry(failing(lost().slice(0, 1), 1), options)
	expect(calls.slice(-3)).toEqual(['sleep 10', 'before 2', 'when 2'])
})

test('each hook gets a record of its own, which knows the outcome and later also the wait', async () => {
	const clock = fakeClock()
	const { seen, options } = recorder(2)
	const errors = lost()
	const { sleep: _without, ...timed } = options
	await rejection(through(clock, retry(failing(errors, 1), { ...timed, clock, name: 'load' })))
	const shown = seen.map(({ number, elapsedMs, idleForMs, upcomingWaitMs, failed, error, name }) => [
		...[number, elapsedMs, idleForMs, upcomingWaitMs, failed],
		...[error, name],
	])
	expect(shown).toEqual([
		[1, 0, 0, 0, false, undefined, 'load'],
		[1, 0, 0, 0, true, errors[0], 'load'],
		[1, 0, 0, 10, true, errors[0], 'load'],
		[2, 10, 10, 0, false, undefined, 'load'],
		[2, 10, 10, 0, true, errors[1], 'load'],
	])
})

test('hooks may be async: the loop waits for each', async () => {
	const calls: string[] = []
	const slow = (what: string) => async () => {
		calls.push(`${what} begins`)
		await Promise.resolve()
		calls.push(`${what} ends`)
	}
	const options = { before: slow('before'), after: slow('after'), beforeSleep: slow('beforeSleep'), wait: wait.none }
	const work = () => {
		calls.push('work')
		throw new Error('lost')
	}
	const result = await retry(work, {
		...options,
		stop: stop.afterAttempts(2),
		onError: async () => {
			await slow('onError')()
			return 'none'
		},
	})
	expect(result).toBe('none')
	const turn = (name: string) => [`${name} begins`, `${name} ends`]
	const first = [...turn('before'), 'work', ...turn('after'), ...turn('beforeSleep')]
	expect(calls).toEqual([...first, ...turn('before'), 'work', ...turn('after'), ...turn('onError')])
})

test('a hook that throws ends the retry with its error', async () => {
	const wrong = new Error('hook')
	const work = failing(lost(), 1)
	const options = {
		after: () => {
			throw wrong
		},
	}
	expect(await rejection(retry(work, options))).toBe(wrong)
	expect(work.calls).toBe(1)
})

test('an error that when does not accept is thrown untouched and at once', async () => {
	const clock = fakeClock()
	const permanent = Object.freeze(Object.assign(new Error('syntax'), { code: '42601' }))
	const work = failing([permanent], 1)
	const seen: unknown[] = []
	const options = { clock, when: when.message('lost'), after: (attempt: Attempt) => seen.push(attempt), onError: () => 'substitute' }
	expect(await rejection(retry(work, options))).toBe(permanent)
	expect([work.calls, seen.length, clock.pendingTimers]).toEqual([1, 0, 0])
})

test('when it gives up it throws RetryError with the last attempt, and the native error as cause', async () => {
	const clock = fakeClock()
	const errors = lost()
	const error = (await rejection(through(clock, retry(failing(errors, 1), { clock, name: 'load', wait: wait.fixed(20) })))) as RetryError
	expect(error).toBeInstanceOf(RetryError)
	expect(HoldfastError.is(error)).toBe(true)
	expect(error.code).toBe('HOLDFAST_RETRIES_EXHAUSTED')
	expect(error.lastAttempt).toMatchObject({ number: 5, failed: true, error: errors[4], result: undefined })
	expect(error.cause).toBe(errors[4])
	expect(error.message).toBe('load: gave up after 5 attempts in 80 ms, since stop said so; of the last attempt its error is the cause')
})

test('the text of the native error, which may hold data, is not in the RetryError', async () => {
	const work = failing([new Error('duplicate key (email)=(a@b.c)')], 1)
	const error = (await rejection(retry(() => work(), { stop: stop.afterAttempts(1), clock: fakeClock() }))) as Error
	expect(error.message).toBe('gave up after 1 attempt in 0 ms, since stop said so; of the last attempt its error is the cause')
})

test('by default there are 5 attempts, with full jitter below 100, 200, 400 and 800 ms', async () => {
	const waits = async (chance: number) => {
		const waitsMs: number[] = []
		const clock = fakeClock({ random: () => chance })
		const work = failing(lost(), 1)
		await rejection(through(clock, retry(work, { clock, beforeSleep: (attempt) => waitsMs.push(attempt.upcomingWaitMs) })))
		expect(work.calls).toBe(5)
		return waitsMs
	}
	expect(await waits(0)).toEqual([0, 0, 0, 0])
	expect(await waits(0.5)).toEqual([50, 100, 200, 400])
})

test('reraise throws the last native error itself', async () => {
	const errors = lost()
	const error = await rejection(retry(failing(errors, 1), { stop: stop.afterAttempts(3), wait: wait.none, reraise: true }))
	expect(error).toBe(errors[2])
})

test('a result that when refuses is retried, and after the last one there is a RetryError without a cause', async () => {
	const results = [0, 0, 7]
	const options = { when: when.result((value) => value === 0), wait: wait.none, stop: stop.afterAttempts(3) }
	expect(await retry(() => results.shift() as number, options)).toBe(7)
	for (const reraise of [false, true]) {
		const error = (await rejection(retry(() => 0, { ...options, reraise }))) as RetryError
		expect(error).toBeInstanceOf(RetryError)
		expect(error.lastAttempt).toMatchObject({ number: 3, failed: false, error: undefined, result: 0 })
		expect('cause' in error).toBe(false)
		expect(error.message).toContain('its result was not accepted and is in lastAttempt.result')
	}
})

test('unlessError goes on after successes until the error comes', async () => {
	let calls = 0
	const drained = new RangeError('empty')
	const work = () => {
		calls += 1
		if (calls === 4) throw drained
		return calls
	}
	expect(await rejection(retry(work, { when: when.unlessError(RangeError), wait: wait.none }))).toBe(drained)
	expect(calls).toBe(4)
})

test('onError gives the result when the loop gives up, and sees the last attempt', async () => {
	const errors = lost()
	const onError = (attempt: Attempt) => [attempt.number, attempt.error] as const
	const result = await retry(failing(errors, 'rows'), { stop: stop.afterAttempts(2), wait: wait.none, onError, reraise: true })
	expect(result).toEqual([2, errors[1]])
})

test('retryErrorClass is thrown in place of RetryError', async () => {
	class GaveUp extends RetryError {}
	const error = await rejection(retry(failing(lost(), 1), { stop: stop.afterAttempts(1), retryErrorClass: GaveUp }))
	expect(error).toBeInstanceOf(GaveUp)
	expect((error as GaveUp).name).toBe('GaveUp')
})

test('TryAgain asks for another attempt whatever when says, and stop still holds', async () => {
	const options = { when: when.never, wait: wait.none, stop: stop.afterAttempts(3) }
	expect(await retry(failing([new TryAgain(), new TryAgain('not yet')], 'rows'), options)).toBe('rows')
	const cause = new Error('native')
	const error = (await rejection(retry(failing(Array(3).fill(new TryAgain('not yet', { cause })), 1), options))) as RetryError
	expect(error).toBeInstanceOf(RetryError)
	expect(error.cause).toBeInstanceOf(TryAgain)
	expect((error.cause as TryAgain).cause).toBe(cause)
})

test('the work learns its number, the time gone by, the waits, the time left and the signal', async () => {
	const clock = fakeClock()
	const contexts: AttemptContext[] = []
	const { signal } = new AbortController()
	const work = (context: AttemptContext) => {
		contexts.push(context)
		if (context.number < 3) throw new Error('lost')
	}
	await through(clock, retry(work, { clock, signal, wait: wait.fixed(30), deadlineMs: 1000 }))
	expect(contexts).toEqual([
		{ number: 1, elapsedMs: 0, idleForMs: 0, remainingMs: 1000, signal },
		{ number: 2, elapsedMs: 30, idleForMs: 30, remainingMs: 970, signal },
		{ number: 3, elapsedMs: 60, idleForMs: 60, remainingMs: 940, signal },
	])
})

test('enabled: false calls the work once, with no policy at all', async () => {
	const { calls, options } = recorder(3)
	const error = new Error('lost')
	const work = failing([error], 1)
	expect(await rejection(retry(work, { ...options, enabled: false, onError: () => 1 }))).toBe(error)
	expect(work.calls).toBe(1)
	expect(calls).toEqual([])
})

test('rules that answer nonsense end the retry with an error that keeps the native one', async () => {
	const native = new Error('lost')
	const late = (await rejection(retry(failing([native], 1), { when: (async () => false) as never }))) as Error
	expect([late.message, late.cause]).toEqual(['when must answer true or false at once, got a promise', native])
	const nan = (await rejection(retry(failing([native], 1), { wait: () => Number.NaN }))) as Error
	expect(nan).toBeInstanceOf(RangeError)
	expect([nan.message, nan.cause]).toEqual(['the answer of wait must be a non-negative number of milliseconds, got NaN', native])
})

test('a rule may answer by truth, as plain JavaScript does', async () => {
	const work = failing([{ code: 'A' }, { code: 'B' }], 1)
	const answers = { when: (({ error }: Attempt) => (error as { code?: string }).code === 'A' && 'yes') as never }
	expect(await rejection(retry(work, { ...answers, wait: wait.none }))).toEqual({ code: 'B' })
})

test('retryWith binds a policy, and each call may override parts of it', async () => {
	const patient = retryWith({ stop: stop.afterAttempts(3), wait: wait.none })
	const attempts = async (run: (work: () => Promise<number>) => Promise<unknown>) => {
		const work = failing(lost(), 1)
		await rejection(run(work))
		return work.calls
	}
	expect(await attempts((work) => patient(work))).toBe(3)
	expect(await attempts((work) => patient(work, { stop: stop.afterAttempts(2) }))).toBe(2)
	expect(await attempts((work) => patient.retryWith({ stop: stop.afterAttempts(4) })(work))).toBe(4)
	expect(await attempts((work) => patient(work, { stop: undefined }))).toBe(5)
	expect(await attempts((work) => patient(work))).toBe(3)
	expect(() => retryWith({ stop: 5 as never })).toThrow('stop must be a function, got 5')
})
