/** How do rules join? `any`, `all` and sums, and the methods that write them as a sentence. */
import { fn } from '../options.ts'
import { askWait, askYesNo } from './ask.ts'
import type { Attempt, Stop, Wait, When } from './attempt.ts'
import { check } from './checks.ts'

/** A stop rule or a condition that can be joined with others. It is a plain function of the attempt all the same. */
export interface Condition {
	(attempt: Attempt): boolean
	/** True when this one or one of `others` is. */
	or(...others: readonly (Stop | When)[]): Condition
	/** True when this one and each of `others` is. */
	and(...others: readonly (Stop | When)[]): Condition
}

/** A wait rule that can be added to others. It is a plain function of the attempt all the same. */
export interface Delay {
	(attempt: Attempt): number
	/** The sum of this wait and `others`. */
	plus(...others: readonly Wait[]): Delay
}

const conditionMethods = {
	or(this: Condition, ...others: readonly (Stop | When)[]): Condition {
		return anyOf('or', [this, ...others])
	},
	and(this: Condition, ...others: readonly (Stop | When)[]): Condition {
		return allOf('and', [this, ...others])
	},
}

const delayMethods = {
	plus(this: Delay, ...others: readonly Wait[]): Delay {
		return sumOf('plus', [this, ...others])
	},
}

/** Gives a function of our own the joining methods. */
export function condition(rule: (attempt: Attempt) => boolean): Condition {
	return Object.freeze(Object.assign(rule, conditionMethods))
}

/** Gives a function of our own the joining methods. */
export function delay(rule: (attempt: Attempt) => number): Delay {
	return Object.freeze(Object.assign(rule, delayMethods))
}

/** Throws unless there is at least one rule and each is a function: "all of nothing" would be true at once. */
export function checkRules(name: string, rules: readonly unknown[]): void {
	if (rules.length === 0) throw new TypeError(`${name} must be given at least one rule, got none`)
	rules.forEach((rule, index) => {
		check(`${name}: rule ${index + 1}`, fn, rule)
	})
}

export function anyOf(name: string, rules: readonly (Stop | When)[]): Condition {
	checkRules(name, rules)
	return condition((attempt) => rules.some((rule) => askYesNo(rule, attempt, name)))
}

export function allOf(name: string, rules: readonly (Stop | When)[]): Condition {
	checkRules(name, rules)
	return condition((attempt) => rules.every((rule) => askYesNo(rule, attempt, name)))
}

export function sumOf(name: string, rules: readonly Wait[]): Delay {
	checkRules(name, rules)
	return delay((attempt) => {
		let sumMs = 0
		for (const rule of rules) sumMs += askWait(rule, attempt, name)
		return sumMs
	})
}
