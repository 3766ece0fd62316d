/** Is every option of a retry checked, with option, rule and value in the error? */
import { expect, test } from 'vitest'
import { retry } from '../../../src/retry/retry.ts'
import { retrying } from '../../../src/retry/retrying.ts'
import { wrap } from '../../../src/retry/wrap.ts'

const work = () => 1

const bad: readonly [options: unknown, kind: typeof TypeError | typeof RangeError, text: string][] = [
	[{ stop: 5 }, TypeError, 'stop must be a function, got 5'],
	[{ wait: 100 }, TypeError, 'wait must be a function, got 100'],
	[{ when: /lost/ }, TypeError, 'when must be a function, got an object'],
	[{ before: 'x' }, TypeError, 'before must be a function, got "x"'],
	[{ after: {} }, TypeError, 'after must be a function, got an object'],
	[{ beforeSleep: null }, TypeError, 'beforeSleep must be a function, got null'],
	[{ onError: 1 }, TypeError, 'onError must be a function, got 1'],
	[{ reraise: 'yes' }, TypeError, 'reraise must be true or false, got "yes"'],
	[{ enabled: 0 }, TypeError, 'enabled must be true or false, got 0'],
	[{ signal: new AbortController() }, TypeError, 'signal must be an AbortSignal, got an object'],
	[{ deadlineMs: '5s' }, TypeError, 'deadlineMs must be a positive number of milliseconds'],
	[{ deadlineMs: '5s' }, TypeError, 'got "5s"'],
	[{ deadlineMs: 0 }, RangeError, 'deadlineMs must be a positive number of milliseconds'],
	[{ deadlineMs: -1 }, RangeError, 'got -1'],
	[{ deadlineMs: Number.NaN }, RangeError, 'got NaN'],
	[{ name: 5 }, TypeError, 'name must be a string'],
	[{ sleep: 5 }, TypeError, 'sleep must be a function, got 5'],
	[{ clock: Date }, TypeError, 'clock must be a Clock (now, setTimer, clearTimer, random)'],
	[{ clock: { now: () => 0 } }, TypeError, 'clock must be a Clock'],
	[{ retryErrorClass: () => new Error('x') }, TypeError, 'retryErrorClass must be a class'],
	[{ deadline: 5 }, TypeError, 'unknown option deadline: use deadlineMs (milliseconds); known are stop, wait, when'],
	[{ retries: 3 }, TypeError, 'unknown option retries: use stop: stop.afterAttempts(retries + 1)'],
	[{ retry_error_callback: work }, TypeError, 'unknown option retry_error_callback: use onError'],
	[{ before_sleep: work }, TypeError, 'unknown option before_sleep: use beforeSleep'],
	[{ retry: work }, TypeError, 'unknown option retry: use when'],
	[{ toString: work }, TypeError, 'unknown option toString'],
	[5, TypeError, 'options must be an object, got 5'],
	[null, TypeError, 'options must be an object, got null'],
	[[], TypeError, 'options must be an object, got an array'],
]

test.each(bad)('%o is refused by retry, retrying, wrap and retryWith', async (options, kind, text) => {
	let calls = 0
	const counted = () => {
		calls += 1
	}
	await expect(retry(counted, options as never)).rejects.toThrow(kind)
	await expect(retry(counted, options as never)).rejects.toThrow(text)
	for (const make of [() => retrying(options as never), () => wrap(counted, options as never)]) {
		expect(make).toThrow(kind)
		expect(make).toThrow(text)
	}
	if (typeof options === 'object' && options !== null && !Array.isArray(options)) {
		expect(() => wrap(counted).retryWith(options)).toThrow(text)
	}
	expect(calls).toBe(0)
})

test('the message says which function was called', async () => {
	await expect(retry(work, { retires: 1 } as never)).rejects.toThrow('retry: unknown option retires')
	expect(() => retrying({ retires: 1 } as never)).toThrow('retrying: unknown option retires')
	expect(() => wrap(work, { retires: 1 } as never)).toThrow('wrap: unknown option retires')
})

test('work that is no function is refused, a promise above all: it cannot be run again', async () => {
	await expect(retry(Promise.resolve(1) as never)).rejects.toThrow('retry: the work must be a function, got an object (Promise)')
	await expect(retry(undefined as never)).rejects.toThrow(TypeError)
	expect(() => wrap('load' as never)).toThrow('wrap: fn must be a function, got "load"')
})

test('undefined means the default, and Infinity no deadline', async () => {
	expect(await retry(work, { stop: undefined, wait: undefined, clock: undefined, enabled: undefined, deadlineMs: Infinity })).toBe(1)
	const { retry: policy } = wrap(work, { deadlineMs: undefined })
	expect(policy).toMatchObject({ deadlineMs: Infinity, enabled: true, reraise: false })
	expect(Object.isFrozen(policy)).toBe(true)
})
