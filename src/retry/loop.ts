/** What happens between two attempts? Tenacity's order: before, call, when, after, wait, stop, then either the end or beforeSleep and the wait. */
import { sleep } from '../clock.ts'
import { askWait, askYesNo } from './ask.ts'
import type { Attempt } from './attempt.ts'
import type { AttemptContext, Course } from './course.ts'
import { defaultWhen, type Policy } from './policy.ts'
import { spend } from './spent.ts'
import { TryAgain } from './try-again.ts'

/** The loop gave up and `onError` gave this in place of a result. */
export interface Substitute<E> {
	readonly value: E
}

/** Calls `work` until `when` is content with how an attempt ended, or the loop gives up. */
export async function run<T, E>(policy: Policy<E>, course: Course, work: (context: AttemptContext) => T | PromiseLike<T>): Promise<T | E> {
	for (;;) {
		refuseAborted(policy)
		const context = course.begin()
		if (policy.before !== undefined) await runBefore(policy, course, context)
		let ended: Attempt
		try {
			const result = await work(context)
			ended = course.ended(false, undefined, result)
		} catch (error) {
			ended = course.ended(true, error, undefined)
		}
		if (!isWanted(policy, course, ended)) {
			if (ended.failed) throw ended.error
			return ended.result as T
		}
		const next = await decide(policy, course, ended)
		if ('value' in next) return next.value
		const late = await pause(policy, course, next)
		if (late !== undefined) return late.value
	}
}

export function refuseAborted(policy: Policy<unknown>): void {
	if (policy.signal?.aborted) throw policy.signal.reason
}

export async function runBefore(policy: Policy<unknown>, course: Course, context: AttemptContext): Promise<void> {
	await policy.before?.(course.opening(context))
	refuseAborted(policy)
}

/** Whether the attempt is to be tried again. Only this is asked when all goes well. */
export function isWanted(policy: Policy<unknown>, course: Course, ended: Attempt): boolean {
	if (ended.failed && TryAgain.is(ended.error)) return true
	// A rule of the user's own says it explicitly.
	if (policy.when === defaultWhen && course.wasSpent(ended.error)) return false
	return askYesNo(policy.when, ended, 'when')
}

/** Gives up (throws, or answers with `onError`'s value), or answers with the record that knows the upcoming wait. */
export async function decide<E>(policy: Policy<E>, course: Course, ended: Attempt): Promise<Attempt | Substitute<E>> {
	if (policy.after !== undefined) await policy.after(ended)
	refuseAborted(policy)
	const next: Attempt = { ...ended, upcomingWaitMs: askWait(policy.wait, ended, 'wait') }
	if (askYesNo(policy.stop, next, 'stop')) return giveUp(policy, course, next, 'stop said so')
	if (isTooLong(policy, course, next)) return giveUp(policy, course, next, deadlineText(policy, next))
	return next
}

/** The wait between two attempts. Answers only when it could not end before the deadline and `onError` gave a value. */
export async function pause<E>(policy: Policy<E>, course: Course, next: Attempt): Promise<Substitute<E> | undefined> {
	if (policy.beforeSleep !== undefined) {
		await policy.beforeSleep(next)
		// The hook may have taken its time.
		if (isTooLong(policy, course, next)) return giveUp(policy, course, next, deadlineText(policy, next))
	}
	refuseAborted(policy)
	// A wait of 0 goes through the timer as well: a loop of failing microtasks would starve the process, and no abort could be seen.
	if (policy.sleep !== undefined) await policy.sleep(next.upcomingWaitMs, policy.signal)
	else await sleep(policy.clock, next.upcomingWaitMs, policy.signal)
	course.idleForMs += next.upcomingWaitMs
	// Timers fire late, and after the deadline no further attempt starts.
	if (course.sinceStartMs() >= policy.deadlineMs) return giveUp(policy, course, next, deadlineText(policy, next))
	return undefined
}

function isTooLong(policy: Policy<unknown>, course: Course, next: Attempt): boolean {
	return policy.deadlineMs !== Infinity && course.sinceStartMs() + next.upcomingWaitMs >= policy.deadlineMs
}

const deadlineText = (policy: Policy<unknown>, next: Attempt) =>
	`a wait of ${Math.round(next.upcomingWaitMs)} ms could not end before deadlineMs (${policy.deadlineMs})`

async function giveUp<E>(policy: Policy<E>, course: Course, last: Attempt, why: string): Promise<Substitute<E>> {
	if (policy.onError !== undefined) return { value: await policy.onError(last) }
	if (last.failed) spend(last.error)
	if (policy.reraise && last.failed) throw last.error
	const who = course.name === undefined ? '' : `${course.name}: `
	const times = last.number === 1 ? '1 attempt' : `${last.number} attempts`
	// The native message stays out: it may hold what must not be logged. It is in `cause`.
	const what = last.failed ? 'its error is the cause' : 'its result was not accepted and is in lastAttempt.result'
	const { number, failed, error, result } = last
	// Without the arguments of the call: errors are printed, and arguments hold secrets.
	const gaveUp = new policy.retryErrorClass(
		{ number, failed, error, result },
		`${who}gave up after ${times} in ${Math.round(course.sinceStartMs())} ms, since ${why}; of the last attempt ${what}`,
	)
	spend(gaveUp)
	throw gaveUp
}
