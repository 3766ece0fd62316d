/** Rule 5: how does every kind of wait end, and what is left behind? */
import { getEventListeners } from 'node:events'
import { afterEach, expect, test, vi } from 'vitest'
import { Call } from '../../../src/call.ts'
import { classify } from '../../../src/classify/classify.ts'
import { DeadlineError, HoldfastError, OverloadError } from '../../../src/errors.ts'
import { Ending } from '../../../src/outage/ending.ts'
import { sqlError } from './fake-source.ts'
import { type Caller, type Stage, stage } from './stage.ts'

/** The three places where a call may wait, and how to get one there. */
const places = {
	'at the gate': async (deadlineMs: number, signal: AbortSignal | undefined) => {
		const set = stage()
		set.server.manner = 'refuses'
		const caller = set.pool.ask({ deadlineMs, ...(signal && { signal }) })
		await set.clock.advance(100)
		return { set, caller: watched(caller) }
	},
	'for a silent probe': async (deadlineMs: number, signal: AbortSignal | undefined) => {
		const set = stage()
		set.server.manner = 'hangs'
		const caller = set.pool.ask({ deadlineMs, ...(signal && { signal }) })
		await set.clock.advance(100)
		return { set, caller: watched(caller) }
	},
	'for a busy pool': async (deadlineMs: number, signal: AbortSignal | undefined) => {
		const set = stage({ capacity: 1 })
		await set.warm(1)
		set.pool.ask()
		const caller = set.pool.ask({ deadlineMs, ...(signal && { signal }) })
		await set.clock.advance(100)
		return { set, caller: watched(caller) }
	},
	'for a question over a silent connection': async (deadlineMs: number, signal: AbortSignal | undefined) => {
		const set = stage({ capacity: 1 })
		await set.warm(1)
		for (const connection of set.pool.source.idleConnections) connection.answers = false
		set.endpoint.lost(0)
		const caller = set.pool.ask({ deadlineMs, ...(signal && { signal }) })
		await set.clock.advance(100)
		return { set, caller: watched(caller) }
	},
	'between two attempts': async (deadlineMs: number, signal: AbortSignal | undefined) => {
		const set = stage({ options: { wait: () => 5_000 } })
		const call = set.pool.core.call({ deadlineMs, signal })
		const error = sqlError('40001', 'ERROR', 'could not serialize access')
		const ended: { error: unknown; atMs: number | undefined } = { error: undefined, atMs: undefined }
		call.next(error, classify(error), 'statement', { idempotent: false, reads: () => false }).then(
			() => {
				ended.atMs = set.clock.now()
			},
			(thrown) => {
				ended.error = thrown
				ended.atMs = set.clock.now()
			},
		)
		await set.clock.advance(100)
		return { set, caller: ended }
	},
} as const

function watched(caller: Caller): { readonly error: unknown; readonly atMs: number | undefined } {
	return caller
}

/** Ends what the stage itself still has under way: an attempt without a caller goes on until its limit. */
async function settled(set: Stage): Promise<void> {
	await set.clock.advance(6_000)
	set.expectQuiet()
}

const names = Object.keys(places) as (keyof typeof places)[]

afterEach(() => vi.restoreAllMocks())

test.each(names)('an abort ends a wait %s at once, with its reason, and leaves no listener behind', async (name) => {
	const aborting = new AbortController()
	const { set, caller } = await places[name](60_000, aborting.signal)
	expect(caller.atMs).toBeUndefined()
	expect(getEventListeners(aborting.signal, 'abort')).toHaveLength(1)
	const reason = new Error('the user has gone')
	aborting.abort(reason)
	await set.clock.advance(0)
	expect(caller.error).toBe(reason)
	expect(getEventListeners(aborting.signal, 'abort')).toHaveLength(0)
	await settled(set)
})

test.each(names)('the end of the pool ends a wait %s at once', async (name) => {
	const aborting = new AbortController()
	const { set, caller } = await places[name](60_000, aborting.signal)
	set.pool.core.end()
	await set.clock.advance(0)
	expect(caller.atMs).toBe(set.clock.now())
	// A call that has met an error of the server throws that one.
	if (name === 'between two attempts') expect(caller.error).toMatchObject({ code: '40001' })
	else expect(caller.error).toMatchObject({ code: 'HOLDFAST_CLOSED' })
	expect(getEventListeners(aborting.signal, 'abort')).toHaveLength(0)
	await set.clock.advance(0)
	set.expectQuiet()
})

