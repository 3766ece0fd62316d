/** What can be set for a retry, and what holds where nothing is set? Option types, defaults and their checks. */
import { type Clock, systemClock } from '../clock.ts'
import { type LastAttempt, RetryError } from '../errors.ts'
import { abortSignal, bool, fn, type OptionRules, positiveMsOrInfinity, text } from '../options.ts'
import type { Attempt, Stop, Wait, When } from './attempt.ts'
import { checkPolicy, classRule, clockRule } from './checks.ts'
import { afterAttempts } from './stop.ts'
import { randomExponential } from './wait.ts'
import { error } from './when.ts'

/** Called at a point of the loop with the record of the attempt. May be async: it is awaited. What it throws ends the retry. */
export type Hook = (attempt: Attempt) => unknown
/** What the loop throws when it gives up, unless `reraise` is set. */
export type RetryErrorClass = new (lastAttempt: LastAttempt, message: string) => Error

/** What can be set for `retry`, `retrying` and `wrap`. Every part is optional; `undefined` means the default. `E` is what `onError` returns. */
export interface RetryOptions<E = never> {
	/** When to give up. @default stop.afterAttempts(5) */
	stop?: Stop | undefined
	/** How long to wait between attempts. @default wait.randomExponential({ multiplierMs: 100, maxMs: 10_000 }) */
	wait?: Wait | undefined
	/**
	 * Whether an attempt that ended like this is tried again. @default whatever was thrown, but for errors that another `retry` or a wrapped
	 * pool further in has given up on, and for an InDoubtError: attempts never multiply, and work in doubt is not repeated
	 */
	when?: When | undefined
	/** Runs before each attempt. */
	before?: Hook | undefined
	/** Runs after each attempt that `when` wants tried again, the last one included. */
	after?: Hook | undefined
	/** Runs before each wait; so never after the last attempt. Knows `upcomingWaitMs`. */
	beforeSleep?: Hook | undefined
	/** Runs when the loop gives up; what it returns becomes the result. */
	onError?: ((attempt: Attempt) => E | PromiseLike<E>) | undefined
	/** Throw the last native error instead of `RetryError` when the loop gives up. @default false */
	reraise?: boolean | undefined
	/** Its abort ends a wait at once and rejects with its reason; no further attempt starts. The function gets it in its context. */
	signal?: AbortSignal | undefined
	/** Milliseconds after the start. No wait is begun that cannot end before it: the loop gives up then and there. A running attempt is not cut. @default Infinity */
	deadlineMs?: number | undefined
	/** `false` calls the function once, with no policy at all. @default true */
	enabled?: boolean | undefined
	/** Stands in error texts and in `attempt.name`. @default the name of the function */
	name?: string | undefined
	/** Waits, in place of the clock's timer. It has to obey the signal by itself. */
	sleep?: ((delayMs: number, signal?: AbortSignal) => PromiseLike<void>) | undefined
	/** Time and chance. @default the process's own */
	clock?: Clock | undefined
	/** What is thrown when the loop gives up. @default RetryError */
	retryErrorClass?: RetryErrorClass | undefined
}

/** The options with the defaults filled in. */
export type Policy<E = never> = {
	readonly [K in keyof Required<RetryOptions<E>>]: K extends Defaulted
		? Exclude<Required<RetryOptions<E>>[K], undefined>
		: Required<RetryOptions<E>>[K]
}
type Defaulted = 'stop' | 'wait' | 'when' | 'reraise' | 'deadlineMs' | 'enabled' | 'clock' | 'retryErrorClass'

const rules: OptionRules<RetryOptions> = {
	stop: fn,
	wait: fn,
	when: fn,
	before: fn,
	after: fn,
	beforeSleep: fn,
	onError: fn,
	reraise: bool,
	signal: abortSignal,
	deadlineMs: positiveMsOrInfinity,
	enabled: bool,
	name: text,
	sleep: fn,
	clock: clockRule,
	retryErrorClass: classRule,
}

// What Tenacity, p-retry and async-retry call these.
const foreignNames = {
	retry: 'when',
	before_sleep: 'beforeSleep',
	retry_error_callback: 'onError',
	retryErrorCallback: 'onError',
	retry_error_cls: 'retryErrorClass',
	retries: 'stop: stop.afterAttempts(retries + 1)',
	attempts: 'stop: stop.afterAttempts(attempts)',
	maxRetryTime: 'deadlineMs',
	deadline: 'deadlineMs (milliseconds)',
	onFailedAttempt: 'after',
	onRetry: 'beforeSleep',
	shouldRetry: 'when',
	minTimeout: 'wait: wait.randomExponential({ multiplierMs })',
	maxTimeout: 'wait: wait.randomExponential({ maxMs })',
	factor: 'wait: wait.randomExponential({ expBase })',
}

const defaultStop = afterAttempts(5)
const defaultWait = randomExponential({ multiplierMs: 100, maxMs: 10_000 })
/** The rule where the user has given none: whatever was thrown, but for what was retried further in already. */
export const defaultWhen = error()

// Every key spelled out, so that all policies have one shape: spreading and freezing cost a call more than all the rest of the loop.
function fill<E>(options: RetryOptions<E>): Policy<E> {
	return {
		stop: options.stop ?? defaultStop,
		wait: options.wait ?? defaultWait,
		when: options.when ?? defaultWhen,
		before: options.before,
		after: options.after,
		beforeSleep: options.beforeSleep,
		onError: options.onError,
		reraise: options.reraise ?? false,
		signal: options.signal,
		deadlineMs: options.deadlineMs ?? Infinity,
		enabled: options.enabled ?? true,
		name: options.name,
		sleep: options.sleep,
		clock: options.clock ?? systemClock,
		retryErrorClass: options.retryErrorClass ?? RetryError,
	}
}

const defaultPolicy: Policy = Object.freeze(fill<never>({}))

/** Checks the options and fills in the defaults. `owner` is the function that was called. @throws TypeError, RangeError naming option, rule and value. */
export function policyOf<E = never>(owner: string, options: RetryOptions<E> | undefined): Policy<E> {
	if (options === undefined) return defaultPolicy as Policy<E>
	checkPolicy(owner, options, rules, foreignNames)
	return fill(options)
}
