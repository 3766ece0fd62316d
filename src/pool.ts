/** What do all wrapped pools share, whatever the driver? The policy, the queue in front of the pool, and its end. */
import { Call, type CallOptions, type Policy } from './call.ts'
import { turnsOf } from './conflict/turns.ts'
import type { ConnectionSource } from './contract.ts'
import { HoldfastError } from './errors.ts'
import type { Fault, Phase } from './fault.ts'
import { keyOf } from './hosts/list.ts'
import { type HostSearch, type PlacedSource, placedSource } from './hosts/source.ts'
import type { Links } from './liveness/links.ts'
import type { Lookout } from './liveness/lookout.ts'
import { lookoutsOf } from './liveness/lookouts.ts'
import { Checkout } from './outage/checkout.ts'
import { CutWork } from './outage/cut-work.ts'
import { Ending } from './outage/ending.ts'
import type { Endpoint } from './outage/endpoint.ts'
import { Freshness } from './outage/freshness.ts'
import { processScheduler } from './outage/scheduler.ts'
import { requestOf, type Wish } from './outage/waiting-list.ts'
import type { PoolOptions } from './pool-options.ts'
import { paceOf } from './retry/pace.ts'
import { PreparedSource } from './session/prepared-source.ts'
import { Counters, type Stats } from './stats.ts'

const defaultDeadlineMs = 30_000
const defaultMaxWaiting = 10_000
const defaultHalfOpenAfterMs = 2_000
const defaultCheckIdleAfterMs = 30_000

/** What the driver says of its pool. */
export interface PoolFacts<C extends object> {
	readonly source: ConnectionSource<C>
	/** The server's address, the same for every pool and driver that talks to it; not asked for where there are `hosts`. */
	readonly address: string
	/** The servers to choose from, and what is wanted of them. The source must know how to open a connection at one of them. */
	readonly search?: HostSearch | undefined
	/** The pool's own limit on waiting for a busy pool, and the error that it raises then. */
	readonly busyTimeoutMs: number | undefined
	busyTimeoutError(): Error
	/** What the driver has found out of an error that the error itself does not say. */
	readonly foundOut?: ((error: unknown, phase: Phase) => Fault | undefined) | undefined
	/** The user's pool, where this one was made to stand beside it: that speaks for both in its stats. */
	readonly beside?: PoolCore<C> | undefined
	/** The links under its connections, where the driver can look at them. */
	readonly links?: Links<C> | undefined
}

/** One wrapped pool. */
export class PoolCore<C extends object> {
	readonly policy: Policy
	readonly attemptTimeoutMs: number | undefined
	readonly #checkout: Checkout<C>
	readonly #freshness: Freshness<C>
	readonly #lookouts: readonly Lookout<C>[]
	readonly #endpoint: Endpoint
	readonly #ending = new Ending()
	readonly #placed: PlacedSource<C> | undefined
	/** Those that stand beside it. */
	readonly #neighbours: PoolCore<C>[] = []

