/** What becomes of one call: how often, until when, and what does its caller get? */
import { expect, test } from 'vitest'
import { Call, type CallOptions, type RetryEvent } from '../../src/call.ts'
import { DeadlineError, InDoubtError } from '../../src/errors.ts'
import type { Phase } from '../../src/fault.ts'
import type { PoolOptions } from '../../src/pool-options.ts'
import { retryReport } from '../../src/report.ts'
import type { Attempt } from '../../src/retry/attempt.ts'
import { paceOf } from '../../src/retry/pace.ts'
import { sqlError } from './outage/fake-source.ts'
import { stage } from './outage/stage.ts'

const write = { idempotent: false, reads: () => false }
const read = { idempotent: false, reads: () => true }
const idempotentWrite = { idempotent: true, reads: () => false }

const conflict = () => sqlError('40001', 'ERROR', 'could not serialize access')
const lost = () => new Error('Connection terminated unexpectedly')
const permanent = () => sqlError('42P01', 'ERROR', 'relation "t" does not exist')

/** One call on a pool with these options, and what its failed attempts led to. */
function callOn(options: PoolOptions = {}, own: CallOptions = {}) {
	const set = stage({ options })
	const call = new Call(set.pool.core.policy, own)
	let endedAtMs = 0
	let tookMs = 0
	return {
		...set,
		call,
		/** How long the latest decision took, its wait included. */
		tookMs: () => tookMs,
		/** The attempt failed: resolves with undefined when the next may start, and with what the caller gets otherwise. */
		async failed(error: unknown, work = write, phase: Phase = 'statement'): Promise<unknown> {
			const begunAtMs = set.clock.now()
			let ended: { thrown: unknown } | undefined
			call.next(error, call.classify(error, phase), phase, work).then(
				() => {
					endedAtMs = set.clock.now()
					ended = { thrown: undefined }
				},
				(thrown) => {
					endedAtMs = set.clock.now()
					ended = { thrown }
				},
			)
			for (let round = 0; round < 400 && ended === undefined; round++) await set.clock.advance(25)
			if (ended === undefined) throw new Error('the call did not end')
			tookMs = endedAtMs - begunAtMs
			set.expectQuiet()
			return ended.thrown
		},
	}
}

test('a permanent error is thrown at once as the same object, whatever the work', async () => {
	for (const work of [write, read, idempotentWrite]) {
		const { tookMs, failed } = callOn()
		const error = permanent()
		expect(await failed(error, work)).toBe(error)
		expect(tookMs()).toBe(0)
	}
})

test('a conflict is run again, a write as well as a read', async () => {
	for (const work of [write, read, idempotentWrite]) expect(await callOn().failed(conflict(), work)).toBeUndefined()
})

test('a write whose answer was lost is in doubt, and the driver’s error is the cause', async () => {
	const { failed, pool } = callOn()
	const error = lost()
	const thrown = await failed(error)
	expect(thrown).toBeInstanceOf(InDoubtError)
	expect(thrown).toMatchObject({ cause: error, phase: 'statement', attempts: 1, code: 'HOLDFAST_IN_DOUBT' })
	expect(pool.core.stats()).toMatchObject({ inDoubt: 1, resolved: { unresolved: 1 } })
})

test('a read or an idempotent write whose answer was lost is run again', async () => {
	for (const work of [read, idempotentWrite]) expect(await callOn().failed(lost(), work)).toBeUndefined()
})

test('a write on a connection that was known to be dead is run again, for nothing was sent', async () => {
	const { failed } = callOn()
	expect(await failed(new Error('Client has encountered a connection error and is not queryable'))).toBeUndefined()
})

test('a statement that the client itself gave up on keeps the error of the driver: there is no doubt to report about a wish', async () => {
	const error = new Error('Query read timeout')
	expect(await callOn().failed(error)).toBe(error)
})

test('no policy can run work in doubt again', async () => {
	for (const options of [
		{ when: () => true },
		{ when: () => true, stop: () => false, wait: () => 0 },
		{ when: (attempt: Attempt) => attempt.fault?.outcome === 'unknown' },
	]) {
		expect(await callOn(options).failed(lost())).toBeInstanceOf(InDoubtError)
		const unknown = new Error('what is this')
		expect(await callOn(options).failed(unknown)).toBe(unknown)
		expect(await callOn(options).failed(unknown, write, 'commit')).toBeInstanceOf(InDoubtError)
	}
})

