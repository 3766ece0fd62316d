/** Does a wrapped function stay what it was, and retry? */
import { inspect } from 'node:util'
import { expect, expectTypeOf, test } from 'vitest'
import type { Attempt } from '../../../src/retry/attempt.ts'
import type { RetryStatistics } from '../../../src/retry/course.ts'
import { retry, retryWith } from '../../../src/retry/retry.ts'
import { retrying, type Turn } from '../../../src/retry/retrying.ts'
import * as stop from '../../../src/retry/stop.ts'
import * as wait from '../../../src/retry/wait.ts'
import * as when from '../../../src/retry/when.ts'
import { wrap } from '../../../src/retry/wrap.ts'
import { fakeClock } from '../../support/fake-clock.ts'
import { through } from './an-attempt.ts'

test('this, arguments, name and length are kept', async () => {
	const account = {
		balance: 40,
		calls: 0,
		add: wrap(
			async function add(this: { balance: number; calls: number }, amount: number, note: string) {
				this.calls += 1
				if (this.calls < 3) throw new Error('lost')
				return [this.balance + amount, note]
			},
			{ wait: wait.none },
		),
	}
	expect(await account.add(2, 'two')).toEqual([42, 'two'])
	expect(account.calls).toBe(3)
	expect([account.add.name, account.add.length]).toEqual(['add', 2])
})

test('a function that is not async returns a promise, and what it throws is retried', async () => {
	let calls = 0
	const parse = wrap(
		(text: string) => {
			calls += 1
			if (calls === 1) throw new Error('lost')
			return Number(text)
		},
		{ wait: wait.none },
	)
	expect(await parse('7')).toBe(7)
	expect(retry.wrap).toBe(wrap)
})

test('hooks find the arguments and the name in the record', async () => {
	const seen: unknown[] = []
	async function load(_id: number): Promise<number> {
		throw new Error('lost')
	}
	const options = { stop: stop.afterAttempts(1), after: ({ name, args }: Attempt) => seen.push(name, args) }
	await expect(wrap(load, options)(7)).rejects.toThrow('load: gave up after 1 attempt')
	await expect(wrap(load, { ...options, name: 'by id' })(8)).rejects.toThrow('by id: gave up')
	expect(seen).toEqual(['load', [7], 'by id', [8]])
})

test('the arguments of the call are not in the error, which may be printed', async () => {
	const login = wrap(async (_password: string) => Promise.reject(new Error('lost')), { stop: stop.afterAttempts(1) })
	const error = await login('hunter2').catch((caught: unknown) => caught)
	expect(inspect(error, { depth: 10, showHidden: true })).not.toContain('hunter2')
})

test('the policy is readable, and retryWith replaces parts of it in a new function', async () => {
	const calls = { first: 0 }
	const load = wrap(
		async () => {
			calls.first += 1
			throw new Error('lost')
		},
		{ stop: stop.afterAttempts(2), wait: wait.none, name: 'load' },
	)
	const patient = load.retryWith({ stop: stop.afterAttempts(4) })
	await expect(patient()).rejects.toThrow('load: gave up after 4 attempts')
	await expect(load()).rejects.toThrow('load: gave up after 2 attempts')
	expect(calls.first).toBe(6)
	expect(load.retry).toMatchObject({ name: 'load', wait: wait.none, reraise: false, enabled: true })
	expect(patient.retry.wait).toBe(wait.none)
})

test('statistics have all their keys from the start, and tell of the call that began last', async () => {
	const clock = fakeClock({ startMs: 100 })
	const load = wrap(
		async (failures: number) => {
			clock.advanceSync(5)
			if (load.statistics.attempts <= failures) throw new Error('lost')
		},
		{ clock, wait: wait.fixed(10) },
	)
	expect(load.statistics).toEqual({ startedAtMs: 0, attempts: 0, idleForMs: 0, elapsedMs: 0 })
	await through(clock, load(2))
	const first = load.statistics
	expect(first).toEqual({ startedAtMs: 100, attempts: 3, idleForMs: 20, elapsedMs: 35 })
	await through(clock, load(0))
	expect(load.statistics).toEqual({ startedAtMs: 135, attempts: 1, idleForMs: 0, elapsedMs: 5 })
	expect(first.attempts).toBe(3)
})

test('calls that overlap do not disturb each other', async () => {
	const clock = fakeClock()
	const attempts = new Map<string, number>()
	const load = wrap(
		async (key: string, failures: number) => {
			const number = (attempts.get(key) ?? 0) + 1
			attempts.set(key, number)
			if (number <= failures) throw new Error('lost')
			return `${key}${number}`
		},
		{ clock, wait: wait.fixed(10) },
	)
	expect(await through(clock, Promise.all([load('a', 3), load('b', 1), load('c', 0)]))).toEqual(['a4', 'b2', 'c1'])
})

test('enabled: false leaves the bare call', async () => {
	const error = new Error('lost')
	const load = wrap(
		async () => {
			throw error
		},
		{ enabled: false },
	)
	await expect(load()).rejects.toBe(error)
	await expect(load.retryWith({ enabled: true, stop: stop.afterAttempts(1) })()).rejects.toMatchObject({ cause: error })
})

test('the types follow the work, onError and the wrapped function', () => {
	const load = async (id: number) => ({ id })
	const untyped = () => {
		expectTypeOf(retry(() => load(1))).toEqualTypeOf<Promise<{ id: number }>>()
		expectTypeOf(retry(() => 1, { onError: () => null })).toEqualTypeOf<Promise<number | null>>()
		expectTypeOf(retry(() => load(1), { onError: async () => 'none' })).toEqualTypeOf<Promise<{ id: number } | string>>()
		expectTypeOf(retryWith({ onError: () => null })(() => 1)).toEqualTypeOf<Promise<number | null>>()
		// @ts-expect-error a rule answers with a boolean
		retry(load, { when: () => 'yes' })
		// @ts-expect-error an option that does not exist
		retry(load, { retries: 3 })
	}
	expect(untyped).toBeTypeOf('function')
	expectTypeOf(wrap(load)).toBeCallableWith(1)
	expectTypeOf(wrap(load)).returns.toEqualTypeOf<Promise<{ id: number }>>()
	expectTypeOf(wrap((text: string) => text.length)).returns.toEqualTypeOf<Promise<number>>()
	expectTypeOf(wrap(load, { onError: () => null })).returns.toEqualTypeOf<Promise<{ id: number } | null>>()
	expectTypeOf(wrap(load).retryWith({ onError: () => 0 })(1)).toEqualTypeOf<Promise<{ id: number } | number>>()
	const first = wrap(async <T>(list: readonly T[]) => list[0])
	expectTypeOf(first(['a'])).toEqualTypeOf<Promise<string | undefined>>()
	expectTypeOf(wrap(load).statistics).toEqualTypeOf<RetryStatistics>()
	expectTypeOf(stop.afterAttempts(5).or(stop.afterDelay(1000)).and).toBeFunction()
	expectTypeOf(when.error(TypeError)).toExtend<(attempt: Attempt) => boolean>()
	expectTypeOf(retrying({ onError: () => 0 })[Symbol.asyncIterator]().next).returns.toEqualTypeOf<Promise<IteratorResult<Turn<number>>>>()
})
