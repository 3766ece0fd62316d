/** Which endpoints does this process talk to, and who keeps their time? One scheduler per process unless the user makes more. */
import { background, type Clock, systemClock } from '../clock.ts'
import { HoldfastError } from '../errors.ts'
import { checkOptions, type OptionRules, positiveMs } from '../options.ts'
import { clockRule } from '../retry/checks.ts'
import { Aborts } from './aborts.ts'
import { Ending } from './ending.ts'
import { Endpoint } from './endpoint.ts'
import type { EndpointReport } from './endpoint-report.ts'
import { defaultProbing, type Probing } from './probing.ts'
import { checkRetryBudget, RetryBudget, type RetryBudgetOptions, retryBudgetRule } from './retry-budget.ts'
import { type WakeUp, WakeUps } from './wakeups.ts'

/** Options of `createScheduler`. */
export interface SchedulerOptions {
	/** The wait before the second probe of an endpoint that is down; doubled after each, in milliseconds. Default 25. */
	probeFirstDelayMs?: number
	/** The longest wait between two probes: bounds how late a recovery is noticed, in milliseconds. Default 500. */
	probeMaxDelayMs?: number
	/** How long one connection attempt may take, also where the pool has no limit of its own, in milliseconds. Default 5,000. */
	probeTimeoutMs?: number
	/**
	 * Bounds retries on each endpoint to a share of its traffic, so that they cannot keep a server down. `false`: no bound. Default
	 * `{ ratio: 0.2, minPerSecond: 10 }`: one retry for five calls, but ten a second are always allowed.
	 */
	retryBudget?: RetryBudgetOptions | false
	/** Time and chance. Default: those of the process. */
	clock?: Clock
}

export const schedulerRules: OptionRules<SchedulerOptions> = {
	probeFirstDelayMs: positiveMs,
	probeMaxDelayMs: positiveMs,
	probeTimeoutMs: positiveMs,
	retryBudget: retryBudgetRule,
	clock: clockRule,
}

/** The shared backoff scheduler: one state per endpoint, one timer for all waits. Pass the same one to pools that should share it. */
export class Scheduler {
	readonly clock: Clock
	readonly wakeUps: WakeUps
	/** @internal For what looks on while others work: it keeps no process alive, and is no wait. */
	readonly watches: WakeUps
	/** @internal */
	readonly aborts = new Aborts()
	readonly #probing: Probing
	readonly #retryBudget: RetryBudgetOptions | false | undefined
	readonly #endpoints = new Map<string, Endpoint>()
	readonly #budgets = new WeakMap<Endpoint, RetryBudget>()
	/** @internal Ended by `close`. */
	readonly ending = new Ending()

	/** @internal Made by `createScheduler`. */
	constructor(options: SchedulerOptions) {
		this.clock = options.clock ?? systemClock
		this.wakeUps = new WakeUps(this.clock)
		this.watches = new WakeUps(background(this.clock))
		this.#retryBudget = options.retryBudget
		const maxDelayMs = options.probeMaxDelayMs ?? Math.max(defaultProbing.maxDelayMs, options.probeFirstDelayMs ?? 0)
		const firstDelayMs = options.probeFirstDelayMs ?? Math.min(defaultProbing.firstDelayMs, maxDelayMs)
		if (maxDelayMs < firstDelayMs) throw new RangeError(`probeMaxDelayMs must be >= probeFirstDelayMs (${firstDelayMs}), got ${maxDelayMs}`)
		this.#probing = { firstDelayMs, maxDelayMs, timeoutMs: options.probeTimeoutMs ?? defaultProbing.timeoutMs }
	}

	/** The state of one server address, shared by everybody who asks for it. @internal */
	endpoint(address: string): Endpoint {
		let endpoint = this.#endpoints.get(address)
		if (endpoint === undefined) {
			endpoint = new Endpoint(address, this.clock, this.wakeUps, this.#probing)
			this.#endpoints.set(address, endpoint)
		}
		return endpoint
	}

	/** The same, where anybody uses it. @internal */
	known(address: string): Endpoint | undefined {
		return this.#endpoints.get(address)
	}

	/** What all pools on the endpoint may spend on retries. @internal */
	budget(endpoint: Endpoint): RetryBudget {
		let budget = this.#budgets.get(endpoint)
		if (budget === undefined) {
			budget = new RetryBudget(this.#retryBudget, this.clock.now())
			this.#budgets.set(endpoint, budget)
		}
		return budget
	}

	/** A pool has left the endpoint; one that nobody uses is forgotten. @internal */
	release(endpoint: Endpoint): void {
		if (endpoint.unused && this.#endpoints.get(endpoint.address) === endpoint) this.#endpoints.delete(endpoint.address)
	}

	/**
	 * Waits on the scheduler's one timer. Rejects at once with the reason of the signal that is aborted, or with the error of `ending`
	 * when that is over. @internal
	 */
	wait(delayMs: number, signals: readonly AbortSignal[], ending: Ending): Promise<void> {
		return new Promise((resolve, reject) => {
			if (ending.error !== undefined) return reject(ending.error)
			const aborted = signals.find((signal) => signal.aborted)
			if (aborted !== undefined) return reject(aborted.reason)
			const leave = () => {
				this.wakeUps.cancel(wakeUp)
				for (const signal of signals) this.aborts.unwatch(signal, onAbort)
				offEnd()
			}
			const onAbort = (reason: unknown) => {
				leave()
				reject(reason)
			}
			const offEnd = ending.onEnd((error) => {
				leave()
				reject(error)
			})
			for (const signal of signals) this.aborts.watch(signal, onAbort)
			const wakeUp: WakeUp = this.wakeUps.at(this.clock.now() + delayMs, () => {
				leave()
				resolve()
			})
		})
	}

	/** What is known of every endpoint in use. */
	stats(): { waits: number; endpoints: EndpointReport[] } {
		return { waits: this.wakeUps.size, endpoints: [...this.#endpoints.values()].map((endpoint) => endpoint.report()) }
	}

	/** Ends every wait with a clear error and takes no more work. Running queries go on; pools are not ended. */
	close(): void {
		this.ending.end(new HoldfastError('HOLDFAST_CLOSED', 'The scheduler was closed: no further attempt starts and no wait goes on.'))
	}
}

/**
 * Makes a scheduler of its own, for pools that must not share outages with the rest of the process, or for other probe times.
 * Throws a TypeError or RangeError for a bad option.
 */
export function createScheduler(options: SchedulerOptions = {}): Scheduler {
	checkOptions('createScheduler', options, schedulerRules)
	checkRetryBudget(options.retryBudget)
	return new Scheduler(options)
}

let shared: Scheduler | undefined

/** The scheduler of the process: made on first use, and anew when somebody has closed it. */
export function processScheduler(): Scheduler {
	if (shared === undefined || shared.ending.error !== undefined) shared = new Scheduler({})
	return shared
}