test('work in doubt is reported as such also where a rule of the user throws', async () => {
	const when = () => {
		throw new Error('thrown by when')
	}
	expect(await callOn({ when }).failed(lost())).toBeInstanceOf(InDoubtError)
})

test('`when` narrows what is run again, and widens it for errors that are known to have had no effect', async () => {
	const error = conflict()
	expect(await callOn({ when: () => false }).failed(error)).toBe(error)
	expect(await callOn({ when: (attempt) => attempt.fault?.code === '42P01' }).failed(permanent())).toBeUndefined()
})

test('`stop` is asked with the wait that would come next, and ends the call with the native error', async () => {
	const asked: Attempt[] = []
	const { failed } = callOn({
		wait: () => 70,
		stop: (attempt) => {
			asked.push(attempt)
			return attempt.number >= 3
		},
	})
	const error = conflict()
	expect(await failed(error)).toBeUndefined()
	expect(await failed(error)).toBeUndefined()
	expect(await failed(error)).toBe(error)
	expect(asked.map(({ number, upcomingWaitMs, idleForMs }) => [number, upcomingWaitMs, idleForMs])).toEqual([
		[1, 70, 0],
		[2, 70, 70],
		[3, 70, 140],
	])
	expect(asked[0]).toMatchObject({ failed: true, error, fault: { kind: 'serialization_failure' } })
})

test('`wait` says how long the call waits', async () => {
	const { clock, call, pool } = callOn({ wait: () => 300 })
	let rerun = false
	const error = conflict()
	call.next(error, call.classify(error, 'statement'), 'statement', write).then(() => {
		rerun = true
	})
	await clock.advance(299)
	expect(rerun).toBe(false)
	await clock.advance(1)
	expect(rerun).toBe(true)
	expect(pool.core.stats()).toMatchObject({ waits: 1, retries: { serialization_failure: 1 } })
})

test.each([
	['NaN', { wait: () => Number.NaN }, RangeError, /wait must be a non-negative number of milliseconds, got NaN/],
	['a negative wait', { wait: () => -5 }, RangeError, /wait must be a non-negative number of milliseconds, got -5/],
	['an endless wait', { wait: () => Number.POSITIVE_INFINITY }, RangeError, /wait must be .*, got Infinity/],
	['a text as wait', { wait: () => '5s' }, TypeError, /wait must be .*, got "5s"/],
	['no wait at all', { wait: () => undefined }, TypeError, /wait must be .*, got undefined/],
	['a promise of when', { when: async () => false }, TypeError, /when must answer true or false at once, got a promise/],
	['a promise of stop', { stop: async () => false }, TypeError, /stop must answer true or false at once, got a promise/],
])('a rule of the user that answers %s is a clear error, with the native one as its cause', async (_what, options, kind, message) => {
	const error = conflict()
	const thrown = await callOn(options as PoolOptions).failed(error)
	expect(thrown).toBeInstanceOf(kind)
	expect((thrown as Error).message).toMatch(message)
	expect((thrown as Error).cause).toBe(error)
})

test.each(['when', 'wait', 'stop', 'onRetry'] as const)('an error that `%s` throws ends the call with that error', async (name) => {
	const own = new Error(`thrown by ${name}`)
	const options = {
		[name]: () => {
			throw own
		},
	}
	expect(await callOn(options).failed(conflict())).toBe(own)
})

test('`onRetry` is told of each rerun before its wait, and of nothing else', async () => {
	const events: RetryEvent[] = []
	const { failed } = callOn(
		{ onRetry: (event) => events.push(event), wait: () => 40, stop: (attempt) => attempt.number >= 2 },
		{ label: 'transfer' },
	)
	const error = conflict()
	await failed(error)
	await failed(error)
	await failed(permanent())
	expect(events).toEqual([
		{ attempt: 1, fault: expect.objectContaining({ kind: 'serialization_failure' }), error, waitMs: 40, label: 'transfer' },
	])
})

test('no wait is begun that cannot end before the deadline', async () => {
	const { tookMs, failed } = callOn({ wait: () => 1_000 }, { deadlineMs: 1_000 })
	const error = conflict()
	expect(await failed(error)).toBe(error)
	expect(tookMs()).toBe(0)
})

