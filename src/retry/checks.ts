/** Do the arguments of retry rules hold? The rules beyond those of `src/options.ts`, and checks of single values. */
import { checkOptions, type OptionRule, type OptionRules, show } from '../options.ts'

/** A wait: 0 or more, and finite, because an endless wait is no wait. */
export const delayRule: OptionRule = {
	rule: 'a non-negative number of milliseconds',
	accepts: (value) => typeof value === 'number' && value >= 0 && value < Infinity,
	range: true,
}
/** A step between waits, which may go down. */
export const stepRule: OptionRule = { rule: 'a finite number of milliseconds', accepts: Number.isFinite, range: true }
/** The base of a power. */
export const baseRule: OptionRule = {
	rule: 'a positive number',
	accepts: (value) => typeof value === 'number' && value > 0 && value < Infinity,
	range: true,
}
/** How often. */
export const countRule: OptionRule = {
	rule: 'a whole number of at least 1',
	accepts: (value) => Number.isSafeInteger(value) && (value as number) >= 1,
	range: true,
}
const clockMethods = ['now', 'setTimer', 'clearTimer', 'random']
export const clockRule: OptionRule = {
	rule: `a Clock (${clockMethods.join(', ')})`,
	accepts: (value) =>
		typeof value === 'object' && value !== null && clockMethods.every((name) => typeof Reflect.get(value, name) === 'function'),
}
/** An error class, by shape: something that `new` takes. */
export const classRule: OptionRule = {
	rule: 'a class',
	accepts: (value) => typeof value === 'function' && typeof value.prototype === 'object',
}

/** Throws unless `value` holds to the rule. `cause` is the error that was being dealt with, which must not be lost. */
export function check(name: string, { rule, accepts, range }: OptionRule, value: unknown, cause?: unknown): void {
	if (accepts(value)) return
	const Kind = range === true && typeof value === 'number' ? RangeError : TypeError
	throw new Kind(`${name} must be ${rule}, got ${show(value)}`, cause === undefined ? undefined : { cause })
}

/** `checkOptions`, with an answer for names that other libraries use: `foreign` says what each is called here. */
export function checkPolicy<T extends object>(
	where: string,
	options: unknown,
	rules: OptionRules<T>,
	foreign: Readonly<Record<string, string>>,
): asserts options is T {
	for (const name in options as object) {
		if (Object.hasOwn(rules, name) || !Object.hasOwn(foreign, name)) continue
		throw new TypeError(`${where}: unknown option ${name}: use ${foreign[name]}; known are ${Object.keys(rules).join(', ')}`)
	}
	checkOptions(where, options, rules)
}

export function isThenable(value: unknown): value is PromiseLike<unknown> {
	return typeof value === 'object' && value !== null && typeof Reflect.get(value, 'then') === 'function'
}
