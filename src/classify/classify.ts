/** What happened, who is hit, and what is known of the work? Turns any thrown value into a fault. */
import type { Fault, Outcome, Phase } from '../fault.ts'
import { readList } from './read.ts'
import type { Signed } from './signs.ts'
import { signsOf } from './signs.ts'
import { type ClassificationRow, lookup } from './table.ts'
import { builtIn, tableOfUser } from './tables.ts'
import { wrappedBy } from './unwrap.ts'

export { checkRows } from './check-rows.ts'

/** What `classify` may be told. */
export interface ClassifyOptions {
	/** What was going on when the error came. Default `'statement'`. Errors of `connect` and name look-ups count as `'connect'` in any case. */
	phase?: Phase
	/** Rows of the user: at the same key they go before the built-in ones. */
	rows?: readonly ClassificationRow[]
}

// Errors wrap each other a few levels deep, and an AggregateError holds one error an address. Beyond that it is a cycle or an attack.
const mostDepth = 10
const mostErrors = 64

interface Search {
	readonly phase: Phase
	readonly rows: readonly ClassificationRow[] | undefined
	/** What was found already; undefined too while it is being looked at, so that a cycle ends. */
	readonly seen: Map<unknown, Fault | undefined>
}

/**
 * Says of an error what kind it is, whom it hits, what it proves of the work, and whether it passes by itself.
 *
 * Looks at the error, at what it wraps (`cause`, `errors`, and what ORMs keep of the driver's error) and decides by tables of rows, each with
 * its reason and source. What no row knows is `permanent`. Never throws, whatever it is given.
 */
export function classify(error: unknown, options: ClassifyOptions = {}): Fault {
	const search: Search = { phase: options.phase ?? 'statement', rows: options.rows, seen: new Map() }
	return find(error, search, 0) ?? unknownFault(signsOf(error), search.phase)
}

/** The fault of the first error in the chain that says something; undefined where none does. */
function find(error: unknown, search: Search, depth: number): Fault | undefined {
	if ((typeof error !== 'object' && typeof error !== 'function') || error === null) return undefined
	if (search.seen.has(error)) return search.seen.get(error)
	if (depth > mostDepth || search.seen.size >= mostErrors) return undefined
	search.seen.set(error, undefined)
	const fault = look(error, search, depth)
	search.seen.set(error, fault)
	return fault
}

function look(error: object, search: Search, depth: number): Fault | undefined {
	const signs = signsOf(error)
	const several = readList(error, 'errors', mostErrors)
	// An AggregateError repeats the code of one of its errors and drops the rest, such as whether it was about connecting.
	const combined = several.length > 0 ? combine(several, search, depth) : undefined
	if (combined) return combined
	const exact = own(signs, search, signs.message)
	if (exact) return exact
	// What a server states is the last word, whatever it was wrapped around later.
	if (signs.from !== 'unknown') return unknownFault(signs, search.phase)
	for (const inner of wrappedBy(error)) {
		const fault = find(inner, search, depth + 1)
		if (fault) return fault
	}
	return own({ ...signs, codes: [...signs.codes, ...signs.names] }, search, signs.bareMessage)
}

function own(signs: Signed, search: Search, message: string): Fault | undefined {
	const phase = signs.connecting ? 'connect' : search.phase
	const asked = { ...signs, message }
	const row = (search.rows && lookup(tableOfUser(search.rows), asked, phase)) ?? lookup(builtIn[signs.from], asked, phase)
	return row && faultOf(row, signs, phase)
}

/** Of several errors the least hopeful one counts: one that would not pass, then one in doubt. */
function combine(errors: readonly unknown[], search: Search, depth: number): Fault | undefined {
	const faults = errors.map((error) => find(error, search, depth + 1))
	if (faults.every((fault) => fault === undefined)) return undefined
	const known = faults.map((fault, index) => fault ?? unknownFault(signsOf(errors[index]), search.phase))
	return known.find((fault) => !fault.retryable) ?? known.find((fault) => fault.outcome === 'unknown') ?? known[0]
}

function faultOf(row: ClassificationRow, signs: Signed, phase: Phase): Fault {
	const { kind, retryable, reason } = row
	return {
		kind,
		scope: scopeOf(row, signs, phase),
		outcome: outcomeOf(row, signs, phase),
		retryable,
		code: signs.code ?? codeOf(row),
		reason,
	}
}

function scopeOf(row: ClassificationRow, signs: Signed, phase: Phase): Fault['scope'] {
	// A link that dies during the handshake says something of the server. One that dies later may be a single backend.
	if (phase === 'connect') return row.kind === 'connection_lost' || row.kind === 'shutting_down' ? 'endpoint' : row.scope
	// After FATAL the server closes the connection, whatever else the code means.
	if (signs.severity === 'FATAL' && (row.scope === 'statement' || row.scope === 'transaction')) return 'connection'
	if (isAboutSomethingElse(row, signs)) return 'statement'
	return row.scope
}

function outcomeOf(row: ClassificationRow, signs: Signed, phase: Phase): Outcome {
	if (phase === 'connect') return 'not_sent'
	if (phase === 'statement') {
		if (isAboutSomethingElse(row, signs)) return 'rolled_back'
		if (row.outcome === 'rolled_back' && signs.severity === 'FATAL' && row.scope !== 'connection') return 'unknown'
		return row.outcome
	}
	if (row.commit !== undefined) return row.commit
	if (row.outcome === 'not_sent' && !isAboutSomethingElse(row, signs)) return 'not_sent'
	// PostgreSQL answers COMMIT with ERROR only before the commit record is written; later errors are PANIC (xact.c).
	return row.outcome !== 'unknown' && signs.severity === 'ERROR' ? 'rolled_back' : 'unknown'
}

/**
 * A server that answers a statement with ERROR is up and keeps the connection. Rows of errors that keep us from connecting then speak of
 * another server (dblink, postgres_fdw) or of the statement's own subject (DROP DATABASE of a database that does not exist).
 */
function isAboutSomethingElse(row: ClassificationRow, signs: Signed): boolean {
	return signs.severity === 'ERROR' && row.outcome === 'not_sent'
}

/** What no row knows does not pass by itself. An error that a server stated means that the statement had no effect. */
function unknownFault(signs: Signed, phase: Phase): Fault {
	const connecting = signs.connecting || phase === 'connect'
	const stated = signs.severity === 'ERROR' || (signs.from === 'mysql' && phase === 'statement')
	return {
		kind: 'permanent',
		scope: signs.severity === 'FATAL' || connecting ? 'connection' : 'statement',
		outcome: connecting ? 'not_sent' : stated ? 'rolled_back' : 'unknown',
		retryable: false,
		code: signs.code,
		reason: stated ? 'the server refused the statement, and no row says that this passes' : 'no row knows this error',
	}
}

function codeOf(row: ClassificationRow): string | undefined {
	return row.also?.[0] ?? row.code
}
