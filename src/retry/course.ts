/** How far has this call come? The numbers of one run of the loop, and the records made of them. */
import type { Attempt } from './attempt.ts'
import type { Policy } from './policy.ts'
import { spentSoFar, wasSpentSince } from './spent.ts'

/** What a run did so far. All keys are always there; before the first run all are 0. */
export interface RetryStatistics {
	/** When the run began: monotonic time of the clock, in milliseconds. Only differences mean anything. */
	readonly startedAtMs: number
	/** Attempts that were started. */
	readonly attempts: number
	/** The waits between attempts, added up, in milliseconds. */
	readonly idleForMs: number
	/** From the start to the end of the latest attempt, in milliseconds. */
	readonly elapsedMs: number
}

/** What the function learns about its own attempt. */
export interface AttemptContext {
	/** Counts from 1. */
	readonly number: number
	/** Milliseconds since the first attempt began. */
	readonly elapsedMs: number
	/** The waits so far, added up, in milliseconds. */
	readonly idleForMs: number
	/** Milliseconds left before `deadlineMs`; Infinity without one. */
	readonly remainingMs: number
	/** The option `signal`: hand it on, so that an abort also cuts the work. */
	readonly signal: AbortSignal | undefined
}

/** The running numbers of one call. */
export class Course implements RetryStatistics {
	readonly startedAtMs: number
	attempts = 0
	idleForMs = 0
	elapsedMs = 0
	readonly policy: Policy<unknown>
	readonly name: string | undefined
	readonly args: readonly unknown[] | undefined
	#spentBefore = 0

	constructor(policy: Policy<unknown>, name?: string, args?: readonly unknown[]) {
		this.policy = policy
		this.startedAtMs = policy.clock.now()
		this.name = policy.name ?? (name === '' ? undefined : name)
		this.args = args
	}

	sinceStartMs(): number {
		return this.policy.clock.now() - this.startedAtMs
	}

	/** Counts the attempt that begins now. */
	begin(): AttemptContext {
		this.attempts += 1
		this.#spentBefore = spentSoFar()
		const elapsedMs = this.attempts === 1 ? 0 : this.sinceStartMs()
		const { deadlineMs, signal } = this.policy
		return { number: this.attempts, elapsedMs, idleForMs: this.idleForMs, remainingMs: Math.max(0, deadlineMs - elapsedMs), signal }
	}

	/** Whether the attempt that ended with this error has used up the retries for it already. */
	wasSpent(error: unknown): boolean {
		return wasSpentSince(this.#spentBefore, error)
	}

	/** The record before an attempt, which has neither error nor result. */
	opening(context: AttemptContext): Attempt {
		return this.record(context.elapsedMs, false, undefined, undefined)
	}

	/** The record of an attempt that ended now. */
	ended(failed: boolean, error: unknown, result: unknown): Attempt {
		this.elapsedMs = this.sinceStartMs()
		return this.record(this.elapsedMs, failed, error, result)
	}

	private record(elapsedMs: number, failed: boolean, error: unknown, result: unknown): Attempt {
		const { clock } = this.policy
		return {
			number: this.attempts,
			elapsedMs,
			idleForMs: this.idleForMs,
			upcomingWaitMs: 0,
			failed,
			error,
			result,
			name: this.name,
			args: this.args,
			random: () => clock.random(),
		}
	}

	/** The numbers as they are now. */
	statistics(): RetryStatistics {
		const { startedAtMs, attempts, idleForMs, elapsedMs } = this
		return Object.freeze({ startedAtMs, attempts, idleForMs, elapsedMs })
	}
}

/** The statistics of something that never ran. */
export const noStatistics: RetryStatistics = Object.freeze({ startedAtMs: 0, attempts: 0, idleForMs: 0, elapsedMs: 0 })
