/** How does a function become one that retries? It keeps `this`, arguments, name, length and type. */
import { fn as functionRule } from '../options.ts'
import { check } from './checks.ts'
import { Course, noStatistics, type RetryStatistics } from './course.ts'
import { run } from './loop.ts'
import { type Policy, policyOf, type RetryOptions } from './policy.ts'

/** A function as `wrap` takes it. */
export type Wrappable = (this: never, ...args: never[]) => unknown

/** The call of a wrapped function: a promise-returning function keeps its type, overloads included; another one returns a promise now. */
type Call<F extends Wrappable, E> = [E] extends [never] ? (ReturnType<F> extends Promise<unknown> ? F : AsyncCall<F, E>) : AsyncCall<F, E>
type AsyncCall<F extends Wrappable, E> = (
	this: ThisParameterType<F>,
	...args: Parameters<OmitThisParameter<F>>
) => Promise<Awaited<ReturnType<F>> | E>

/** A function that retries, and what it carries. */
export type Wrapped<F extends Wrappable, E = never> = Call<F, E> & {
	/** The policy, defaults filled in. */
	readonly retry: Policy<E>
	/** The same function under the same policy with parts replaced. This one stays as it is. */
	retryWith<G = never>(overrides: RetryOptions<G>): Wrapped<F, E | G>
	/** The numbers of the call that began last; all 0 before the first one. Calls that overlap: each hook gets its own numbers in its record. */
	readonly statistics: RetryStatistics
}

/**
 * A function that calls `fn` as `retry` does, with the arguments and the `this` it was called with. Hooks find the arguments in `attempt.args`.
 * @throws TypeError, RangeError for bad options, at once; when called, as `retry` does.
 */
export function wrap<F extends Wrappable, E = never>(fn: F, options?: RetryOptions<E>): Wrapped<F, E> {
	check('wrap: fn', functionRule, fn)
	const policy = Object.freeze(policyOf('wrap', options))
	let latest: Course | undefined
	async function wrapped(this: unknown, ...args: unknown[]): Promise<unknown> {
		const work = () => Reflect.apply(fn, this, args) as unknown
		if (!policy.enabled) return work()
		const course = new Course(policy, fn.name, args)
		latest = course
		return run<unknown, E>(policy, course, work)
	}
	Object.defineProperties(wrapped, {
		name: { value: fn.name, configurable: true },
		length: { value: fn.length, configurable: true },
		retry: { value: policy },
		retryWith: { value: (overrides: RetryOptions<unknown>) => wrap(fn, { ...options, ...overrides }) },
		statistics: { get: () => latest?.statistics() ?? noStatistics },
	})
	return wrapped as unknown as Wrapped<F, E>
}
