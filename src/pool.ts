/** What do all wrapped pools share, whatever the driver? Options, policy, the queue in front of the pool, and its end. */
import { Call, type CallOptions, type Policy, type RetryEvent } from './call.ts'
import { checkRows } from './classify/classify.ts'
import type { ClassificationRow } from './classify/table.ts'
import { CommitLedger } from './commit-ledger.ts'
import { turnsOf } from './conflict/turns.ts'
import type { ConnectionSource } from './contract.ts'
import { HoldfastError } from './errors.ts'
import type { Fault, Phase } from './fault.ts'
import { checkHosts, type HostOption } from './hosts/host.ts'
import { keyOf } from './hosts/list.ts'
import { type Target, targetRule } from './hosts/role.ts'
import { type HostSearch, type PlacedSource, placedSource } from './hosts/source.ts'
import type { Links } from './liveness/links.ts'
import type { Lookout } from './liveness/lookout.ts'
import { lookoutsOf } from './liveness/lookouts.ts'
import {
	abortSignal,
	bool,
	checkOptions,
	fn,
	type OptionRules,
	type Priority,
	positiveMs,
	positiveMsOrFalse,
	positiveMsOrInfinity,
	priorityRule,
	wholeNumber,
} from './options.ts'
import { Checkout } from './outage/checkout.ts'
import { Ending } from './outage/ending.ts'
import type { Endpoint } from './outage/endpoint.ts'
import { Freshness } from './outage/freshness.ts'
import { processScheduler, Scheduler } from './outage/scheduler.ts'
import { requestOf, type Wish } from './outage/waiting-list.ts'
import type { Stop, Wait, When } from './retry/attempt.ts'
import { paceOf } from './retry/pace.ts'
import { type OnConnect, PreparedSource } from './session/prepared-source.ts'
import { Counters, type Stats } from './stats.ts'

/** Options of every `holdfast(pool, options)`. */
export interface PoolOptions {
	/** The backoff scheduler. Default: one per process, shared by all pools. */
	scheduler?: Scheduler | undefined
	/** After this no further attempt starts and no wait goes on, in milliseconds; a query that is running is not cut. Default 30,000. */
	deadlineMs?: number | undefined
	/** Cuts one attempt after so many milliseconds; its connection is closed. Default: off. */
	attemptTimeoutMs?: number | undefined
	/** When to give up, besides the deadline. Default: never. */
	stop?: Stop | undefined
	/** How long to wait between attempts while the endpoint is up. Default: by kind of fault, with full jitter. */
	wait?: Wait | undefined
	/** Which faults may be retried. Work in doubt is never rerun, whatever this says. Default: those classified as retryable. */
	when?: When | undefined
	/**
	 * The servers among which the pool finds the one it needs, instead of the one address that it was made with: `'host'`, `'host:port'` or
	 * `{ host, port }`; without a port that of the pool counts. Names are looked up at each connection attempt. Default: that one address.
	 */
	hosts?: readonly HostOption[] | undefined
	/**
	 * With `hosts`, where connections go. `'primary'`: to the server that takes writes, also after another one was promoted.
	 * `'prefer-replica'`: to a replica, or to another server where no replica answers. `'any'`: to the first that answers. On PostgreSQL the
	 * last two are for reads, and what writes goes to the primary in any case. Default 'primary'.
	 */
	target?: Target | undefined
	/** Callers that may wait while the endpoint is not up; one more gets an OverloadError at once. Default 10,000. */
	maxWaiting?: number | undefined
	/**
	 * Who goes first where callers wait for a connection: `'batch'` lets the others go first, and still gets every eighth connection. A
	 * statement or transaction may say its own. Default 'normal'.
	 */
	priority?: Priority | undefined
	/**
	 * What to do about a COMMIT whose answer was lost. `'verify'`: ask the server's own record, which a crash makes unusable.
	 * A `commitLedger(…)`: ask the ledger, which survives crashes and failovers. `'off'`: an InDoubtError. Default 'verify'; 'off' on MySQL and
	 * MariaDB, which keep no such record.
	 */
	commit?: 'verify' | 'off' | CommitLedger | undefined
	/** Whether a plain read (by its text) may be rerun when its answer was lost. A SELECT can call a function that writes. Default true. */
	readsAreSafe?: boolean | undefined
	/** Called before each rerun. An error that it throws ends the call. */
	onRetry?: ((event: RetryEvent) => void) | undefined
	/** Ends every wait of the pool's calls when it is aborted. */
	signal?: AbortSignal | undefined
	/**
	 * Prepares each new connection before anybody gets it, also those that replace lost ones: `SET search_path`, say. It is awaited. When it
	 * fails, the connection is closed: transient errors are retried as those of connecting are, others reach the caller who waits for it.
	 */
	onConnect?: OnConnect | undefined
	/**
	 * A call that had no answer for so long, in milliseconds, has its connection looked at, sooner where calls are usually quick: the server is
	 * asked over another one. Only what is proven dead is closed, at most twice this time and a little later. `false`: never. Default 2,000.
	 */
	halfOpenAfterMs?: number | false | undefined
	/** A connection that was last handed out so long ago, in milliseconds, is asked whether it lives before the next caller gets it. `false`: never. Default 30,000. */
	checkIdleAfterMs?: number | false | undefined
	/** Rows that come before the built-in classification. */
	classify?: readonly ClassificationRow[] | undefined
	/** `false`: the pool behaves as the bare one does. Default true. */
	enabled?: boolean | undefined
}

