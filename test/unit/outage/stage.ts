/** What does a test of the scheduler need on its stage? A clock, a server, wrapped pools and callers that remember what they got. */
import { expect } from 'vitest'
import { createScheduler, type Scheduler, type SchedulerOptions } from '../../../src/outage/scheduler.ts'
import { PoolCore } from '../../../src/pool.ts'
import type { PoolOptions } from '../../../src/pool-options.ts'
import { type FakeClock, type FakeClockOptions, fakeClock } from '../../support/fake-clock.ts'
import { type FakeConnection, FakeServer, FakeSource } from './fake-source.ts'

/** What became of one request. */
export interface Caller {
	readonly number: number
	readonly pool: TestPool
	/** Times it was told something: never more than 1. */
	told: number
	atMs: number | undefined
	connection: FakeConnection | undefined
	error: unknown
}

export interface TestPool {
	readonly source: FakeSource
	readonly core: PoolCore<FakeConnection>
	/** Asks for a connection. */
	ask(options?: { deadlineMs?: number; signal?: AbortSignal; mayGoAtOnce?: boolean; onTold?: (caller: Caller) => void }): Caller
	/** Brings the caller's connection back. */
	bringBack(caller: Caller): void
}

export interface Stage {
	readonly clock: FakeClock
	/** Timers of the scheduler alone; those of the fake server are not counted. */
	schedulerTimers(): number
	readonly server: FakeServer
	readonly scheduler: Scheduler
	readonly endpoint: ReturnType<Scheduler['endpoint']>
	readonly pools: readonly TestPool[]
	/** The first pool. */
	readonly pool: TestPool
	/** Everybody who ever asked, in that order. */
	readonly callers: readonly Caller[]
	/** Opens `count` connections in the first pool, and leaves them idle. */
	warm(count: number): Promise<void>
	/** Fails unless nothing is left behind: nobody waits, and no wake-up and no timer of the scheduler is pending. */
	expectQuiet(): void
}

export interface StageOptions extends FakeClockOptions {
	pools?: number
	capacity?: number
	options?: PoolOptions
	scheduler?: Omit<SchedulerOptions, 'clock'>
	busyTimeoutMs?: number
	/** Whether every pool, none (default), or every other one hands over a connection the moment it comes back. */
	takesOrders?: boolean | 'some'
}

export function stage({
	pools: count = 1,
	capacity = 10,
	options = {},
	scheduler: schedulerOptions,
	busyTimeoutMs,
	takesOrders = false,
	...time
}: StageOptions = {}): Stage {
	const clock = fakeClock(time)
	const pending = new Set<unknown>()
	const counted = {
		now: () => clock.now(),
		random: () => clock.random(),
		setTimer(wake: () => void, delayMs: number) {
			const handle = clock.setTimer(() => {
				pending.delete(handle)
				wake()
			}, delayMs)
			pending.add(handle)
			return handle
		},
		clearTimer(handle: unknown) {
			pending.delete(handle)
			clock.clearTimer(handle)
		},
	}
	const scheduler = createScheduler({ ...schedulerOptions, clock: counted })
	const server = new FakeServer(clock)
	const callers: Caller[] = []
	const makePool = (_: unknown, index: number): TestPool => {
		const source = new FakeSource(server, capacity, takesOrders === 'some' ? index % 2 === 0 : takesOrders)
		const core = new PoolCore<FakeConnection>(
			{ source, address: 'db:5432', busyTimeoutMs, busyTimeoutError: () => new Error('timeout exceeded when trying to connect') },
			{ ...options, scheduler },
		)
		source.wrapper = core
		const pool: TestPool = {
			source,
			core,
			ask({ deadlineMs = Number.POSITIVE_INFINITY, signal, mayGoAtOnce, onTold } = {}) {
				const caller: Caller = { number: callers.length, pool, told: 0, atMs: undefined, connection: undefined, error: undefined }
				callers.push(caller)
				core.borrow({
					deadlineAtMs: clock.now() + deadlineMs,
					signal,
					mayGoAtOnce,
					done(error, connection) {
						caller.told += 1
						caller.atMs = clock.now()
						caller.error = error
						caller.connection = connection
						onTold?.(caller)
					},
				})
				return caller
			},
			bringBack(caller) {
				const { connection } = caller
				if (connection === undefined) throw new Error(`caller ${caller.number} has no connection`)
				caller.connection = undefined
				source.release(connection)
			},
		}
		return pool
	}
	const pools = Array.from({ length: count }, makePool)
	const pool = pools[0] as TestPool
	return {
		clock,
		schedulerTimers: () => pending.size,
		server,
		scheduler,
		endpoint: scheduler.endpoint('db:5432'),
		pools,
		pool,
		callers,
		async warm(connections) {
			const first = Array.from({ length: connections }, () => pool.ask())
			await clock.advance(1_000)
			for (const caller of first) pool.bringBack(caller)
			await clock.advance(0)
			expect(pool.source.idle()).toBe(connections)
			server.attempts.length = 0
			callers.length = 0
		},
		expectQuiet() {
			expect({
				waiting: pools.map(({ core }) => core.waiting),
				wakeUps: scheduler.stats().waits,
				timers: pending.size,
			}).toEqual({ waiting: pools.map(() => 0), wakeUps: 0, timers: 0 })
		},
	}
}
