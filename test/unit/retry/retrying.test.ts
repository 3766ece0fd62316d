/** Does the async iteration retry the block, end after success and leave nothing behind? */
import { getEventListeners } from 'node:events'
import { expect, test } from 'vitest'
import { RetryError } from '../../../src/errors.ts'
import type { Attempt } from '../../../src/retry/attempt.ts'
import { retrying } from '../../../src/retry/retrying.ts'
import * as stop from '../../../src/retry/stop.ts'
import { TryAgain } from '../../../src/retry/try-again.ts'
import * as wait from '../../../src/retry/wait.ts'
import * as when from '../../../src/retry/when.ts'
import { fakeClock } from '../../support/fake-clock.ts'
import { failing, through } from './an-attempt.ts'

const lost = () => Array.from({ length: 20 }, (_, index) => new Error(`lost ${index + 1}`))

test('the loop turns until the work succeeds, and the result is what attempt answers', async () => {
	const clock = fakeClock()
	const numbers: number[] = []
	const work = failing(lost().slice(0, 2), 'rows')
	const answers: unknown[] = []
	const loop = async () => {
		for await (const attempt of retrying({ clock, wait: wait.fixed(10) })) {
			numbers.push(attempt.number)
			answers.push(await attempt(work))
		}
	}
	await through(clock, loop())
	expect(numbers).toEqual([1, 2, 3])
	expect(answers).toEqual([undefined, undefined, 'rows'])
	expect(clock.now()).toBe(20)
})

test('the body may do without a result', async () => {
	let calls = 0
	for await (const attempt of retrying({ wait: wait.none })) {
		await attempt(() => {
			calls += 1
			if (calls < 3) throw new Error('lost')
		})
	}
	expect(calls).toBe(3)
})

test('each turn knows what the context of retry knows', async () => {
	const clock = fakeClock()
	const { signal } = new AbortController()
	const seen: unknown[] = []
	const loop = async () => {
		for await (const attempt of retrying({ clock, signal, deadlineMs: 100, wait: wait.fixed(30) })) {
			const { number, elapsedMs, idleForMs, remainingMs } = attempt
			seen.push([number, elapsedMs, idleForMs, remainingMs, attempt.signal === signal])
			await attempt((context) => {
				expect(context.number).toBe(number)
				if (number < 2) throw new Error('lost')
			})
		}
	}
	await through(clock, loop())
	expect(seen).toEqual([
		[1, 0, 0, 100, true],
		[2, 30, 30, 70, true],
	])
})

test('hooks and rules run in the order of retry, and beforeSleep only when the turn is over', async () => {
	const calls: string[] = []
	const note = (name: string) => (attempt: Attempt) => {
		calls.push(`${name} ${attempt.number}`)
	}
	const policy = {
		before: note('before'),
		after: note('after'),
		beforeSleep: note('beforeSleep'),
		wait: (attempt: Attempt) => {
			note('wait')(attempt)
			return 5
		},
		stop: (attempt: Attempt) => {
			note('stop')(attempt)
			return attempt.number === 2
		},
		sleep: async () => {
			calls.push('sleep')
		},
	}
	const work = failing(lost(), 1)
	const loop = async () => {
		for await (const attempt of retrying(policy)) {
			await attempt(work)
			calls.push('rest of the body')
		}
	}
	await expect(loop()).rejects.toBeInstanceOf(RetryError)
	expect(calls).toEqual([
		...['before 1', 'after 1', 'wait 1', 'stop 1', 'rest of the body', 'beforeSleep 1', 'sleep'],
		...['before 2', 'after 2', 'wait 2', 'stop 2'],
	])
})

test('giving up throws RetryError, with reraise the native error, with onError its value is the answer', async () => {
	const errors = lost()
	const answers: unknown[] = []
	const loop = async (options: object) => {
		const work = failing(errors, 'rows')
		for await (const attempt of retrying({ ...options, wait: wait.none, stop: stop.afterAttempts(2) })) answers.push(await attempt(work))
	}
	await expect(loop({})).rejects.toMatchObject({ name: 'RetryError', cause: errors[1], lastAttempt: { number: 2 } })
	await expect(loop({ reraise: true })).rejects.toBe(errors[1])
	answers.length = 0
	await loop({ onError: () => 'substitute' })
	expect(answers).toEqual([undefined, 'substitute'])
})

test('results can be retried, TryAgain asks for another turn, and an error that when refuses leaves the loop untouched', async () => {
	const results = [0, 0, 7]
	let last: number | undefined
	for await (const attempt of retrying({ wait: wait.none, when: when.result((value) => value === 0) })) {
		last = await attempt(() => results.shift() as number)
	}
	expect(last).toBe(7)
	const permanent = new Error('syntax')
	const work = failing([new TryAgain(), permanent], 1)
	const loop = async () => {
		for await (const attempt of retrying({ wait: wait.none, when: when.never })) await attempt(work)
	}
	await expect(loop()).rejects.toBe(permanent)
	expect(work.calls).toBe(2)
})

