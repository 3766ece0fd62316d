/** Which row of knowledge fits an error? The row type, and the look-up: exact code, then longest prefix, then client message. */
import type { FaultKind, FaultScope, Outcome, Phase } from '../fault.ts'

/** What a row says of the errors that it fits. */
export interface Verdict {
	readonly kind: FaultKind
	readonly scope: FaultScope
	/** What the error proves of a statement that it answered. While connecting it is always `not_sent`. */
	readonly outcome: Outcome
	/** What the error proves when it answers a COMMIT. Default: `not_sent` stays, everything else is `unknown` unless the server answered with an ERROR. */
	readonly commit?: Outcome
	/** Whether the fault passes by itself. */
	readonly retryable: boolean
}

/** What a row is found by: exactly one of the three. */
export type RowKey =
	| { readonly code: string; readonly prefix?: never; readonly message?: never }
	| { readonly prefix: string; readonly code?: never; readonly message?: never }
	| { readonly message: string | RegExp; readonly code?: never; readonly prefix?: never }

/** One piece of knowledge, with its reason and its source. The order of rows never matters: the most specific row wins. */
export type ClassificationRow = RowKey &
	Verdict & {
		/** Other codes for the same thing: MySQL errors carry a number and a name. */
		readonly also?: readonly string[]
		/** Only for errors raised in this function of PostgreSQL, which it names untranslated in the field `routine`. */
		readonly routine?: string
		/** Only for errors whose text contains this. */
		readonly says?: string
		/** Only in this phase. */
		readonly phase?: Phase
		/** Why, in a sentence for people. */
		readonly reason: string
		/** Where this is known from. */
		readonly source: string
	}

/** What an error shows of itself. */
export interface Signs {
	/** Its codes, the most telling one first. */
	readonly codes: readonly string[]
	readonly message: string
	readonly routine: string | undefined
}

/** Rows, indexed. */
export interface Table {
	readonly exact: ReadonlyMap<string, readonly ClassificationRow[]>
	readonly prefixes: ReadonlyMap<string, readonly ClassificationRow[]>
	readonly messages: ReadonlyMap<string, readonly ClassificationRow[]>
	readonly patterns: readonly ClassificationRow[]
}

/** What makes a row unlike any other: two rows with the same identity contradict or repeat each other. */
export function rowIdentity(row: ClassificationRow): string {
	return [rowKey(row), row.says ?? '', row.routine ?? '', row.phase ?? ''].join(' | ')
}

/** The key of a row as people read it. */
export function rowKey(row: ClassificationRow): string {
	if (row.code !== undefined) return row.code
	if (row.prefix !== undefined) return `${row.prefix}…`
	return String(row.message)
}

/** Indexes rows. Throws an Error that names two rows of the same identity. */
export function buildTable(rows: readonly ClassificationRow[]): Table {
	const exact = new Map<string, ClassificationRow[]>()
	const prefixes = new Map<string, ClassificationRow[]>()
	const messages = new Map<string, ClassificationRow[]>()
	const patterns: ClassificationRow[] = []
	const seen = new Set<string>()
	for (const row of rows) {
		for (const identity of [rowIdentity(row), ...(row.also ?? []).map((code) => rowIdentity({ ...row, code } as ClassificationRow))]) {
			if (seen.has(identity)) throw new Error(`two classification rows for ${identity}`)
			seen.add(identity)
		}
		if (row.code !== undefined) for (const code of [row.code, ...(row.also ?? [])]) add(exact, code, row)
		else if (row.prefix !== undefined) add(prefixes, row.prefix, row)
		else if (typeof row.message === 'string') add(messages, row.message, row)
		else patterns.push(row)
	}
	for (const index of [exact, prefixes, messages]) for (const list of index.values()) list.sort(moreSpecificFirst)
	patterns.sort((a, b) => String(b.message).length - String(a.message).length || (rowIdentity(a) < rowIdentity(b) ? -1 : 1))
	return { exact, prefixes, messages, patterns }
}

/** The row for an error, or undefined. */
export function lookup(table: Table, signs: Signs, phase: Phase): ClassificationRow | undefined {
	for (const code of signs.codes) {
		const row = table.exact.get(code)?.find((candidate) => fits(candidate, signs, phase))
		if (row) return row
	}
	for (const code of signs.codes) {
		for (let length = code.length; length > 0; length--) {
			const row = table.prefixes.get(code.slice(0, length))?.find((candidate) => fits(candidate, signs, phase))
			if (row) return row
		}
	}
	return lookupMessage(table, signs, phase)
}

function lookupMessage(table: Table, signs: Signs, phase: Phase): ClassificationRow | undefined {
	const { message } = signs
	if (message === '') return undefined
	const row = table.messages.get(message)?.find((candidate) => fits(candidate, signs, phase))
	return row ?? table.patterns.find((pattern) => (pattern.message as RegExp).test(message) && fits(pattern, signs, phase))
}

function fits(row: ClassificationRow, signs: Signs, phase: Phase): boolean {
	if (row.phase !== undefined && row.phase !== phase) return false
	if (row.routine !== undefined && row.routine !== signs.routine) return false
	return row.says === undefined || signs.message.includes(row.says)
}

function moreSpecificFirst(a: ClassificationRow, b: ClassificationRow): number {
	return (
		(b.says?.length ?? 0) - (a.says?.length ?? 0) ||
		Number(b.routine !== undefined) - Number(a.routine !== undefined) ||
		Number(b.phase !== undefined) - Number(a.phase !== undefined) ||
		(rowIdentity(a) < rowIdentity(b) ? -1 : 1)
	)
}

function add(index: Map<string, ClassificationRow[]>, key: string, row: ClassificationRow): void {
	const list = index.get(key)
	if (list) list.push(row)
	else index.set(key, [row])
}
