/** What becomes of one call of the user: how many attempts, until when, and what does the caller get in the end? */
import { classify } from './classify/classify.ts'
import type { Lane } from './conflict/lane.ts'
import { isConflict } from './conflict/turns.ts'
import { mayRerun, type Repeatability } from './decide.ts'
import { DeadlineError, HoldfastError, InDoubtError } from './errors.ts'
import type { Fault, Phase } from './fault.ts'
import { begin, type CallOptions, deadlineOf, isBatchCall, type Policy } from './policy.ts'
import { attachReport } from './report.ts'
import { askWait, askYesNo } from './retry/ask.ts'
import type { Attempt } from './retry/attempt.ts'
import { disclaim, spend } from './retry/spent.ts'

export type { BudgetSpentEvent, CallOptions, Policy, RetryEvent } from './policy.ts'

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

/** Waiting longer, or again, is not for somebody further out: the deadline has passed, or the work may have been done. */
const isFinal = (error: unknown): boolean => error instanceof DeadlineError || error instanceof InDoubtError

/** A time limit of the client's has ended the attempt, and its connection with it. */
const isCut = ({ kind, scope }: Fault): boolean => scope === 'connection' && (kind === 'attempt_timeout' || kind === 'statement_timeout')

/** What a call has behind it. Most calls succeed at once and have none. */
interface History {
	/** The number of the attempt that runs, or that waits for its connection. */
	attempts: number
	failed: number
	readonly faults: Fault[]
	lastError: unknown
	waitedMs: number
	/** Undefined while it does not wait. */
	waitingSinceMs: number | undefined
}

// Its methods are private by type only: those with a # cost each instance a word and a moment, and every statement makes a call.
export class Call {
	readonly #policy: Policy
	readonly #options: CallOptions
	readonly #startedAtMs: number
	/** Undefined until it is served for the first time: it waits from its beginning. Then the time that it took, until there is more to tell. */
	#history: History | number | undefined

	/** `startedAtMs`, where it has begun already. */
	constructor(policy: Policy, options: CallOptions, startedAtMs: number = begin(policy)) {
		this.#policy = policy
		this.#options = options
		this.#startedAtMs = startedAtMs
	}

	/** The number of the attempt that runs, or that waits for its connection. */
	get attempts(): number {
		return typeof this.#history === 'object' ? this.#history.attempts : 1
	}

