/** Which options are there, of what type, and what may they be? Every knob once, with the rule that its value must keep. */

/** The rule of one option. `rule` ends the sentence "name must be …". */
export interface OptionRule {
	readonly rule: string
	accepts(value: unknown): boolean
	/** A number of the wrong size is a RangeError; anything else is a TypeError. Default: by the value's type. */
	readonly range?: boolean
}

export type OptionRules<T> = { readonly [K in keyof Required<T>]: OptionRule }

const isFiniteNumber = (value: unknown): value is number => typeof value === 'number' && Number.isFinite(value)

export const positiveMs: OptionRule = {
	rule: 'a positive number of milliseconds',
	accepts: (value) => isFiniteNumber(value) && value > 0,
	range: true,
}
export const positiveMsOrInfinity: OptionRule = {
	rule: 'a positive number of milliseconds (Infinity for none)',
	accepts: (value) => typeof value === 'number' && value > 0,
	range: true,
}
export const positiveMsOrFalse: OptionRule = {
	rule: 'a positive number of milliseconds (false for never)',
	accepts: (value) => value === false || (isFiniteNumber(value) && value > 0),
	range: true,
}
export const wholeNumber: OptionRule = {
	rule: 'a whole number of 0 or more (Infinity for no limit)',
	accepts: (value) => typeof value === 'number' && value >= 0 && (Number.isInteger(value) || value === Number.POSITIVE_INFINITY),
	range: true,
}
export const bool: OptionRule = { rule: 'true or false', accepts: (value) => typeof value === 'boolean' }
export const text: OptionRule = { rule: 'a string that is not empty', accepts: (value) => typeof value === 'string' && value !== '' }
export const fn: OptionRule = { rule: 'a function', accepts: (value) => typeof value === 'function' }
export const abortSignal: OptionRule = {
	rule: 'an AbortSignal',
	accepts: (value) =>
		typeof value === 'object' && value !== null && 'aborted' in value && typeof (value as AbortSignal).addEventListener === 'function',
}
export const oneOf = (...values: readonly string[]): OptionRule => ({
	rule: `one of ${values.map((value) => `'${value}'`).join(', ')}`,
	accepts: (value) => typeof value === 'string' && values.includes(value),
})

/** Who goes first where callers wait for a connection. */
export type Priority = 'normal' | 'batch'

export const priorityRule = oneOf('normal', 'batch')

// A connection string in the wrong place: a URL, or key=value in the form of libpq.
const maybeSecret = /[:@=]/

/** A value as it may stand in an error: short, and never a connection string or the inside of an object, which may hold a password. */
export function show(value: unknown): string {
	if (typeof value === 'string' && maybeSecret.test(value)) return `a string of ${value.length} characters`
	if (typeof value === 'string') return JSON.stringify(value.length > 40 ? `${value.slice(0, 40)}…` : value)
	if (typeof value === 'function') return `the function ${value.name || '(anonymous)'}`
	if (Array.isArray(value)) return `an array of ${value.length}`
	if (typeof value === 'object' && value !== null) return `an object (${className(value)})`
	return String(value)
}

function className(value: object): string {
	try {
		const name: unknown = value.constructor?.name
		return typeof name === 'string' ? name : 'no prototype'
	} catch {
		return 'no prototype'
	}
}

/** Checks every given option and refuses unknown ones. `undefined` counts as not given. Throws TypeError or RangeError. */
export function checkOptions<T extends object>(where: string, options: unknown, rules: OptionRules<T>): asserts options is T {
	if (typeof options !== 'object' || options === null || Array.isArray(options)) {
		throw new TypeError(`${where}: options must be an object, got ${show(options)}`)
	}
	for (const [name, value] of Object.entries(options)) {
		if (!Object.hasOwn(rules, name)) {
			throw new TypeError(`${where}: unknown option ${name}; known are ${Object.keys(rules).join(', ')}`)
		}
		const { rule, accepts, range } = rules[name as keyof T] as OptionRule
		if (value === undefined || accepts(value)) continue
		const Kind = range === true && typeof value === 'number' ? RangeError : TypeError
		throw new Kind(`${name} must be ${rule}, got ${show(value)}`)
	}
}
