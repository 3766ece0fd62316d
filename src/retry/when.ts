/** Whether an attempt that ended like this is to be tried again. Pure rules over its error or its result. */
import { fn, show } from '../options.ts'
import type { Attempt, When } from './attempt.ts'
import { check } from './checks.ts'
import { allOf, anyOf, type Condition, condition } from './compose.ts'
import { type ErrorTest, errorTest, predicate } from './error-test.ts'

const constant = (answer: boolean): Condition & (() => Condition) => {
	const rule = condition(((attempt?: Attempt) => (attempt === undefined ? rule : answer)) as () => boolean) as Condition & (() => Condition)
	return rule
}

/** Tries again whatever happened, success included. `when.always` and `when.always()` are the same rule. Tenacity: `retry_always`. */
export const always: Condition & (() => Condition) = constant(true)

/** Never tries again, unless `TryAgain` is thrown. `when.never` and `when.never()` are the same rule. Tenacity: `retry_never`. */
export const never: Condition & (() => Condition) = constant(false)

const anything = () => true

/**
 * Tries again when the attempt threw what `test` describes: a class, a list of classes, or a function of the error. Without `test`: whatever was thrown.
 * Tenacity: `retry_if_exception`, `retry_if_exception_type`.
 */
export function error<E = unknown>(test?: ErrorTest<E>): Condition {
	const matches = test === undefined ? anything : errorTest('when.error', test)
	return condition((attempt) => attempt.failed && matches(attempt.error))
}

/** Tries again when the attempt threw anything but what `test` describes; a success is a success. Tenacity: `retry_if_not_exception_type`. */
export function notError<E = unknown>(test: ErrorTest<E>): Condition {
	const matches = errorTest('when.notError', test)
	return condition((attempt) => attempt.failed && !matches(attempt.error))
}

/**
 * Tries again, after a success too, until the attempt throws what `test` describes; without `test`: until it throws.
 * For work that is to go on until it breaks. Tenacity: `retry_unless_exception_type`.
 */
export function unlessError<E = unknown>(test?: ErrorTest<E>): Condition {
	const matches = test === undefined ? anything : errorTest('when.unlessError', test)
	return condition((attempt) => !attempt.failed || !matches(attempt.error))
}

/** Tries again when one of the error's `cause`s, at any depth, is what `test` describes; the error itself does not count. Tenacity: `retry_if_exception_cause_type`. */
export function causedBy<E = unknown>(test: ErrorTest<E>): Condition {
	const matches = errorTest('when.causedBy', test)
	return condition((attempt) => attempt.failed && causes(attempt.error).some(matches))
}

function causes(error: unknown): unknown[] {
	// A set, because a chain of causes may run in a circle.
	const found = new Set<unknown>()
	let each = error
	while (typeof each === 'object' && each !== null && 'cause' in each && each.cause !== undefined && !found.has(each.cause)) {
		each = each.cause
		found.add(each)
	}
	return [...found]
}

/** Tries again when the error's message equals the string or matches the expression (anywhere in it). Tenacity: `retry_if_exception_message`. */
export function message(text: string | RegExp): Condition {
	const matches = messageTest('when.message', text)
	return condition((attempt) => attempt.failed && matches(attempt.error))
}

/** Tries again when the attempt threw and the message is another one; a success is a success. `unlessMessage` is the one that goes on after a success. */
export function notMessage(text: string | RegExp): Condition {
	const matches = messageTest('when.notMessage', text)
	return condition((attempt) => attempt.failed && !matches(attempt.error))
}

/** Tries again, after a success too, until the attempt throws with this message. Tenacity: `retry_if_not_exception_message`. */
export function unlessMessage(text: string | RegExp): Condition {
	const matches = messageTest('when.unlessMessage', text)
	return condition((attempt) => !attempt.failed || !matches(attempt.error))
}

function messageTest(name: string, text: unknown): (error: unknown) => boolean {
	if (typeof text !== 'string' && !(text instanceof RegExp))
		throw new TypeError(`${name} must be given a string or a regular expression, got ${show(text)}`)
	// A copy, because expressions with the flags g and y keep their place from one test to the next.
	const expression = typeof text === 'string' ? undefined : new RegExp(text)
	return (error) => {
		const found = typeof error === 'object' && error !== null && 'message' in error ? String(error.message) : String(error)
		if (expression === undefined) return found === text
		expression.lastIndex = 0
		return expression.test(found)
	}
}

/** Tries again when the attempt returned something that `test` says yes to. Tenacity: `retry_if_result`. */
export function result<R = unknown>(test: (result: R) => boolean): Condition {
	check('when.result: test', fn, test)
	const matches = predicate('when.result', test as (result: unknown) => boolean)
	return condition((attempt) => !attempt.failed && matches(attempt.result))
}

/** Tries again when the attempt returned something that `test` says no to. Tenacity: `retry_if_not_result`. */
export function notResult<R = unknown>(test: (result: R) => boolean): Condition {
	check('when.notResult: test', fn, test)
	const matches = predicate('when.notResult', test as (result: unknown) => boolean)
	return condition((attempt) => !attempt.failed && !matches(attempt.result))
}

/** Tries again when one of `rules` says so. Plain functions are rules as well. Tenacity: `retry_any`, `|`. */
export function any(...rules: readonly When[]): Condition {
	return anyOf('when.any', rules)
}

/** Tries again when each of `rules` says so. Plain functions are rules as well. Tenacity: `retry_all`, `&`. */
export function all(...rules: readonly When[]): Condition {
	return allOf('when.all', rules)
}
