/** How is one piece of work run again until it succeeds? `retry`, and the same with a policy of one's own. */
import { fn } from '../options.ts'
import { check } from './checks.ts'
import { type AttemptContext, Course } from './course.ts'
import { run } from './loop.ts'
import { policyOf, type RetryOptions } from './policy.ts'
import { wrap } from './wrap.ts'

/** Work for `retry`: gets the context of its attempt. */
export type Work<T> = (context: AttemptContext) => T | PromiseLike<T>

/**
 * Calls `work` until it succeeds; waits in between. With no options: up to 5 attempts, waits of up to 100, 200, 400 and 800 ms with full jitter, after whatever it threw.
 * @returns what the successful attempt returned, or what `onError` returned.
 * @throws RetryError with `lastAttempt` when it gave up (with `reraise` the last native error); an error that `when` does not accept, untouched and at once;
 * the signal's reason after an abort; TypeError or RangeError for bad options.
 * @example const rows = await retry(() => load(), { stop: stop.afterAttempts(3) })
 */
export async function retry<T, E = never>(work: Work<T>, options?: RetryOptions<E>): Promise<T | E> {
	check('retry: the work', fn, work)
	const policy = policyOf('retry', options)
	const course = new Course(policy, work.name)
	if (!policy.enabled) return work(course.begin())
	return run(policy, course, work)
}

/** `retry` with a policy: see `retryWith`. */
export interface BoundRetry<E = never> {
	/** As `retry(work, { ...policy, ...overrides })`. */
	<T, F = never>(work: Work<T>, overrides?: RetryOptions<F>): Promise<T | E | F>
	/** The same with a part of the policy replaced. The one it is called on stays as it is. */
	retryWith<F = never>(overrides: RetryOptions<F>): BoundRetry<E | F>
}

/** A `retry` with a policy of its own, to be used in many places; each call may override parts of it. @throws TypeError, RangeError for bad options, at once. */
export function retryWith<E = never>(options: RetryOptions<E>): BoundRetry<E> {
	policyOf('retryWith', options)
	const bound = <T, F = never>(work: Work<T>, overrides?: RetryOptions<F>): Promise<T | E | F> =>
		retry<T, E | F>(work, { ...options, ...overrides })
	return Object.assign(bound, {
		retryWith: <F = never>(overrides: RetryOptions<F>) => retryWith<E | F>({ ...options, ...overrides }),
	})
}

/** `wrap`, for those who import nothing but `retry`. */
retry.wrap = wrap
