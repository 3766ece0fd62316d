/** Do the wait rules wait as long as they say, with jitter also at the cap? */
import fc from 'fast-check'
import { expect, test } from 'vitest'
import { longestTimerMs } from '../../../src/clock.ts'
import type { Attempt, Wait } from '../../../src/retry/attempt.ts'
import * as wait from '../../../src/retry/wait.ts'
import { seededRandom } from '../../support/fake-clock.ts'
import { anAttempt } from './an-attempt.ts'

const numbers = [1, 2, 3, 4, 5]
const waits = (rule: Wait, parts: Partial<Attempt> = {}) => numbers.map((number) => rule(anAttempt({ ...parts, number })))
const overflowing = anAttempt({ number: 5000 })

test.each([
	['none', wait.none(), [0, 0, 0, 0, 0]],
	['none without a call', wait.none, [0, 0, 0, 0, 0]],
	['fixed', wait.fixed(30), [30, 30, 30, 30, 30]],
	['random between two numbers', wait.random(100, 200), [150, 150, 150, 150, 150]],
	['random by options', wait.random({ minMs: 100, maxMs: 200 }), [150, 150, 150, 150, 150]],
	['random by default', wait.random(), [500, 500, 500, 500, 500]],
	['incrementing', wait.incrementing({ startMs: 10, incrementMs: 5 }), [10, 15, 20, 25, 30]],
	['incrementing by default', wait.incrementing(), [0, 100, 200, 300, 400]],
	['incrementing up to a cap', wait.incrementing({ startMs: 10, incrementMs: 5, maxMs: 18 }), [10, 15, 18, 18, 18]],
	['incrementing downwards to 0', wait.incrementing({ startMs: 10, incrementMs: -4 }), [10, 6, 2, 0, 0]],
	['exponential by default', wait.exponential(), [1000, 2000, 4000, 8000, 16000]],
	['exponential', wait.exponential({ multiplierMs: 10, expBase: 3 }), [10, 30, 90, 270, 810]],
	['exponential between bounds', wait.exponential({ multiplierMs: 10, minMs: 25, maxMs: 100 }), [25, 25, 40, 80, 100]],
	['exponential of 0', wait.exponential({ multiplierMs: 0, minMs: 3 }), [3, 3, 3, 3, 3]],
	['randomExponential at half', wait.randomExponential({ multiplierMs: 10, maxMs: 100 }), [5, 10, 20, 40, 50]],
	['randomExponential from a floor', wait.randomExponential({ multiplierMs: 10, minMs: 20, maxMs: 100 }), [20, 20, 30, 50, 60]],
	['exponentialJitter at half', wait.exponentialJitter({ multiplierMs: 10, jitterMs: 8 }), [14, 24, 44, 84, 164]],
	['exponentialJitter at its cap', wait.exponentialJitter({ multiplierMs: 10, jitterMs: 20, maxMs: 60 }), [20, 30, 50, 50, 50]],
	['exponentialJitter wider than its bounds', wait.exponentialJitter({ multiplierMs: 10, minMs: 20, maxMs: 60 }), [40, 40, 40, 40, 40]],
	['chain', wait.chain(wait.fixed(1), () => 2, wait.fixed(3)), [1, 2, 3, 3, 3]],
	['combine', wait.combine(wait.fixed(1), (attempt: Attempt) => attempt.number), [2, 3, 4, 5, 6]],
	[
		'plus',
		wait
			.fixed(1)
			.plus(() => 2, wait.fixed(3))
			.plus(wait.none),
		[6, 6, 6, 6, 6],
	],
])('wait: %s', (_title, rule, expected) => {
	expect(waits(rule)).toEqual(expected)
})

test('wait.exception asks the error, and an attempt with a result waits 0', () => {
	const rule = wait.exception((error: { retryAfterMs: number }) => error.retryAfterMs)
	expect(rule(anAttempt({ error: { retryAfterMs: 70 } }))).toBe(70)
	expect(rule(anAttempt({ result: { retryAfterMs: 70 } }))).toBe(0)
	expect(() => rule(anAttempt({ error: {} }))).toThrow(
		'the answer of wait.exception must be a non-negative number of milliseconds, got undefined',
	)
})