	constructor(facts: PoolFacts<C>, options: PoolOptions) {
		const scheduler = options.scheduler ?? processScheduler()
		const { search } = facts
		this.#endpoint = scheduler.endpoint(search === undefined ? facts.address : keyOf(search.hosts, search.wanted))
		this.attemptTimeoutMs = options.attemptTimeoutMs
		this.policy = {
			scheduler,
			endpoint: this.#endpoint,
			turns: turnsOf(this.#endpoint, scheduler),
			budget: scheduler.budget(this.#endpoint),
			counters: facts.beside?.policy.counters ?? new Counters(),
			cutWork: new CutWork(this.#endpoint),
			priority: options.priority ?? 'normal',
			deadlineMs: options.deadlineMs ?? defaultDeadlineMs,
			stop: options.stop ?? (() => false),
			wait: options.wait ?? paceOf,
			when: options.when ?? ((attempt) => attempt.fault?.retryable === true),
			readsAreSafe: options.readsAreSafe ?? true,
			classifyRows: options.classify,
			foundOut: facts.foundOut,
			onRetry: options.onRetry,
			onBudgetSpent: options.onBudgetSpent,
			signal: options.signal,
			ending: this.#ending,
		}
		const { onConnect, enabled } = options
		this.#placed = placedSource(facts.source, search, this.#endpoint, scheduler)
		const placed = this.#placed ?? facts.source
		const source = onConnect === undefined || enabled === false ? placed : new PreparedSource<C>(placed, onConnect)
		const { checkIdleAfterMs = defaultCheckIdleAfterMs } = options
		const now = () => this.#lookouts[0]?.nowMs ?? scheduler.clock.now()
		this.#freshness = new Freshness<C>(this.#endpoint, now, checkIdleAfterMs === false ? Number.POSITIVE_INFINITY : checkIdleAfterMs)
		this.#checkout = new Checkout(source, this.#endpoint, scheduler, this.#ending, {
			maxWaiting: options.maxWaiting ?? defaultMaxWaiting,
			signal: options.signal,
			busyTimeoutMs: facts.busyTimeoutMs,
			busyTimeoutError: facts.busyTimeoutError,
			freshness: this.#freshness,
		})
		this.#lookouts = this.#makeLookouts(facts, options)
		if (facts.beside !== undefined) facts.beside.#neighbours.push(this)
		const offScheduler = scheduler.ending.onEnd((error) => this.#ending.end(error))
		this.#ending.onEnd(offScheduler)
		this.#ending.onEnd(() => this.#placed?.end())
		if (scheduler.ending.error !== undefined) this.#ending.end(scheduler.ending.error)
	}

	#makeLookouts({ links, source, search }: PoolFacts<C>, options: PoolOptions): readonly Lookout<C>[] {
		const { halfOpenAfterMs = defaultHalfOpenAfterMs, enabled } = options
		const { scheduler, counters } = this.policy
		const { address } = this.#endpoint
		const isInUse = () => this.waiting > 0 || source.total() > source.idle()
		const watched = { scheduler, address, hosts: search?.hosts, isInUse, counters }
		const lookouts = lookoutsOf(enabled === false ? undefined : links, watched, halfOpenAfterMs)
		this.#ending.onEnd(() => {
			// What still runs when the pool is ended may run on a dead link as well.
			if (!isInUse()) for (const lookout of lookouts) lookout.end()
		})
		return lookouts
	}

	#watch(): void {
		for (const lookout of this.#lookouts) lookout.watch()
	}

	/** Callers that wait for a connection. */
	get waiting(): number {
		return this.#checkout.waiting
	}

	call(options: CallOptions): Call {
		return new Call(this.policy, options)
	}

	/** Asks for a connection; `done` may be called before this returns. */
	borrow(wish: Wish<C>): void {
		this.#watch()
		this.#checkout.acquire(requestOf(wish))
	}

	/** A connection for one attempt of the call. Rejects with what the caller gets. */
	acquire(call: Call): Promise<C> {
		this.#watch()
		return new Promise((resolve, reject) => {
			call.waiting()
			const { deadlineAtMs, signal, isBatch } = call
			const done = (error: unknown, connection: C | undefined) => {
				call.served()
				if (connection === undefined) reject(call.waitFailed(error))
				else resolve(connection)
			}
			const mayGoAtOnce = signal === undefined && this.policy.signal === undefined
			this.#checkout.acquire(requestOf({ deadlineAtMs, signal, isBatch, mayGoAtOnce, done }))
		})
	}

	/** Lets those callers go who could go on elsewhere than at this pool. */
	moveWaiting(): void {
		this.#checkout.moveFrom(this)
	}

	/** A connection came back or went away. */
	returned(): void {
		this.#checkout.returned()
	}

	lost(connection: C): void {
		this.#placed?.lost(connection)
		this.policy.budget.lost()
		this.#freshness.lost(connection)
	}

	/** Whether it is of a generation that is over. */
	isStale(connection: C): boolean {
		return this.#freshness.isStale(connection)
	}

	/** The server may be another one than the connections were made to, or not the same any more: each is asked before it is handed out. */
	doubt(): void {
		this.#endpoint.losses += 1
	}

	/**
	 * The server has refused a write on this connection because it takes none, and that is no wish of the user's: the connection and its
	 * generation go, and callers wait until a server is found that takes writes.
	 */
	turnedReadOnly(connection: C, fault: Fault, error: unknown): void {
		this.#checkout.turnedReadOnly(connection, fault, error)
	}

	stats(): Stats {
		const waiting = this.#neighbours.reduce((sum, neighbour) => sum + neighbour.waiting, this.waiting)
		return this.policy.counters.report(waiting, this.policy.budget.refusals, this.#endpoint.report(), this.#placed?.report())
	}

	/** Ends every wait with a clear error; connection attempts under way are given up. */
	end(message = 'The pool was ended: the call got no connection, and nothing was sent.'): void {
		const cause = this.#endpoint.lastError
		this.#ending.end(new HoldfastError('HOLDFAST_CLOSED', message, { cause }))
	}
}
