/** Does a bad option fail at the call, by name, rule and value? */
import { expect, test } from 'vitest'
import {
	abortSignal,
	bool,
	checkOptions,
	fn,
	type OptionRules,
	oneOf,
	positiveMs,
	positiveMsOrInfinity,
	show,
	text,
	wholeNumber,
} from '../../src/options.ts'
import { createScheduler } from '../../src/outage/scheduler.ts'
import { checkPoolOptions } from '../../src/pool-options.ts'
import { fakeClock } from '../support/fake-clock.ts'

const check = (options: unknown) => () => checkPoolOptions(options)

test.each([
	[{ deadlineMs: '5s' }, TypeError, 'deadlineMs must be a positive number of milliseconds (Infinity for none), got "5s"'],
	[{ deadlineMs: 0 }, RangeError, 'deadlineMs must be a positive number of milliseconds (Infinity for none), got 0'],
	[{ deadlineMs: Number.NaN }, RangeError, 'got NaN'],
	[{ attemptTimeoutMs: Number.POSITIVE_INFINITY }, RangeError, 'attemptTimeoutMs must be a positive number of milliseconds, got Infinity'],
	[{ maxWaiting: 1.5 }, RangeError, 'maxWaiting must be a whole number of 0 or more (Infinity for no limit), got 1.5'],
	[{ maxWaiting: -1 }, RangeError, 'got -1'],
	[{ maxWaiting: 10n }, TypeError, 'got 10'],
	[{ stop: 3 }, TypeError, 'stop must be a function, got 3'],
	[{ readsAreSafe: 'yes' }, TypeError, 'readsAreSafe must be true or false, got "yes"'],
	[{ signal: {} }, TypeError, 'signal must be an AbortSignal, got an object (Object)'],
	[{ scheduler: {} }, TypeError, 'scheduler must be a scheduler made by createScheduler, got an object (Object)'],
	[{ classify: 'rows' }, TypeError, 'classify must be an array of classification rows, got "rows"'],
	[{ deadline: 5 }, TypeError, 'unknown option deadline; known are scheduler, deadlineMs'],
	[null, TypeError, 'options must be an object, got null'],
	[[], TypeError, 'options must be an object, got an array of 0'],
	['fast', TypeError, 'options must be an object, got "fast"'],
])('options of a pool: %o is refused', (options, kind, message) => {
	expect(check(options)).toThrow(kind)
	expect(check(options)).toThrow(message)
})

test('options that are undefined count as not given', () => {
	expect(check({ deadlineMs: undefined, signal: undefined })).not.toThrow()
	expect(check({})).not.toThrow()
})

test.each([
	[{ probeTimeoutMs: 0 }, RangeError, 'probeTimeoutMs must be a positive number of milliseconds, got 0'],
	[{ probeFirstDelayMs: 100, probeMaxDelayMs: 50 }, RangeError, 'probeMaxDelayMs must be >= probeFirstDelayMs (100), got 50'],
	[{ clock: { setTimer() {} } }, TypeError, 'clock must be a Clock (now, setTimer, clearTimer, random), got an object (Object)'],
	[{ probeDelayMs: 5 }, TypeError, 'createScheduler: unknown option probeDelayMs; known are probeFirstDelayMs'],
	[42, TypeError, 'createScheduler: options must be an object, got 42'],
])('options of a scheduler: %o is refused', (options, kind, message) => {
	expect(() => createScheduler(options as never)).toThrow(kind)
	expect(() => createScheduler(options as never)).toThrow(message)
})

test('one of the two delays of a scheduler moves the other one along', () => {
	expect(() => createScheduler({ probeFirstDelayMs: 2_000 })).not.toThrow()
	expect(() => createScheduler({ probeMaxDelayMs: 10 })).not.toThrow()
	expect(() => createScheduler({ clock: fakeClock() })).not.toThrow()
})

test('values in errors are short, and never the inside of an object, which may hold a password', () => {
	expect(show('x'.repeat(100))).toBe(`"${'x'.repeat(40)}…"`)
	expect(show({ password: 'secret' })).toBe('an object (Object)')
	expect(show(Object.create(null))).toBe('an object (no prototype)')
	expect(show([1, 2])).toBe('an array of 2')
	expect(show(function named() {})).toBe('the function named')
	expect(show(() => {})).toBe('the function (anonymous)')
	expect(show(Symbol('s'))).toBe('Symbol(s)')
	expect(show(undefined)).toBe('undefined')
})

test('an object whose constructor is a trap is still shown', () => {
	const trap = Object.defineProperty({}, 'constructor', {
		get() {
			throw new Error('trap')
		},
	})
	expect(show(trap)).toBe('an object (no prototype)')
	expect(show({ constructor: { name: { secret: 1 } } })).toBe('an object (no prototype)')
})

test('each rule accepts what it says, and its neighbours are refused', () => {
	const rows: [OptionRules<{ x: unknown }>['x'], unknown[], unknown[]][] = [
		[positiveMs, [1, 0.5, 1e9], [0, -1, Number.NaN, Number.POSITIVE_INFINITY, '1', null]],
		[positiveMsOrInfinity, [1, Number.POSITIVE_INFINITY], [0, -1, Number.NaN, Number.NEGATIVE_INFINITY, '1']],
		[wholeNumber, [0, 7, Number.POSITIVE_INFINITY], [-1, 0.5, Number.NaN, '7']],
		[bool, [true, false], [0, 'true', null]],
		[text, ['a'], ['', 1, null]],
		[fn, [() => {}, class {}], [{}, null]],
		[abortSignal, [new AbortController().signal, AbortSignal.abort()], [new AbortController(), {}, null, new EventTarget()]],
		[oneOf('a', 'b'), ['a', 'b'], ['c', '', null]],
	]
	for (const [rule, good, bad] of rows) {
		for (const value of good) expect(() => checkOptions('f', { x: value }, { x: rule })).not.toThrow()
		for (const value of bad) expect(() => checkOptions('f', { x: value }, { x: rule })).toThrow(/^x must be /)
	}
})

test('options that are inherited or that are not enumerable are nobody’s', () => {
	expect(() => checkOptions('f', Object.create({ unknown: 1 }), { x: bool })).not.toThrow()
	expect(() => checkOptions('f', { toString: 1 }, { x: bool })).toThrow('unknown option toString')
})