test('a power that overflows is the cap, and without a cap the longest timer', () => {
	expect(wait.exponential({ maxMs: 700 })(overflowing)).toBe(700)
	expect(wait.exponential()(overflowing)).toBe(longestTimerMs)
	expect(wait.randomExponential({ maxMs: 700 })(overflowing)).toBe(350)
	expect(wait.exponentialJitter({ maxMs: 700, jitterMs: 100 })(overflowing)).toBe(650)
	expect(wait.exponential({ multiplierMs: 0 })(overflowing)).toBe(0)
	expect(wait.incrementing({ incrementMs: Number.MAX_VALUE })(overflowing)).toBe(longestTimerMs)
	expect(wait.incrementing({ incrementMs: -Number.MAX_VALUE })(overflowing)).toBe(0)
})

const bounds = fc.record({
	multiplierMs: fc.double({ min: 0, max: 1e7, noNaN: true }),
	expBase: fc.double({ min: 0.01, max: 1000, noNaN: true }),
	minMs: fc.double({ min: 0, max: 1e6, noNaN: true }),
	widthMs: fc.double({ min: 0, max: 1e9, noNaN: true }),
	jitterMs: fc.double({ min: 0, max: 1e9, noNaN: true }),
	number: fc.integer({ min: 1, max: 1e6 }),
	chance: fc.double({ min: 0, max: 1, maxExcluded: true, noNaN: true }),
})

test('no exponential wait ever leaves its bounds', () => {
	fc.assert(
		fc.property(bounds, ({ multiplierMs, expBase, minMs, widthMs, jitterMs, number, chance }) => {
			const options = { multiplierMs, expBase, minMs, maxMs: minMs + widthMs }
			const attempt = anAttempt({ number, random: () => chance })
			const plainMs = wait.exponential(options)(attempt)
			const fullMs = wait.randomExponential(options)(attempt)
			const jitteredMs = wait.exponentialJitter({ ...options, jitterMs })(attempt)
			for (const waitMs of [plainMs, fullMs, jitteredMs]) {
				expect(waitMs).toBeGreaterThanOrEqual(options.minMs)
				expect(waitMs).toBeLessThanOrEqual(options.maxMs)
			}
			expect(fullMs).toBeLessThanOrEqual(plainMs)
		}),
	)
})

test('below the cap exponentialJitter is the power plus at most jitterMs, as in Tenacity', () => {
	fc.assert(
		fc.property(
			fc.integer({ min: 1, max: 20 }),
			fc.integer({ min: 0, max: 500 }),
			fc.double({ min: 0, max: 0.999, noNaN: true }),
			(number, jitterMs, chance) => {
				const waitMs = wait.exponentialJitter({ multiplierMs: 10, jitterMs })(anAttempt({ number, random: () => chance }))
				expect(waitMs).toBeCloseTo(10 * 2 ** (number - 1) + chance * jitterMs, 6)
			},
		),
	)
})

test('at the cap a herd still spreads over the whole jitter', () => {
	const random = seededRandom(7)
	const rule = wait.exponentialJitter({ multiplierMs: 100, maxMs: 1000, jitterMs: 200 })
	const herd = Array.from({ length: 1000 }, () => rule(anAttempt({ number: 30, random })))
	expect(Math.min(...herd)).toBeLessThan(810)
	expect(Math.max(...herd)).toBeGreaterThan(990)
	expect(herd.every((waitMs) => waitMs >= 800 && waitMs <= 1000)).toBe(true)
})

