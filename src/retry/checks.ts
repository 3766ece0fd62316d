/** Does an option hold to its rule? The rules, and the errors that name option, rule and value. */

/** A rule for one option. A value of the wrong type is a TypeError, one of the right type a RangeError. */
export interface Rule {
	/** Completes "… must be". */
	readonly must: string
	readonly isType: (value: unknown) => boolean
	readonly holds?: (value: never) => boolean
}

const isNumber = (value: unknown) => typeof value === 'number'
const isObject = (value: unknown): value is object => typeof value === 'object' && value !== null

/** A wait: 0 or more, and finite, because an endless wait is no wait. */
export const delayRule: Rule = {
	must: 'a non-negative number of milliseconds',
	isType: isNumber,
	holds: (value: number) => value >= 0 && value < Infinity,
}
/** A limit on time. Infinity means none. */
export const deadlineRule: Rule = { must: 'a positive number of milliseconds', isType: isNumber, holds: (value: number) => value > 0 }
/** A step between waits, which may go down. */
export const stepRule: Rule = { must: 'a finite number of milliseconds', isType: isNumber, holds: Number.isFinite }
/** The base of a power. */
export const baseRule: Rule = { must: 'a positive number', isType: isNumber, holds: (value: number) => value > 0 && value < Infinity }
/** How often. */
export const countRule: Rule = {
	must: 'a whole number of at least 1',
	isType: isNumber,
	holds: (value: number) => Number.isSafeInteger(value) && value >= 1,
}
export const functionRule: Rule = { must: 'a function', isType: (value) => typeof value === 'function' }
export const flagRule: Rule = { must: 'true or false', isType: (value) => typeof value === 'boolean' }
export const textRule: Rule = { must: 'a string', isType: (value) => typeof value === 'string' }
// By shape and not by class, so that a signal of another realm or of a polyfill is one as well.
export const signalRule: Rule = {
	must: 'an AbortSignal',
	isType: (value) =>
		isObject(value) &&
		typeof Reflect.get(value, 'aborted') === 'boolean' &&
		typeof Reflect.get(value, 'addEventListener') === 'function' &&
		typeof Reflect.get(value, 'removeEventListener') === 'function',
}
export const clockRule: Rule = {
	must: 'a Clock (now, setTimer, clearTimer and random)',
	isType: (value) =>
		isObject(value) && ['now', 'setTimer', 'clearTimer', 'random'].every((name) => typeof Reflect.get(value, name) === 'function'),
}

/** A value as an error text shows it: never the inside of an object, never more than a line. */
export function show(value: unknown): string {
	if (typeof value === 'string') return JSON.stringify(value.length > 40 ? `${value.slice(0, 40)}…` : value)
	if (typeof value === 'function') return value.name === '' ? 'a function' : `the function ${value.name}`
	if (Array.isArray(value)) return 'an array'
	if (isObject(value)) return isThenable(value) ? 'a promise' : 'an object'
	return typeof value === 'bigint' ? `${value}n` : String(value)
}

export function isThenable(value: unknown): value is PromiseLike<unknown> {
	return isObject(value) && typeof Reflect.get(value, 'then') === 'function'
}

/** Throws unless `value` holds to `rule`. */
export function check(name: string, rule: Rule, value: unknown): void {
	const isType = rule.isType(value)
	if (isType && (rule.holds === undefined || rule.holds(value as never))) return
	const text = `${name} must be ${rule.must}, got ${show(value)}`
	throw isType ? new RangeError(text) : new TypeError(text)
}

/** Throws unless `options` is an object with none but the `known` names, each given value holding to its rule. `hints` says what a foreign name is called here. */
export function checkOptions(
	owner: string,
	options: unknown,
	known: Readonly<Record<string, Rule>>,
	hints: Readonly<Record<string, string>> = {},
): void {
	if (!isObject(options) || Array.isArray(options)) throw new TypeError(`${owner}: options must be an object, got ${show(options)}`)
	for (const [name, value] of Object.entries(options)) {
		const rule = Object.hasOwn(known, name) ? known[name] : undefined
		if (rule === undefined) {
			const hint = Object.hasOwn(hints, name) ? `use ${hints[name]}; ` : ''
			throw new TypeError(`${owner}: unknown option ${show(name)}: ${hint}known are ${Object.keys(known).join(', ')}`)
		}
		if (value !== undefined) check(name, rule, value)
	}
}
