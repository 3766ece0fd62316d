/** What does every strategy know of the attempt that just ended? The one record that stop, wait and when receive. */
import type { Fault } from '../fault.ts'

/** One try, as strategies see it. Times are milliseconds of monotonic time. */
export interface Attempt {
	/** Counts from 1. */
	readonly number: number
	/** Since the first attempt began, waits included. */
	readonly elapsedMs: number
	/** The waits so far, added up. */
	readonly idleForMs: number
	/** The wait that would come next. Set before `stop` is asked, 0 before that. */
	readonly upcomingWaitMs: number
	/** Whether the attempt threw (or rejected). */
	readonly failed: boolean
	/** What it threw; undefined where it did not. */
	readonly error: unknown
	/** What it returned; undefined where it threw. */
	readonly result: unknown
	/** What classification says of the error. Set by the wrapped drivers, absent in plain `retry()`. */
	readonly fault?: Fault | undefined
	/** What is retried: the option `name`, else the function's name. */
	readonly name?: string | undefined
	/** The arguments of this call of a wrapped function. */
	readonly args?: readonly unknown[] | undefined
	/** Chance, from the clock: strategies use this and never `Math.random`. */
	random(): number
}

/** Whether to give up now. Asked after `wait`, so it can look at `upcomingWaitMs`. */
export type Stop = (attempt: Attempt) => boolean
/** How long to wait before the next attempt, in milliseconds. */
export type Wait = (attempt: Attempt) => number
/** Whether an attempt that ended like this is to be tried again. */
export type When = (attempt: Attempt) => boolean
