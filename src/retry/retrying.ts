/** How is a block of code retried without putting it into one function? Async iteration, one turn an attempt. */
import { fn } from '../options.ts'
import type { Attempt } from './attempt.ts'
import { check } from './checks.ts'
import { type AttemptContext, Course, noStatistics, type RetryStatistics } from './course.ts'
import { decide, isWanted, pause, refuseAborted, runBefore } from './loop.ts'
import { type Policy, policyOf, type RetryOptions } from './policy.ts'
import type { Work } from './retry.ts'

/**
 * One turn of the loop. Call it once with the work. It answers with the result of the work when that is final; with `undefined` when the work is to be tried
 * again, and the loop then goes on; with the value of `onError` when the loop gave up and there is one. It throws what `retry` would throw.
 * Where a wait turns out too long for the deadline only after the turn (a slow `beforeSleep`, a late timer), `onError` is called and its value is dropped.
 */
export interface Turn<E = never> extends AttemptContext {
	<T>(work: Work<T>): Promise<T | E | undefined>
}

/** What `retrying` returns: iterate it with `for await`. Each iteration is a run of its own. */
export interface Retrying<E = never> extends AsyncIterable<Turn<E>> {
	/** The numbers of the iteration that began last; all 0 before the first one. */
	readonly statistics: RetryStatistics
}

/**
 * Attempts as an async iteration. The loop ends after the turn whose work succeeded; leaving it early (`break`, `return`, a throw from the body) leaves nothing behind.
 * Only what runs inside `attempt(…)` is retried; an error that the body throws beside it leaves the loop.
 * @throws TypeError, RangeError for bad options, at once; in the loop, what `retry` throws.
 * @example
 * let rows
 * for await (const attempt of retrying(policy)) rows = await attempt(() => load())
 */
export function retrying<E = never>(options?: RetryOptions<E>): Retrying<E> {
	const policy = policyOf('retrying', options)
	let latest: Course | undefined
	return {
		async *[Symbol.asyncIterator]() {
			const course = new Course(policy)
			latest = course
			for (;;) {
				if (policy.enabled) refuseAborted(policy)
				const context = course.begin()
				if (policy.enabled && policy.before !== undefined) await runBefore(policy, course, context)
				const turn = new TurnState(policy, course)
				yield Object.assign(<T>(work: Work<T>) => turn.start(work, context), context)
				const next = await turn.end()
				if (next === undefined || (await pause(policy, course, next)) !== undefined) return
			}
		},
		get statistics() {
			return latest?.statistics() ?? noStatistics
		},
	}
}

/** What became of the one call of a turn. */
class TurnState<E> {
	private readonly policy: Policy<E>
	private readonly course: Course
	private running: Promise<unknown> | undefined
	private isSettled = false
	private next: Attempt | undefined

	constructor(policy: Policy<E>, course: Course) {
		this.policy = policy
		this.course = course
	}

	start<T>(work: Work<T>, context: AttemptContext): Promise<T | E | undefined> {
		const outcome = this.running === undefined ? this.attempt(work, context) : refuseSecondCall()
		this.running ??= outcome
		return outcome
	}

	private async attempt<T>(work: Work<T>, context: AttemptContext): Promise<T | E | undefined> {
		try {
			check('attempt: the work', fn, work)
			if (!this.policy.enabled) return await work(context)
			return await this.judge(await this.outcomeOf(work, context))
		} finally {
			this.isSettled = true
		}
	}

	private async outcomeOf(work: Work<unknown>, context: AttemptContext): Promise<Attempt> {
		try {
			const result = await work(context)
			return this.course.ended(false, undefined, result)
		} catch (error) {
			return this.course.ended(true, error, undefined)
		}
	}

	private async judge<T>(ended: Attempt): Promise<T | E | undefined> {
		if (!isWanted(this.policy, this.course, ended)) {
			if (ended.failed) throw ended.error
			return ended.result as T
		}
		const next = await decide(this.policy, this.course, ended)
		if ('value' in next) return next.value
		this.next = next
		return undefined
	}

	/** The body is through. Answers with the record of the attempt if another one is to follow. */
	async end(): Promise<Attempt | undefined> {
		if (this.running === undefined)
			throw new TypeError('retrying: the body of the loop must call attempt(work) in each turn, or leave the loop')
		// Without an await in the body nobody has seen this promise, so its error comes out here.
		if (!this.isSettled) await this.running
		return this.next
	}
}

async function refuseSecondCall(): Promise<never> {
	throw new TypeError('retrying: attempt(work) may be called once a turn; the next turn is the next attempt')
}
