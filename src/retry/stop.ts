/** When has a call tried long enough? Pure rules; they know nothing of why it failed. */
import { abortSignal } from '../options.ts'
import type { Attempt, Stop } from './attempt.ts'
import { check, countRule, delayRule } from './checks.ts'
import { allOf, anyOf, type Condition, condition } from './compose.ts'

/**
 * Never gives up by itself: then `deadlineMs`, `signal` or a success must end it. `stop.never` and `stop.never()` are the same rule.
 * Tenacity: `stop_never`.
 */
export const never: Condition & (() => Condition) = condition(((attempt?: Attempt) =>
	attempt === undefined ? never : false) as () => boolean) as Condition & (() => Condition)

/** Gives up once `attempts` attempts were made, the first one included. Tenacity: `stop_after_attempt`. @throws TypeError, RangeError for less than 1. */
export function afterAttempts(attempts: number): Condition {
	check('stop.afterAttempts: attempts', countRule, attempts)
	return condition((attempt) => attempt.number >= attempts)
}

/**
 * Gives up once `delayMs` milliseconds have gone by since the first attempt began. The last wait may overshoot it: see `beforeDelay`.
 * Tenacity: `stop_after_delay`.
 */
export function afterDelay(delayMs: number): Condition {
	check('stop.afterDelay: delayMs', delayRule, delayMs)
	return condition((attempt) => attempt.elapsedMs >= delayMs)
}

/** Gives up when the upcoming wait could not end before `delayMs` milliseconds since the first attempt. Tenacity: `stop_before_delay`. */
export function beforeDelay(delayMs: number): Condition {
	check('stop.beforeDelay: delayMs', delayRule, delayMs)
	return condition((attempt) => attempt.elapsedMs + attempt.upcomingWaitMs >= delayMs)
}

/**
 * Gives up, with the last error, once `signal` is aborted. It does not cut a wait that is under way: for that pass the signal as the option `signal`.
 * Tenacity: `stop_when_event_set`.
 */
export function whenAborted(signal: AbortSignal): Condition {
	check('stop.whenAborted: signal', abortSignal, signal)
	return condition(() => signal.aborted)
}

/** Gives up when one of `rules` does. Plain functions are rules as well. Tenacity: `stop_any`, `|`. */
export function any(...rules: readonly Stop[]): Condition {
	return anyOf('stop.any', rules)
}

/** Gives up when each of `rules` does. Plain functions are rules as well. Tenacity: `stop_all`, `&`. */
export function all(...rules: readonly Stop[]): Condition {
	return allOf('stop.all', rules)
}