	get deadlineAtMs(): number {
		return deadlineOf(this.#policy, this.#options, this.#startedAtMs)
	}

	/** The call's own signal; that of the pool ends its waits as well. */
	get signal(): AbortSignal | undefined {
		return this.#options.signal
	}

	/** Whether it lets calls of normal priority go first. */
	get isBatch(): boolean {
		return isBatchCall(this.#policy, this.#options)
	}

	/** Where the failed attempt stands with the policy: returns once the next may start, or throws what the caller gets. */
	async next(error: unknown, fault: Fault, phase: Phase, work: Repeatability, doubt?: Doubt): Promise<void> {
		const { scheduler, counters, cutWork, when, wait, stop, ending, onRetry, budget } = this.#policy
		const history = this.past()
		if (isCut(fault)) cutWork.cut(counters.attempts, scheduler.clock.now() - this.#startedAtMs - history.waitedMs)
		history.failed += 1
		history.faults.push(fault)
		if (history.faults.length > keptFaults) history.faults.shift()
		history.lastError = error
		if (mayRerun(fault, work) === 'in doubt') {
			// The client's own time limit on a statement stays the driver's error; a lost COMMIT is never just an error.
			if (!fault.retryable && phase !== 'commit') throw this.report(error, false)
			if (phase !== 'commit') {
				counters.inDoubt += 1
				counters.unresolved += 1
			}
			throw this.report(this.inDoubt(error, phase, doubt))
		}
		const attempt = this.record(error, fault)
		if (!askYesNo(when, attempt, 'when')) throw this.report(error, false)
		const paceMs = askWait(wait, attempt, 'wait')
		const isLast = askYesNo(stop, { ...attempt, upcomingWaitMs: paceMs }, 'stop')
		const nowMs = scheduler.clock.now()
		if (isLast || ending.error !== undefined || nowMs + paceMs >= this.deadlineAtMs) throw this.report(error)
		this.throwIfAborted()
		// Those who lose to one another take turns, which bounds their retries better than a share of traffic could.
		// What was cut is no crash.
		const scope = isCut(fault) ? 'statement' : fault.scope
		const tokenMs = work.takesTurns === true && isConflict(fault) ? 0 : budget.reserve(scope, nowMs, this.deadlineAtMs)
		if (tokenMs === undefined) {
			budget.refuse(error)
			throw this.refused(error, fault)
		}
		const waitMs = Math.max(paceMs, tokenMs)
		onRetry?.({ attempt: this.attempts, fault, error, waitMs, label: this.#options.label })
		if (waitMs > 0) await this.sleep(waitMs, tokenMs > 0)
		// A busy process wakes late.
		if (scheduler.clock.now() >= this.deadlineAtMs) throw this.report(error)
		counters.retried(fault.kind)
		history.attempts += 1
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
		if (this.#policy.budget.wasRefused(error)) return this.refused(error, this.classify(error, 'connect'))
		if (typeof history !== 'object' || history.failed === 0 || !HoldfastError.is(error)) return this.report(error)
		return this.report(history.lastError, history.failed > 1 || isFinal(error))
	}

	/** Throws the reason of the signal that was aborted: the call's own or the pool's. */
	throwIfAborted(): void {
		for (const signal of this.signals()) signal.throwIfAborted()
	}

	/** Marks the time between asking for a connection and getting it. */
	waiting(): void {
		if (this.#history !== undefined) this.past().waitingSinceMs = this.#policy.scheduler.clock.now()
	}

	/** There was a connection: the turn of the event loop that it took is not worth a look at the clock. */
	servedAtOnce(): void {
		if (this.#history === undefined) this.#history = 0
		else this.served()
	}

	served(): void {
		const history = this.#history
		if (history === undefined) {
			const waitedMs = this.#policy.scheduler.clock.now() - this.#startedAtMs
			this.#history = waitedMs < countedWaitMs ? 0 : waitedMs
		} else if (typeof history === 'object' && history.waitingSinceMs !== undefined) {
			history.waitedMs += this.#policy.scheduler.clock.now() - history.waitingSinceMs
			history.waitingSinceMs = undefined
		}
	}

	/** The error that ends an attempt at its time limit. */
	cutOff(): HoldfastError {
		return new HoldfastError('HOLDFAST_ATTEMPT_TIMEOUT', 'The attempt was cut at attemptTimeoutMs, and its connection closed.')
	}

	classify(error: unknown, phase: Phase): Fault {
		const { foundOut, classifyRows } = this.#policy
		return foundOut?.(error, phase) ?? classify(error, { phase, ...(classifyRows && { rows: classifyRows }) })
	}

	private async sleep(waitMs: number, forToken: boolean): Promise<void> {
		const { scheduler, counters, ending, budget } = this.#policy
		counters.waits += 1
		this.waiting()
		try {
			await scheduler.wait(waitMs, this.signals(), ending)
		} catch (ended) {
			// Those who come later would wait for those who have left.
			if (forToken) budget.giveBack()
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
		if (typeof this.#history === 'object') return this.#history
		const waitedMs = this.#history ?? 0
		const history: History = { attempts: 1, failed: 0, faults: [], lastError: undefined, waitedMs, waitingSinceMs: undefined }
		this.#history = history
		return history
	}

	/** What the caller gets for want of a token: the error of its attempt, or what the user's hook throws. */
	private refused(error: unknown, fault: Fault): unknown {
		const reported = this.report(error)
		try {
			this.#policy.onBudgetSpent?.({ attempt: this.attempts, fault, error, label: this.#options.label })
			return reported
		} catch (thrown) {
			return thrown
		}
	}

	/** What the caller gets. Further attempts of somebody further out would multiply this call's, unless it would have made none for this error. */
	private report(error: unknown, isExhausted = this.past().failed > 1): unknown {
		this.served()
		const { scheduler, budget } = this.#policy
		const { failed, waitedMs, faults } = this.past()
		const budgetSpent = budget.wasRefused(error)
		if (isExhausted || budgetSpent || isFinal(error)) spend(error)
		else disclaim(error)
		attachReport(error, {
			attempts: failed,
			elapsedMs: scheduler.clock.now() - this.#startedAtMs,
			waitedMs,
			faults: [...faults],
			budgetSpent,
		})
		return error
	}
}