test('chain takes the n-th rule and repeats its last; combine is the sum', () => {
	const delays = fc.array(fc.integer({ min: 0, max: 1e6 }), { minLength: 1, maxLength: 20 })
	fc.assert(
		fc.property(delays, fc.integer({ min: 1, max: 40 }), (delaysMs, number) => {
			const rules = delaysMs.map((delayMs) => wait.fixed(delayMs))
			expect(wait.chain(...rules)(anAttempt({ number }))).toBe(delaysMs[Math.min(number, delaysMs.length) - 1])
			expect(wait.combine(...rules)(anAttempt({ number }))).toBe(delaysMs.reduce((sum, each) => sum + each))
		}),
	)
})

test.each([
	['fixed(-1)', () => wait.fixed(-1), RangeError, 'wait.fixed: delayMs must be a non-negative number of milliseconds, got -1'],
	['fixed(Infinity)', () => wait.fixed(Infinity), RangeError, 'got Infinity'],
	['fixed of text', () => wait.fixed('1s' as never), TypeError, 'got "1s"'],
	['random upside down', () => wait.random(200, 100), RangeError, 'maxMs must be at least minMs (200), got 100'],
	['random of text', () => wait.random('1' as never), TypeError, 'minMs must be a non-negative number of milliseconds, got "1"'],
	['random(null)', () => wait.random(null as never), TypeError, 'wait.random: options must be an object'],
	[
		'random with an unknown name',
		() => wait.random({ maximumMs: 1 } as never),
		TypeError,
		'wait.random: unknown option maximumMs; known are minMs, maxMs',
	],
	[
		'incrementing by NaN',
		() => wait.incrementing({ incrementMs: Number.NaN }),
		RangeError,
		'incrementMs must be a finite number of milliseconds, got NaN',
	],
	['incrementing by number', () => wait.incrementing(5 as never), TypeError, 'wait.incrementing: options must be an object, got 5'],
	['exponential(null)', () => wait.exponential(null as never), TypeError, 'wait.exponential: options must be an object, got null'],
	['expBase 0', () => wait.exponential({ expBase: 0 }), RangeError, 'expBase must be a positive number, got 0'],
	[
		'maxMs Infinity',
		() => wait.exponential({ maxMs: Infinity }),
		RangeError,
		'maxMs must be a non-negative number of milliseconds, got Infinity',
	],
	['maxMs below minMs', () => wait.randomExponential({ minMs: 2, maxMs: 1 }), RangeError, 'maxMs must be at least minMs (2), got 1'],
	[
		'a negative jitter',
		() => wait.exponentialJitter({ jitterMs: -1 }),
		RangeError,
		'jitterMs must be a non-negative number of milliseconds, got -1',
	],
	['jitterMs where there is none', () => wait.exponential({ jitterMs: 1 } as never), TypeError, 'unknown option jitterMs'],
	['chain()', () => wait.chain(), TypeError, 'wait.chain must be given at least one rule, got none'],
	['combine()', () => wait.combine(), TypeError, 'wait.combine must be given at least one rule, got none'],
	['chain of numbers', () => wait.chain(100 as never), TypeError, 'wait.chain: rule 1 must be a function, got 100'],
	['exception of a number', () => wait.exception(100 as never), TypeError, 'wait.exception: read must be a function, got 100'],
	[
		'a part that answers NaN',
		() => wait.combine(() => Number.NaN)(anAttempt()),
		RangeError,
		'the answer of wait.combine must be a non-negative number of milliseconds, got NaN',
	],
	['a part that answers late', () => wait.chain((async () => 5) as never)(anAttempt()), TypeError, 'the answer of wait.chain must be'],
] as const)('wait refuses %s', (_title, make, kind, text) => {
	expect(make).toThrow(kind)
	expect(make).toThrow(text)
})

test.each([
	['multiplier', 'multiplierMs'],
	['initial', 'multiplierMs'],
	['min', 'minMs'],
	['max', 'maxMs'],
	['jitter', 'jitterMs'],
	['exp_base', 'expBase'],
])("Tenacity's name %s is refused with ours, %s", (foreign, ours) => {
	expect(() => wait.exponentialJitter({ [foreign]: 1 })).toThrow(`unknown option ${foreign}: use ${ours}`)
})