test.each(names)('closing the scheduler ends a wait %s at once', async (name) => {
	const aborting = new AbortController()
	const { set, caller } = await places[name](60_000, aborting.signal)
	set.scheduler.close()
	await set.clock.advance(0)
	expect(caller.atMs).toBe(set.clock.now())
	expect(getEventListeners(aborting.signal, 'abort')).toHaveLength(0)
	set.expectQuiet()
})

test.each(names.filter((name) => name !== 'between two attempts'))('the deadline ends a wait %s', async (name) => {
	const aborting = new AbortController()
	const { set, caller } = await places[name](1_000, aborting.signal)
	await set.clock.advance(899)
	expect(caller.atMs).toBeUndefined()
	await set.clock.advance(1)
	expect(caller.error).toBeInstanceOf(DeadlineError)
	expect(getEventListeners(aborting.signal, 'abort')).toHaveLength(0)
	await settled(set)
})

test('a wait that is over is forgotten by the pool whose end would have ended it', async () => {
	const { scheduler, clock } = stage()
	const ending = new Ending()
	let kept = 0
	const { onEnd } = ending
	ending.onEnd = (react) => {
		kept += 1
		const off = onEnd.call(ending, react)
		return () => {
			kept -= 1
			off()
		}
	}
	const aborting = new AbortController()
	const over = Promise.allSettled([scheduler.wait(50, [], ending), scheduler.wait(500, [aborting.signal], ending)])
	expect(kept).toBe(2)
	await clock.advance(100)
	aborting.abort()
	await over
	expect(kept).toBe(0)
})

test('a wait between two attempts that cannot end before the deadline is not begun', async () => {
	const { set, caller } = await places['between two attempts'](4_000, undefined)
	expect(caller.atMs).toBe(0)
	expect(caller.error).toMatchObject({ code: '40001' })
	set.expectQuiet()
})

test('a wait at the gate that cannot end before the deadline is not begun', async () => {
	const { clock, pool, server, expectQuiet } = stage()
	server.manner = 'refuses'
	const first = pool.ask({ deadlineMs: 3_000 })
	while (server.attempts.length < 7 || server.inFlight > 0) await clock.advance(1)
	const caller = pool.ask({ deadlineMs: 100 })
	expect(caller.error).toBeInstanceOf(DeadlineError)
	expect((caller.error as DeadlineError).cause).toMatchObject({ code: 'ECONNREFUSED' })
	expect(first.told).toBe(0)
	await clock.advance(3_000)
	expectQuiet()
})

test('a caller waits for a full server beyond the next probe, when a connection of the pool may come back before', async () => {
	const { clock, pool, server, warm } = stage({ capacity: 3 })
	await warm(1)
	const holder = pool.ask()
	await clock.advance(0)
	server.manner = 'is full'
	pool.ask({ deadlineMs: 20_000 })
	while (server.attempts.length < 6 || server.inFlight > 0) await clock.advance(1)
	const caller = pool.ask({ deadlineMs: 300 })
	expect(caller.told).toBe(0)
	pool.bringBack(holder)
	await clock.advance(10)
	expect(pool.core.waiting).toBe(1)
	expect(caller.told).toBe(0)
	await clock.advance(300)
	expect(caller.error).toBeInstanceOf(DeadlineError)
})

test('one caller more than maxWaiting gets an OverloadError at once, and the others go on waiting', async () => {
	const { clock, pool, server, callers, expectQuiet } = stage({ options: { maxWaiting: 5 } })
	server.manner = 'refuses'
	for (let each = 0; each < 6; each++) pool.ask({ deadlineMs: 1_000 })
	expect(callers.map(({ told }) => told)).toEqual([0, 0, 0, 0, 0, 1])
	expect(callers[5]?.error).toBeInstanceOf(OverloadError)
	await clock.advance(500)
	pool.ask()
	expect(callers[6]?.error).toMatchObject({ code: 'HOLDFAST_OVERLOAD', cause: { code: 'ECONNREFUSED' } })
	await clock.advance(2_000)
	expectQuiet()
})

test('maxWaiting does not bound callers that wait for a busy pool', async () => {
	const { clock, pool, warm, callers } = stage({ capacity: 1, options: { maxWaiting: 2 } })
	await warm(1)
	for (let each = 0; each < 10; each++) pool.ask({ onTold: (caller) => clock.setTimer(() => pool.bringBack(caller), 1) })
	await clock.advance(100)
	expect(callers.every(({ connection, error }) => connection === undefined && error === undefined)).toBe(true)
	expect(callers.every(({ told }) => told === 1)).toBe(true)
})

