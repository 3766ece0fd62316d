/** What did the retries of this failed call do? The report that travels with the last native error. */
import type { Fault } from './fault.ts'

/** What happened before a call gave up. */
export interface RetryReport {
	/** Attempts that were started; 0 where the call only waited for a connection. */
	readonly attempts: number
	/** Time from the call to the failure, waits included, in milliseconds. */
	readonly elapsedMs: number
	/** Of it, the time spent waiting between attempts and at the gate, in milliseconds. */
	readonly waitedMs: number
	/** The fault of each attempt that failed, oldest first; at most the last 20. */
	readonly faults: readonly Fault[]
	/** It might have been tried again, but the retry budget of its endpoint was spent. */
	readonly budgetSpent: boolean
}

// A side table: the error stays the identical, untouched object, and frozen errors work as well.
const reports = new WeakMap<object, RetryReport>()

/** Keeps a report beside an error. Internal. */
export function attachReport(error: unknown, report: RetryReport): void {
	if (typeof error === 'object' && error !== null) reports.set(error, report)
}

/** What was done before a wrapped driver threw this error; undefined for an error that did not come from one, and for what is no object. */
export function retryReport(error: unknown): RetryReport | undefined {
	return typeof error === 'object' && error !== null ? reports.get(error) : undefined
}
