/** Are a user's rows fit for use? Checked once, where the options are read, so that a slip fails at the start and not in an outage. */
import type { FaultKind, FaultScope, Outcome, Phase } from '../fault.ts'
import { buildTable, type ClassificationRow } from './table.ts'

// Records, not lists: the compiler notices when the vocabulary grows and this does not.
const kinds: Readonly<Record<FaultKind, true>> = {
	connection_refused: true,
	connection_lost: true,
	connect_timeout: true,
	starting_up: true,
	shutting_down: true,
	too_many_connections: true,
	dns: true,
	pool_timeout: true,
	attempt_timeout: true,
	serialization_failure: true,
	deadlock: true,
	lock_timeout: true,
	read_only: true,
	statement_timeout: true,
	resource_exhausted: true,
	stale_plan: true,
	session_timeout: true,
	permanent: true,
}
const scopes: Readonly<Record<FaultScope, true>> = { endpoint: true, connection: true, transaction: true, statement: true }
const outcomes: Readonly<Record<Outcome, true>> = { not_sent: true, rolled_back: true, unknown: true }
const phases: Readonly<Record<Phase, true>> = { connect: true, statement: true, commit: true }
const fields = [
	'code',
	'prefix',
	'message',
	'also',
	'routine',
	'says',
	'phase',
	'kind',
	'scope',
	'outcome',
	'commit',
	'retryable',
	'reason',
	'source',
]

/**
 * Checks rows of a user. Throws a TypeError that names the row, the rule and the value; returns the rows otherwise.
 *
 * A row may narrow (`retryable: false`) or extend. It cannot make work of an unknown outcome rerun: that takes `idempotent: true`.
 */
export function checkRows(rows: unknown, option = 'classify'): readonly ClassificationRow[] {
	if (!Array.isArray(rows)) throw new TypeError(`${option} must be a list of classification rows, got ${show(rows)}`)
	for (const [index, row] of rows.entries()) checkRow(row, `${option}[${index}]`)
	try {
		buildTable(rows as ClassificationRow[])
	} catch (cause) {
		throw new TypeError(`${option} must not say two things of one error: ${(cause as Error).message}`, { cause })
	}
	return rows as ClassificationRow[]
}

function checkRow(row: unknown, name: string): void {
	if (typeof row !== 'object' || row === null) throw new TypeError(`${name} must be a classification row, got ${show(row)}`)
	const given = row as Readonly<Record<string, unknown>>
	for (const field of Object.keys(given)) {
		if (!fields.includes(field)) throw new TypeError(`${name}.${field} is not known; a row has ${fields.join(', ')}`)
	}
	const keys = ['code', 'prefix', 'message'].filter((key) => given[key] !== undefined)
	if (keys.length !== 1)
		throw new TypeError(`${name} must have exactly one of code, prefix and message, got ${keys.join(' and ') || 'none'}`)
	const pattern = given.message instanceof RegExp
	if (!pattern) text(given, keys[0]!, name)
	if (pattern && /[gy]/.test((given.message as RegExp).flags)) {
		throw new TypeError(`${name}.message must be a pattern without the flags g and y, got ${String(given.message)}`)
	}
	for (const field of ['reason', 'source']) text(given, field, name)
	for (const field of ['routine', 'says']) if (given[field] !== undefined) text(given, field, name)
	const also = given.also
	if (
		also !== undefined &&
		!(Array.isArray(also) && given.code !== undefined && also.every((each) => typeof each === 'string' && each !== ''))
	) {
		throw new TypeError(`${name}.also must be a list of further codes beside code, got ${show(also)}`)
	}
	oneOf(given, 'kind', kinds, name)
	oneOf(given, 'scope', scopes, name)
	oneOf(given, 'outcome', outcomes, name)
	if (given.commit !== undefined) oneOf(given, 'commit', outcomes, name)
	if (given.phase !== undefined) oneOf(given, 'phase', phases, name)
	const { retryable, kind } = given
	if (typeof retryable !== 'boolean') throw new TypeError(`${name}.retryable must be true or false, got ${show(retryable)}`)
	if (retryable && kind === 'permanent') throw new TypeError(`${name}.retryable must be false where kind is permanent, got true`)
}

function text(row: Readonly<Record<string, unknown>>, field: string, name: string): void {
	const value = row[field]
	if (typeof value !== 'string' || value === '')
		throw new TypeError(`${name}.${field} must be a text that is not empty, got ${show(value)}`)
}

function oneOf(row: Readonly<Record<string, unknown>>, field: string, allowed: object, name: string): void {
	const value = row[field]
	if (typeof value !== 'string' || !Object.hasOwn(allowed, value)) {
		throw new TypeError(`${name}.${field} must be one of ${Object.keys(allowed).join(', ')}, got ${show(value)}`)
	}
}

function show(value: unknown): string {
	return typeof value === 'string'
		? JSON.stringify(value)
		: Array.isArray(value)
			? 'a list'
			: typeof value === 'object' && value
				? 'an object'
				: String(value)
}