test('no attempt starts after the deadline, also where the wait took longer than it should have', async () => {
	const { clock, call } = callOn({ wait: () => 50 }, { deadlineMs: 100 })
	const error = conflict()
	const next = call.next(error, call.classify(error, 'statement'), 'statement', write).then(
		() => 'rerun',
		(thrown: unknown) => thrown,
	)
	// The process was busy: what is due in 50 ms comes 80 ms too late.
	const now = clock.now.bind(clock)
	Object.assign(clock, { now: () => now() + 80 })
	await clock.advance(50)
	expect(await next).toBe(error)
})

test('the report tells attempts, time, waits and faults of a call that gave up', async () => {
	const { clock, failed } = callOn({ wait: () => 100, stop: (attempt) => attempt.number >= 3 })
	for (const error of [conflict(), lost()]) {
		await clock.advance(10)
		await failed(error, read)
	}
	await clock.advance(10)
	const last = conflict()
	expect(await failed(last)).toBe(last)
	const report = retryReport(last)
	expect(report).toMatchObject({ attempts: 3, waitedMs: 200 })
	expect(report?.elapsedMs).toBeGreaterThanOrEqual(230)
	expect(report?.faults.map(({ kind }) => kind)).toEqual(['serialization_failure', 'connection_lost', 'serialization_failure'])
})

test('the report keeps the last 20 faults', async () => {
	const { failed } = callOn({ wait: () => 0, stop: (attempt) => attempt.number >= 30 })
	let thrown: unknown
	for (let each = 0; each < 30; each++) thrown = await failed(conflict())
	expect(retryReport(thrown)?.faults).toHaveLength(20)
	expect(retryReport(thrown)?.attempts).toBe(30)
})

test('an error that is frozen, or no object at all, is thrown as it is', async () => {
	const frozen = Object.freeze(permanent())
	expect(await callOn().failed(frozen)).toBe(frozen)
	expect(retryReport(frozen)).toMatchObject({ attempts: 1 })
	expect(await callOn().failed('a text')).toBe('a text')
	expect(retryReport('a text')).toBeUndefined()
	expect(retryReport(undefined)).toBeUndefined()
})

test('an attempt that never got its connection is not counted as started', async () => {
	const { call, failed, pool, server, clock } = callOn({ wait: () => 0 }, { deadlineMs: 1_000 })
	const error = conflict()
	await failed(error)
	server.manner = 'refuses'
	const thrown = pool.core.acquire(call).catch((caught: unknown) => caught)
	await clock.advance(1_000)
	expect(await thrown).toBe(error)
	expect(retryReport(error)).toMatchObject({ attempts: 1, faults: [{ kind: 'serialization_failure' }] })
	expect(retryReport(error)?.waitedMs).toBeGreaterThan(900)
})

test('a call that only waited at the gate gets a DeadlineError, with a report of no attempt', async () => {
	const { call, pool, server, clock } = callOn({}, { deadlineMs: 1_000 })
	server.manner = 'refuses'
	const thrown = pool.core.acquire(call).catch((caught: unknown) => caught)
	await clock.advance(1_000)
	expect(await thrown).toBeInstanceOf(DeadlineError)
	expect(retryReport(await thrown)).toMatchObject({ attempts: 0, waitedMs: 1_000, elapsedMs: 1_000, faults: [] })
})

test('the default wait is at once after a lost connection, and spread evenly up to a growing bound otherwise', () => {
	const bounds: [string, number[]][] = [
		['connection_lost', [0, 25, 50, 100, 200, 400, 800, 1_000, 1_000]],
		['serialization_failure', [5, 10, 20, 40, 80, 160, 320, 500, 500]],
		['deadlock', [5, 10, 20, 40, 80, 160, 320, 500, 500]],
		['lock_timeout', [50, 100, 200, 400, 800, 1_600, 2_000, 2_000]],
		['too_many_connections', [250, 500, 1_000, 2_000, 4_000, 5_000, 5_000]],
		['resource_exhausted', [50, 100, 200, 400, 800, 1_600, 2_000, 2_000]],
		['stale_plan', [0, 25, 50, 100]],
	]
	for (const [kind, expected] of bounds) {
		for (const chance of [0, 0.5, 0.999_999]) {
			const waits = expected.map((_, index) => paceOf({ number: index + 1, fault: { kind }, random: () => chance } as unknown as Attempt))
			expect(waits.map((wait) => Math.round(wait))).toEqual(expected.map((bound) => Math.round(bound * chance)))
		}
	}
	expect(paceOf({ number: 5_000, fault: { kind: 'deadlock' }, random: () => 1 } as unknown as Attempt)).toBe(500)
})
