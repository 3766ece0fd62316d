/** Do the stop rules give up when they should? */
import { expect, test } from 'vitest'
import type { Attempt } from '../../../src/retry/attempt.ts'
import * as stop from '../../../src/retry/stop.ts'
import { anAttempt } from './an-attempt.ts'

const aborted = new AbortController()
aborted.abort()
const third = (attempt: Attempt) => attempt.number === 3

test.each([
	['never', stop.never(), { number: 1e9, elapsedMs: 1e15 }, false],
	['never without a call', stop.never, { number: 1e9 }, false],
	['afterAttempts(3) at 2', stop.afterAttempts(3), { number: 2 }, false],
	['afterAttempts(3) at 3', stop.afterAttempts(3), { number: 3 }, true],
	['afterAttempts(3) past it', stop.afterAttempts(3), { number: 4 }, true],
	['afterDelay before it', stop.afterDelay(100), { elapsedMs: 99, upcomingWaitMs: 1000 }, false],
	['afterDelay at it', stop.afterDelay(100), { elapsedMs: 100 }, true],
	['afterDelay(0) at the first attempt', stop.afterDelay(0), { elapsedMs: 0 }, true],
	['beforeDelay when the wait ends before it', stop.beforeDelay(100), { elapsedMs: 50, upcomingWaitMs: 49 }, false],
	['beforeDelay when the wait ends at it', stop.beforeDelay(100), { elapsedMs: 50, upcomingWaitMs: 50 }, true],
	['whenAborted with a live signal', stop.whenAborted(new AbortController().signal), {}, false],
	['whenAborted with an aborted one', stop.whenAborted(aborted.signal), {}, true],
	['any, one of them', stop.any(stop.afterAttempts(9), third), { number: 3 }, true],
	['any, none of them', stop.any(stop.afterAttempts(9), third), { number: 2 }, false],
	['all, one of them', stop.all(stop.afterAttempts(2), third), { number: 2 }, false],
	['all, each of them', stop.all(stop.afterAttempts(2), third), { number: 3 }, true],
	['or, the second', stop.afterAttempts(5).or(stop.afterDelay(1000)), { number: 1, elapsedMs: 1000 }, true],
	['or, none', stop.afterAttempts(5).or(stop.afterDelay(1000), third), { number: 1, elapsedMs: 10 }, false],
	['and, only one', stop.afterAttempts(5).and(stop.afterDelay(1000)), { number: 5, elapsedMs: 10 }, false],
	['and, both', stop.afterAttempts(5).and(stop.afterDelay(1000)), { number: 5, elapsedMs: 1000 }, true],
	['a chain of both', stop.afterAttempts(5).and(stop.afterDelay(1000)).or(third), { number: 3 }, true],
] as const)('stop: %s', (_title, rule, attempt, answer) => {
	expect(rule(anAttempt(attempt))).toBe(answer)
})

test.each([
	['afterAttempts(0)', () => stop.afterAttempts(0), RangeError, 'stop.afterAttempts: attempts must be a whole number of at least 1, got 0'],
	['afterAttempts(1.5)', () => stop.afterAttempts(1.5), RangeError, 'got 1.5'],
	['afterAttempts(Infinity)', () => stop.afterAttempts(Infinity), RangeError, 'got Infinity'],
	['afterAttempts of text', () => stop.afterAttempts('5' as never), TypeError, 'got "5"'],
	[
		'afterDelay(-1)',
		() => stop.afterDelay(-1),
		RangeError,
		'stop.afterDelay: delayMs must be a non-negative number of milliseconds, got -1',
	],
	['afterDelay(NaN)', () => stop.afterDelay(Number.NaN), RangeError, 'got NaN'],
	[
		'beforeDelay of text',
		() => stop.beforeDelay('5s' as never),
		TypeError,
		'stop.beforeDelay: delayMs must be a non-negative number of milliseconds, got "5s"',
	],
	[
		'whenAborted of a controller',
		() => stop.whenAborted(new AbortController() as never),
		TypeError,
		'stop.whenAborted: signal must be an AbortSignal',
	],
	['any()', () => stop.any(), TypeError, 'stop.any must be given at least one rule, got none'],
	['all()', () => stop.all(), TypeError, 'stop.all must be given at least one rule, got none'],
	['any of a number', () => stop.any(stop.never, 5 as never), TypeError, 'stop.any: rule 2 must be a function, got 5'],
	['or of nothing sensible', () => stop.never.or({} as never), TypeError, 'or: rule 2 must be a function'],
] as const)('stop refuses %s', (_title, make, kind, text) => {
	expect(make).toThrow(kind)
	expect(make).toThrow(text)
})

test('a rule inside any or all that answers with a promise is refused, because a promise counts as true', () => {
	const late = (async () => false) as never
	expect(() => stop.any(late)(anAttempt())).toThrow('stop.any must answer true or false at once, got a promise')
	expect(() => stop.all(late)(anAttempt())).toThrow(TypeError)
})