test('with maxWaiting 0 a pool can still connect: the caller whose attempt begins at once does not count as waiting', async () => {
	const { clock, pool, server } = stage({ options: { maxWaiting: 0 } })
	const caller = pool.ask()
	await clock.advance(server.connectMs)
	expect(caller.connection).toBeDefined()
	server.kill('refuses')
	const [first, second] = [pool.ask(), pool.ask()]
	expect(second.error).toBeInstanceOf(OverloadError)
	expect(first.told).toBe(0)
})

test("the pool's own limit on a busy pool holds while the endpoint is up, with the pool's own error", async () => {
	const { clock, pool, warm, expectQuiet } = stage({ capacity: 1, busyTimeoutMs: 200 })
	await warm(1)
	const holder = pool.ask()
	const caller = pool.ask({ deadlineMs: 5_000 })
	await clock.advance(199)
	expect(caller.told).toBe(0)
	await clock.advance(1)
	expect(caller.error).toMatchObject({ message: 'timeout exceeded when trying to connect' })
	pool.bringBack(holder)
	expectQuiet()
})

test("in an outage the deadline rules, not the pool's own limit on a busy pool", async () => {
	const { clock, pool, server, expectQuiet } = stage({ capacity: 1, busyTimeoutMs: 200 })
	server.manner = 'refuses'
	const caller = pool.ask({ deadlineMs: 5_000 })
	await clock.advance(4_999)
	expect(caller.told).toBe(0)
	await clock.advance(1)
	expect(caller.error).toBeInstanceOf(DeadlineError)
	expectQuiet()
})

test('a signal that was aborted before ends the request at once and nothing is begun', async () => {
	const { pool, server, expectQuiet } = stage()
	const caller = pool.ask({ signal: AbortSignal.abort(new Error('too late')) })
	expect(caller.error).toMatchObject({ message: 'too late' })
	expect(server.attempts).toHaveLength(0)
	expectQuiet()
})

test('an abort while an idle connection is being handed over leaves the connection to the next caller', async () => {
	const { clock, pool, warm, expectQuiet } = stage({ capacity: 1 })
	await warm(1)
	const aborting = new AbortController()
	const aborted = pool.ask({ signal: aborting.signal })
	const next = pool.ask()
	const reason = new Error('the user has gone')
	aborting.abort(reason)
	await clock.advance(10)
	expect(aborted).toMatchObject({ told: 1, error: reason, connection: undefined })
	expect(next.connection).toBeDefined()
	pool.bringBack(next)
	expectQuiet()
})

test('a pool that has ended refuses at once, and ending it twice does nothing more', async () => {
	const { pool, expectQuiet } = stage()
	pool.core.end()
	pool.core.end()
	const caller = pool.ask()
	expect(caller.error).toMatchObject({ code: 'HOLDFAST_CLOSED' })
	expectQuiet()
})

test('a pool that ends while an idle connection is handed over tells its caller, and the connection is closed', async () => {
	const { clock, pool, warm, expectQuiet } = stage()
	await warm(1)
	const caller = pool.ask()
	pool.core.end()
	await clock.advance(10)
	expect(caller).toMatchObject({ told: 1, connection: undefined, error: { code: 'HOLDFAST_CLOSED' } })
	expectQuiet()
})

test('a pool that ends while a connection is asked closes that connection, and tells its caller once', async () => {
	const { clock, pool, endpoint, warm, expectQuiet } = stage({ capacity: 1 })
	await warm(1)
	endpoint.lost(0)
	const caller = pool.ask()
	await clock.advance(0)
	pool.core.end()
	await clock.advance(100)
	expect(caller.told).toBe(1)
	expect(pool.source.idle()).toBe(0)
	expectQuiet()
})

test('an endpoint is forgotten when its last pool has ended, also when an attempt was under way', async () => {
	const { clock, pools, server, scheduler } = stage({ pools: 2 })
	server.manner = 'hangs'
	for (const pool of pools) pool.ask()
	await clock.advance(10)
	for (const pool of pools) pool.core.end()
	await clock.advance(10)
	expect(scheduler.stats().endpoints).toEqual([])
	expect(server.inFlight).toBe(0)
})

