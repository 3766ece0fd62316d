/** What does a rule answer, and is the answer one? Keeps a promise or NaN from becoming a decision. */
import type { Attempt, Stop, Wait, When } from './attempt.ts'
import { check, delayRule, isThenable } from './checks.ts'

/** Asks a stop rule or a condition. A promise is refused: it would count as `true` whatever it resolves to. */
export function askYesNo(rule: Stop | When, attempt: Attempt, name: string): boolean {
	const answer: unknown = rule(attempt)
	if (typeof answer === 'boolean') return answer
	if (isThenable(answer)) {
		// Nobody will look at this promise, so its rejection must not end the process.
		answer.then(undefined, () => {})
		throw new TypeError(`${name} must answer true or false at once, got a promise`, { cause: attempt.error })
	}
	return Boolean(answer)
}

/** Asks a wait rule. The answer is a finite number of milliseconds, 0 or more; anything else throws. */
export function askWait(rule: Wait, attempt: Attempt, name: string): number {
	const answer: unknown = rule(attempt)
	check(`the answer of ${name}`, delayRule, answer, attempt.error)
	return answer as number
}