const scheduler = { rule: 'a scheduler made by createScheduler', accepts: (value: unknown) => value instanceof Scheduler }
const commit = {
	rule: "'verify', 'off' or a ledger made by commitLedger",
	accepts: (value: unknown) => value === 'verify' || value === 'off' || value instanceof CommitLedger,
}
const rows = { rule: 'an array of classification rows', accepts: (value: unknown) => Array.isArray(value) }

export const poolRules: OptionRules<PoolOptions> = {
	scheduler,
	deadlineMs: positiveMsOrInfinity,
	attemptTimeoutMs: positiveMs,
	stop: fn,
	wait: fn,
	when: fn,
	hosts: { rule: "an array of one or more of 'host:port' or { host, port }", accepts: (value: unknown) => Array.isArray(value) },
	target: targetRule,
	maxWaiting: wholeNumber,
	priority: priorityRule,
	commit,
	readsAreSafe: bool,
	onRetry: fn,
	signal: abortSignal,
	onConnect: fn,
	halfOpenAfterMs: positiveMsOrFalse,
	checkIdleAfterMs: positiveMsOrFalse,
	classify: rows,
	enabled: bool,
}

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
	/** The links under its connections, where the driver can look at them. */
	readonly links?: Links<C> | undefined
}

/** Checks options as given by a user; `ofDriver` are those that one driver has beside the common ones. Throws TypeError or RangeError. */
export function checkPoolOptions(options: unknown, ofDriver: OptionRules<object> = {}): asserts options is PoolOptions {
	checkOptions<PoolOptions>('holdfast', options, { ...poolRules, ...ofDriver })
	const { classify, hosts, target } = options as PoolOptions
	if (classify !== undefined) checkRows(classify)
	if (hosts !== undefined) checkHosts(hosts)
	else if (target !== undefined) throw new TypeError('target needs hosts: with one address there is nothing to choose from')
}

/** One wrapped pool. */
export class PoolCore<C extends object> {
	readonly policy: Policy
	readonly attemptTimeoutMs: number | undefined
	readonly #checkout: Checkout<C>
	readonly #lookouts: readonly Lookout<C>[]
	readonly #endpoint: Endpoint
	readonly #ending = new Ending()
	readonly #placed: PlacedSource<C> | undefined

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
			counters: new Counters(),
			priority: options.priority ?? 'normal',
			deadlineMs: options.deadlineMs ?? defaultDeadlineMs,
			stop: options.stop ?? (() => false),
			wait: options.wait ?? paceOf,
			when: options.when ?? ((attempt) => attempt.fault?.retryable === true),
			readsAreSafe: options.readsAreSafe ?? true,
			classifyRows: options.classify,
			foundOut: facts.foundOut,
			onRetry: options.onRetry,
			signal: options.signal,
			ending: this.#ending,
		}
		const { onConnect, enabled } = options
		this.#placed = placedSource(facts.source, search, this.#endpoint, scheduler)
		const placed = this.#placed ?? facts.source
		const source = onConnect === undefined || enabled === false ? placed : new PreparedSource<C>(placed, onConnect)
		const { checkIdleAfterMs = defaultCheckIdleAfterMs } = options
		const now = () => this.#lookouts[0]?.nowMs ?? scheduler.clock.now()
		const freshness = new Freshness<C>(this.#endpoint, now, checkIdleAfterMs === false ? Number.POSITIVE_INFINITY : checkIdleAfterMs)
		this.#checkout = new Checkout(source, this.#endpoint, scheduler, this.#ending, {
			maxWaiting: options.maxWaiting ?? defaultMaxWaiting,
			signal: options.signal,
			busyTimeoutMs: facts.busyTimeoutMs,
			busyTimeoutError: facts.busyTimeoutError,
			freshness,
		})
		this.#lookouts = this.#makeLookouts(facts, options)
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
			this.#checkout.acquire(requestOf({ deadlineAtMs, signal, isBatch, done }))
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
		this.#checkout.lost(connection)
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
		return this.policy.counters.report(this.waiting, this.policy.budget.refusals, this.#endpoint.report(), this.#placed?.report())
	}

	/** Ends every wait with a clear error; connection attempts under way are given up. */
	end(message = 'The pool was ended: the call got no connection, and nothing was sent.'): void {
		const cause = this.#endpoint.lastError
		this.#ending.end(new HoldfastError('HOLDFAST_CLOSED', message, { cause }))
	}
}
