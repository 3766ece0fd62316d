/** What becomes of one call of the user: how many attempts, until when, and what does the caller get in the end? */
import { type ClassifyOptions, classify } from './classify/classify.ts'
import type { Lane } from './conflict/lane.ts'
import { isConflict, type Turns } from './conflict/turns.ts'
import { mayRerun, type Repeatability } from './decide.ts'
import { HoldfastError, InDoubtError } from './errors.ts'
import type { Fault, Phase } from './fault.ts'
import { oneOf } from './options.ts'
import type { Ending } from './outage/ending.ts'
import type { Endpoint } from './outage/endpoint.ts'
import type { RetryBudget } from './outage/retry-budget.ts'
import type { Scheduler } from './outage/scheduler.ts'
import { attachReport } from './report.ts'
import { askWait, askYesNo } from './retry/ask.ts'
import type { Attempt, Stop, Wait, When } from './retry/attempt.ts'
import type { Counters } from './stats.ts'

/** What `onRetry` is told before a wait. No SQL and no parameter is in it. */
export interface RetryEvent {
	/** The attempt that failed, from 1. */
	readonly attempt: number
	readonly fault: Fault
	/** The driver's error. */
	readonly error: unknown
	/** The wait before the next attempt, in milliseconds; waiting at the gate comes on top. */
	readonly waitMs: number
	readonly label: string | undefined
}

/** What all calls of one wrapped pool share. */
export interface Policy {
	readonly scheduler: Scheduler
	readonly endpoint: Endpoint
	readonly turns: Turns
	readonly budget: RetryBudget
	readonly counters: Counters
	readonly priority: Priority
	readonly deadlineMs: number
	readonly stop: Stop
	readonly wait: Wait
	readonly when: When
	readonly readsAreSafe: boolean
	readonly classifyRows: ClassifyOptions['rows']
	/** What the driver has found out of an error that the error itself does not say. */
	readonly foundOut: ((error: unknown, phase: Phase) => Fault | undefined) | undefined
	readonly onRetry: ((event: RetryEvent) => void) | undefined
	readonly signal: AbortSignal | undefined
	/** Over once the pool was ended: no further attempt starts, and no wait goes on. */
	readonly ending: Ending
}

/** What one call asks for itself. */
export interface CallOptions {
	readonly deadlineMs?: number | undefined
	readonly signal?: AbortSignal | undefined
	readonly label?: string | undefined
	/** `'batch'`: it lets the other callers go first while they wait for a connection. Default: the pool's. */
	readonly priority?: Priority | undefined
}

/** Who goes first where callers wait for a connection. */
export type Priority = 'normal' | 'batch'

export const priorityRule = oneOf('normal', 'batch')

/** What was found out of a commit in doubt. */
export interface Doubt {
	readonly xid?: string | undefined
	readonly token?: string | undefined
	readonly detail?: string | undefined
}

const keptFaults = 20
// A wait that is shorter is that for the next turn of the event loop, and not worth keeping an account of.
const countedWaitMs = 1
// A transaction that ran up to its deadline and lost the answer to its COMMIT: the truth is worth two more seconds.
const askAtLeastMs = 2_000

/** What a call has behind it. Most calls succeed at once and have none. */
interface History {
	failed: number
	readonly faults: Fault[]
	lastError: unknown
	waitedMs: number
	waitingSinceMs: number
}

// Its methods are private by type only: those with a # cost each instance a word and a moment, and every statement makes a call.
export class Call {
	/** The number of the attempt that runs, or that waits for its connection. */
	attempts = 1
	readonly #policy: Policy
	readonly #options: CallOptions
	readonly #startedAtMs: number
	#history: History | undefined
	/** A call waits from its beginning until it is served for the first time. */
	#stage: 'new' | 'waiting' | 'served' = 'new'

	constructor(policy: Policy, options: CallOptions) {
		this.#policy = policy
		this.#options = options
		this.#startedAtMs = policy.scheduler.clock.now()
		policy.budget.calls += 1
	}