test('leaving the loop after a failed attempt leaves no timer and no listener, and no wait is begun', async () => {
	const clock = fakeClock()
	const { signal } = new AbortController()
	const slept: unknown[] = []
	for await (const attempt of retrying({ clock, signal, beforeSleep: (record) => slept.push(record) })) {
		await attempt(failing(lost(), 1))
		break
	}
	await clock.runAll()
	expect([slept.length, clock.pendingTimers, clock.now()]).toEqual([0, 0, 0])
	expect(getEventListeners(signal, 'abort')).toHaveLength(0)
})

test('an error of the body outside attempt is not retried', async () => {
	const wrong = new Error('body')
	let turns = 0
	const loop = async () => {
		for await (const attempt of retrying()) {
			turns += 1
			await attempt(() => 1)
			throw wrong
		}
	}
	await expect(loop()).rejects.toBe(wrong)
	expect(turns).toBe(1)
})

test('an abort during the wait rejects with the reason, and an aborted signal at the start runs no body', async () => {
	const clock = fakeClock()
	const controller = new AbortController()
	let turns = 0
	const loop = async () => {
		for await (const attempt of retrying({ clock, signal: controller.signal, wait: wait.fixed(1000) })) {
			turns += 1
			await attempt(failing(lost(), 1))
		}
	}
	const first = expect(loop()).rejects.toBe('no')
	await clock.advance(10)
	controller.abort('no')
	await first
	expect([turns, clock.pendingTimers]).toEqual([1, 0])
	await expect(loop()).rejects.toBe('no')
	expect(turns).toBe(1)
})

test('a body that caught the permanent error is through: the loop ends', async () => {
	let turns = 0
	for await (const attempt of retrying({ when: when.never })) {
		turns += 1
		await attempt(failing(lost(), 1)).catch(() => {})
	}
	expect(turns).toBe(1)
})

test('an attempt that the body does not wait for is waited for at the end of the turn, its error included', async () => {
	const work = failing(lost().slice(0, 1), 1)
	for await (const attempt of retrying({ wait: wait.none })) void attempt(work)
	expect(work.calls).toBe(2)
	const permanent = new Error('syntax')
	const loop = async () => {
		for await (const attempt of retrying({ when: when.never })) void attempt(failing([permanent], 1))
	}
	await expect(loop()).rejects.toBe(permanent)
})

test('a turn without attempt, a second call in a turn and work that is no function are clear errors', async () => {
	const idle = async () => {
		for await (const attempt of retrying()) void attempt.number
	}
	await expect(idle()).rejects.toThrow('retrying: the body of the loop must call attempt(work) in each turn')
	const twice = async () => {
		for await (const attempt of retrying()) {
			await attempt(() => 1)
			await attempt(() => 2)
		}
	}
	await expect(twice()).rejects.toThrow('retrying: attempt(work) may be called once a turn')
	const clock = fakeClock()
	let finished = false
	const impatient = async () => {
		for await (const attempt of retrying()) {
			void attempt(async () => {
				await clock.advance(5)
				finished = true
			})
			await attempt(() => 2).catch(() => {})
		}
	}
	await impatient()
	expect(finished).toBe(true)
	const wrong = async () => {
		for await (const attempt of retrying()) await attempt(Promise.resolve(1) as never)
	}
	await expect(wrong()).rejects.toThrow('attempt: the work must be a function, got an object (Promise)')
})

test('enabled: false gives one turn with no policy at all', async () => {
	const errors = lost()
	const calls: unknown[] = []
	const loop = async (work: () => unknown) => {
		for await (const attempt of retrying({ enabled: false, before: () => calls.push('before') })) calls.push(await attempt(work))
	}
	await loop(() => 'rows')
	expect(calls).toEqual(['rows'])
	await expect(loop(failing(errors, 1))).rejects.toBe(errors[0])
})

test('statistics are those of the iteration that began last; each iteration is a run of its own', async () => {
	const clock = fakeClock({ startMs: 500 })
	const loop = retrying({ clock, wait: wait.fixed(10) })
	expect(loop.statistics).toEqual({ startedAtMs: 0, attempts: 0, idleForMs: 0, elapsedMs: 0 })
	const run = async (failures: number) => {
		const work = failing(lost().slice(0, failures), 1)
		for await (const attempt of loop) await attempt(work)
	}
	await through(clock, run(2))
	expect(loop.statistics).toEqual({ startedAtMs: 500, attempts: 3, idleForMs: 20, elapsedMs: 20 })
	await through(clock, run(0))
	expect(loop.statistics).toEqual({ startedAtMs: 520, attempts: 1, idleForMs: 0, elapsedMs: 0 })
})