test('a thousand waits on one signal add one listener to it, and no warning of a leak', async () => {
	const warnings: Error[] = []
	const hear = (warning: Error) => warnings.push(warning)
	process.on('warning', hear)
	const aborting = new AbortController()
	const { clock, pool, server, callers, expectQuiet } = stage()
	server.manner = 'refuses'
	for (let each = 0; each < 1_000; each++) pool.ask({ signal: aborting.signal })
	expect(getEventListeners(aborting.signal, 'abort')).toHaveLength(1)
	await clock.advance(100)
	aborting.abort()
	expect(callers.every(({ told, error }) => told === 1 && error === aborting.signal.reason)).toBe(true)
	expect(getEventListeners(aborting.signal, 'abort')).toHaveLength(0)
	await new Promise((resolve) => setImmediate(resolve))
	process.removeListener('warning', hear)
	expect(warnings).toEqual([])
	expectQuiet()
})

test("the pool's own signal ends the waits of all its calls, also of those with a signal of their own", async () => {
	const ending = new AbortController()
	const own = new AbortController()
	const { clock, pool, server, expectQuiet } = stage({ options: { signal: ending.signal } })
	server.manner = 'refuses'
	const calls = [pool.core.call({}), pool.core.call({ signal: own.signal })]
	const ends = calls.map((call) => pool.core.acquire(call).catch((error: unknown) => error))
	await clock.advance(100)
	const reason = new Error('shutting down')
	ending.abort(reason)
	expect(await Promise.all(ends)).toEqual([reason, reason])
	for (const { signal } of [ending, own]) expect(getEventListeners(signal, 'abort')).toHaveLength(0)
	await clock.advance(10)
	expectQuiet()
})

test('a call with a signal on a pool with a signal joins them without a third one, which the older of the two would remember for ever', () => {
	const any = vi.spyOn(AbortSignal, 'any')
	const { pool } = stage({ options: { signal: new AbortController().signal } })
	pool.core.call({ signal: new AbortController().signal })
	expect(any).not.toHaveBeenCalled()
})

test('a DeadlineError says what the endpoint is, and its cause is the last error of this outage alone', async () => {
	const { clock, pool, server, warm } = stage({ capacity: 1 })
	server.manner = 'starts'
	const during = pool.ask({ deadlineMs: 1_000 })
	await clock.advance(1_000)
	expect(during.error).toMatchObject({
		message: expect.stringMatching(/db:5432: it is starting up\. Nothing was sent\.$/),
		cause: { code: '57P03' },
		fault: { kind: 'starting_up' },
	})
	server.manner = 'accepts'
	await warm(1)
	pool.ask()
	const busy = pool.ask({ deadlineMs: 1_000 })
	await clock.advance(1_000)
	expect(busy.error).toMatchObject({ message: expect.stringContaining('all 1 connections of the pool are in use') })
	expect((busy.error as DeadlineError).cause).toBeUndefined()
	expect((busy.error as DeadlineError).fault).toBeUndefined()
})

test('an error of an outage long past is not the cause of anything new', async () => {
	const { clock, pool, server, warm, endpoint } = stage({ capacity: 2 })
	server.manner = 'refuses'
	pool.ask({ deadlineMs: 500 })
	await clock.advance(500)
	server.manner = 'accepts'
	await warm(1)
	server.manner = 'hangs'
	endpoint.lost(endpoint.generation)
	for (const connection of pool.source.idleConnections) connection.answers = false
	const caller = pool.ask({ deadlineMs: 1_000 })
	await clock.advance(1_000)
	expect(endpoint.state).toBe('suspect')
	expect(caller.error).toBeInstanceOf(DeadlineError)
	expect((caller.error as DeadlineError).cause).toBeUndefined()
})

test('errors that end a wait are Holdfast errors with a code, and name the address and no secret', async () => {
	const { pool, server } = stage({ options: { maxWaiting: 1 } })
	server.manner = 'refuses'
	pool.ask()
	const caller = pool.ask()
	expect(HoldfastError.is(caller.error)).toBe(true)
	expect((caller.error as Error).message).toContain('db:5432')
})

test('a call knows its deadline from the moment that it is made', () => {
	const { clock, pool } = stage({ options: { deadlineMs: 700 }, startMs: 5_000 })
	expect(pool.core.call({}).deadlineAtMs).toBe(5_700)
	expect(pool.core.call({ deadlineMs: 50 }).deadlineAtMs).toBe(5_050)
	expect(new Call(pool.core.policy, { deadlineMs: Number.POSITIVE_INFINITY }).deadlineAtMs).toBe(Number.POSITIVE_INFINITY)
	expect(clock.pendingTimers).toBe(0)
})