	get deadlineAtMs(): number {
		return this.#startedAtMs + (this.#options.deadlineMs ?? this.#policy.deadlineMs)
	}

	/** The call's own signal; that of the pool ends its waits as well. */
	get signal(): AbortSignal | undefined {
		return this.#options.signal
	}

	/** Whether it lets calls of normal priority go first. */
	get isBatch(): boolean {
		return (this.#options.priority ?? this.#policy.priority) === 'batch'
	}

	/** Where the failed attempt stands with the policy: returns once the next may start, or throws what the caller gets. */
	async next(error: unknown, fault: Fault, phase: Phase, work: Repeatability, doubt?: Doubt): Promise<void> {
		const { scheduler, counters, when, wait, stop, ending, onRetry, budget } = this.#policy
		const history = this.past()
		history.failed += 1
		history.faults.push(fault)
		if (history.faults.length > keptFaults) history.faults.shift()
		history.lastError = error
		if (mayRerun(fault, work) === 'in doubt') {
			// The client's own time limit on a statement stays the driver's error; a lost COMMIT is never just an error.
			if (!fault.retryable && phase !== 'commit') throw this.report(error)
			if (phase !== 'commit') {
				counters.inDoubt += 1
				counters.unresolved += 1
			}
			throw this.report(this.inDoubt(error, phase, doubt))
		}
		const attempt = this.record(error, fault)
		if (!askYesNo(when, attempt, 'when')) throw this.report(error)
		const paceMs = askWait(wait, attempt, 'wait')
		const isLast = askYesNo(stop, { ...attempt, upcomingWaitMs: paceMs }, 'stop')
		const nowMs = scheduler.clock.now()
		if (isLast || ending.error !== undefined || nowMs + paceMs >= this.deadlineAtMs) throw this.report(error)
		this.throwIfAborted()
		// Those who lose to one another take turns, which bounds their retries better than a share of traffic could.
		const tokenMs = work.takesTurns === true && isConflict(fault) ? 0 : budget.reserve(nowMs, this.deadlineAtMs)
		if (tokenMs === undefined) {
			budget.refuse(error)
			throw this.report(error)
		}
		const waitMs = Math.max(paceMs, tokenMs)
		onRetry?.({ attempt: this.attempts, fault, error, waitMs, label: this.#options.label })
		if (waitMs > 0) await this.sleep(waitMs)
		// A busy process wakes late.
		if (scheduler.clock.now() >= this.deadlineAtMs) throw this.report(error)
		counters.retried(fault.kind)
		this.attempts += 1
	}

	/** An attempt that Holdfast has ended itself is made again at once: neither the policy is asked nor does it count. Throws what `onRetry` throws. */
	again(error: unknown, fault: Fault): void {
		const { counters, onRetry } = this.#policy
		onRetry?.({ attempt: this.attempts, fault, error, waitMs: 0, label: this.#options.label })
		counters.retried(fault.kind)
	}

	/** The error of work that can neither be called done nor be run again. */
	inDoubt(cause: unknown, phase: Phase, doubt?: Doubt): InDoubtError {
		return new InDoubtError({ cause, attempts: this.attempts, phase: phase === 'commit' ? 'commit' : 'statement', ...doubt })
	}

	/** The error of a commit that was found not to have been applied: the driver's own, with a report that says so. */
	notApplied(error: unknown, fault: Fault): unknown {
		this.past().faults.push({ ...fault, outcome: 'rolled_back' })
		return this.report(error)
	}

	/** Calls `cut` unless it is taken back within the time that a probe may take, and before the deadline: for Holdfast's own questions. */
	guard(cut: (error: HoldfastError) => void): () => void {
		const { wakeUps, clock } = this.#policy.scheduler
		const atMs = Math.min(clock.now() + this.#policy.endpoint.probeTimeoutMs, this.deadlineAtMs)
		const limit = wakeUps.at(atMs, () => cut(this.cutOff()))
		return () => wakeUps.cancel(limit)
	}

	/** The same call with the time to find out about a commit: what is left of its own, and a little where that is used up. */
	forAsking(): Call {
		const leftMs = this.deadlineAtMs - this.#policy.scheduler.clock.now()
		return new Call(this.#policy, { deadlineMs: Math.max(leftMs, askAtLeastMs), signal: this.signal })
	}

	/** Waits a little within the call's limits. False, at once, where the deadline leaves no room; rejects when the wait is ended. */
	async pause(delayMs: number): Promise<boolean> {
		const { scheduler, ending } = this.#policy
		if (scheduler.clock.now() + delayMs >= this.deadlineAtMs) return false
		await scheduler.wait(delayMs, this.signals(), ending)
		return true
	}

	/** Waits for its turn among transactions that conflict. */
	async turn(lane: Lane, losses: number): Promise<void> {
		const { turns, ending } = this.#policy
		this.waiting()
		try {
			await turns.wait(lane, losses, { deadlineAtMs: this.deadlineAtMs, signals: this.signals(), ending })
		} catch (ended) {
			throw this.waitFailed(ended)
		} finally {
			this.served()
		}
	}

	/** The error of a wait for a connection: the caller's last native error, where it met one. */
	waitFailed(error: unknown): unknown {
		const history = this.#history
		return this.report(history !== undefined && history.failed > 0 && HoldfastError.is(error) ? history.lastError : error)
	}

	/** Throws the reason of the signal that was aborted: the call's own or the pool's. */
	throwIfAborted(): void {
		for (const signal of this.signals()) signal.throwIfAborted()
	}

	/** Marks the time between asking for a connection and getting it. */
	waiting(): void {
		if (this.#stage !== 'new' || this.#history !== undefined) this.past().waitingSinceMs = this.#policy.scheduler.clock.now()
		this.#stage = 'waiting'
	}

	served(): void {
		if (this.#stage !== 'waiting') return
		this.#stage = 'served'
		const waitedMs = this.#policy.scheduler.clock.now() - (this.#history?.waitingSinceMs ?? this.#startedAtMs)
		if (this.#history !== undefined || waitedMs >= countedWaitMs) this.past().waitedMs += waitedMs
	}

	/** The error that ends an attempt at its time limit. */
	cutOff(): HoldfastError {
		return new HoldfastError('HOLDFAST_ATTEMPT_TIMEOUT', 'The attempt was cut at attemptTimeoutMs, and its connection closed.')
	}

	classify(error: unknown, phase: Phase): Fault {
		const { foundOut, classifyRows } = this.#policy
		return foundOut?.(error, phase) ?? classify(error, { phase, ...(classifyRows && { rows: classifyRows }) })
	}

	private async sleep(waitMs: number): Promise<void> {
		const { scheduler, counters, ending } = this.#policy
		counters.waits += 1
		this.waiting()
		try {
			await scheduler.wait(waitMs, this.signals(), ending)
		} catch (ended) {
			throw this.waitFailed(ended)
		} finally {
			this.served()
		}
	}

	// Not joined by AbortSignal.any: on Node.js 20 the pool's signal would remember every such signal for ever.
	private signals(): AbortSignal[] {
		return [this.signal, this.#policy.signal].filter((signal) => signal !== undefined)
	}

	private record(error: unknown, fault: Fault): Attempt {
		const { clock } = this.#policy.scheduler
		return {
			number: this.attempts,
			elapsedMs: clock.now() - this.#startedAtMs,
			idleForMs: this.past().waitedMs,
			upcomingWaitMs: 0,
			failed: true,
			error,
			result: undefined,
			fault,
			random: () => clock.random(),
		}
	}

	private past(): History {
		this.#history ??= { failed: 0, faults: [], lastError: undefined, waitedMs: 0, waitingSinceMs: this.#startedAtMs }
		return this.#history
	}

	private report(error: unknown): unknown {
		this.served()
		const { scheduler, budget } = this.#policy
		const { failed, waitedMs, faults } = this.past()
		attachReport(error, {
			attempts: failed,
			elapsedMs: scheduler.clock.now() - this.#startedAtMs,
			waitedMs,
			faults: [...faults],
			budgetSpent: budget.wasRefused(error),
		})
		return error
	}
}
