/** Is this the error that was meant? Tests given as classes, as lists of classes or as predicates. */
import { show } from '../options.ts'
import { isThenable } from './checks.ts'

/** A class of thrown values, abstract ones included. */
export type ErrorClass = abstract new (...args: never[]) => object
/** A class, a list of classes, or a function of the error. */
export type ErrorTest<E = unknown> = ErrorClass | readonly ErrorClass[] | ((error: E) => boolean)

/**
 * Tells a class from a predicate. Class syntax and built-in classes have a `prototype` that cannot be written; a function that was made a class by hand (or by
 * a compiler for ES5) is known by its descent from Error. Arrow functions, methods and async functions have no `prototype`, plain functions a writable one.
 */
function isClass(test: (...args: never[]) => unknown): boolean {
	const prototype = Object.getOwnPropertyDescriptor(test, 'prototype')
	if (typeof prototype?.value !== 'object' || prototype.value === null) return false
	return prototype.writable === false || prototype.value instanceof Error
}

/** The test as one function. `name` stands in the error for anything else. */
export function errorTest(name: string, test: unknown): (error: unknown) => boolean {
	if (Array.isArray(test)) {
		if (test.length === 0 || !test.every((each) => typeof each === 'function' && isClass(each)))
			throw new TypeError(`${name}: a list must be of classes, at least one`)
		const classes: readonly ErrorClass[] = [...test]
		return (error) => classes.some((each) => error instanceof each)
	}
	if (typeof test !== 'function')
		throw new TypeError(`${name} must be given an error class, a list of them or a function, got ${show(test)}`)
	if (isClass(test as () => unknown)) return (error) => error instanceof test
	return predicate(name, test as (error: unknown) => unknown)
}

/** A user's function as a test: its answer is taken as true or false, and a promise is refused since it would always be true. */
export function predicate(name: string, test: (value: unknown) => unknown): (value: unknown) => boolean {
	return (value) => {
		const answer = test(value)
		if (!isThenable(answer)) return Boolean(answer)
		answer.then(undefined, () => {})
		throw new TypeError(`${name} must answer true or false at once, got a promise`, { cause: value })
	}
}
