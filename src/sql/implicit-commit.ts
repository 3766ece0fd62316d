/** Which statements of MySQL and MariaDB commit the open transaction without being told to? */
import { scan, type Token } from './scan.ts'

/** One kind of statement, by its first words. */
export interface ImplicitCommit {
	readonly verb: string
	/** The words of which one follows the verb; every statement of that verb where there are none. */
	readonly only?: readonly string[]
	/** Words between the verb and the object that make it harmless. */
	readonly unless?: readonly string[]
	/** Whether it commits, or may: what it runs inside the server decides. */
	readonly certain: boolean
	readonly reason: string
	readonly source: string
}

const manual = 'MySQL manual, "Statements That Cause an Implicit Commit"'
const mariadb = 'MariaDB documentation, "SQL statements That Cause an Implicit Commit"'
const definition = 'changes definitions, which are not part of any transaction'
const accounts = 'changes the tables of accounts and rights'
const upkeep = 'looks after tables or the server, outside any transaction'
const replication = 'controls replication'
const inside = 'what it runs inside the server may commit'

const row = (verb: string, reason: string, source: string, more: Partial<ImplicitCommit> = {}): ImplicitCommit => ({
	verb,
	certain: true,
	reason,
	source,
	...more,
})

/** Rows by verb. */
export const implicitCommits: readonly ImplicitCommit[] = [
	row('ALTER', definition, manual),
	row('CREATE', definition, manual, { unless: ['TEMPORARY'] }),
	row('DROP', definition, manual, { unless: ['TEMPORARY', 'PREPARE'] }),
	row('RENAME', definition, manual),
	row('TRUNCATE', definition, manual),
	row('IMPORT', definition, manual),
	row('INSTALL', definition, manual),
	row('UNINSTALL', definition, manual),
	row('GRANT', accounts, manual),
	row('REVOKE', accounts, manual),
	row('SET', accounts, manual, { only: ['PASSWORD', 'DEFAULT'] }),
	row('ANALYZE', upkeep, manual, { only: ['TABLE', 'LOCAL', 'NO_WRITE_TO_BINLOG'] }),
	row('CACHE', upkeep, manual),
	row('CHECK', upkeep, manual),
	row('FLUSH', upkeep, manual),
	row('LOAD', upkeep, manual, { only: ['INDEX'] }),
	row('OPTIMIZE', upkeep, manual),
	row('REPAIR', upkeep, manual),
	row('RESET', upkeep, manual, { unless: ['PERSIST'] }),
	row('BACKUP', upkeep, mariadb),
	row('START', replication, manual, { only: ['REPLICA', 'SLAVE', 'ALL', 'GROUP_REPLICATION'] }),
	row('STOP', replication, manual),
	row('CHANGE', replication, manual),
	row('CALL', inside, manual, { certain: false }),
	row('EXECUTE', inside, manual, { certain: false }),
	...['BEGIN', 'IF', 'CASE', 'LOOP', 'WHILE', 'REPEAT', 'FOR'].map((verb) =>
		row(verb, inside, 'MariaDB documentation, "Using Compound Statements Outside of Stored Programs"', { certain: false }),
	),
]

const byVerb = new Map(implicitCommits.map((each) => [each.verb, each]))

// What begins like this and holds no semicolon need not be read: it can be megabytes of values.
const plain = /^\s*(?:select|insert|update|delete|replace|with|values)\b/i

/** The first statement of the text that commits the open transaction, or may: its name, and which of the two. */
export function implicitCommit(text: string): { readonly statement: string; readonly certain: boolean } | undefined {
	if (plain.test(text) && !text.includes(';')) return undefined
	for (const tokens of scan(text, 'mysql').statements) {
		const found = rowOf(tokens)
		if (found !== undefined) return { statement: nameOf(tokens), certain: found.certain }
	}
	return undefined
}

function rowOf(tokens: readonly Token[]): ImplicitCommit | undefined {
	const [first, second] = tokens
	const found = first?.kind === 'word' ? byVerb.get(first.text) : undefined
	if (found?.only !== undefined && !found.only.includes(second?.text ?? '')) return undefined
	// CREATE OR REPLACE TEMPORARY TABLE is the longest.
	if (found?.unless !== undefined && tokens.slice(1, 4).some(({ kind, text }) => kind === 'word' && found.unless?.includes(text)))
		return undefined
	return found
}

function nameOf(tokens: readonly Token[]): string {
	const words = tokens.slice(0, 2).filter(({ kind }) => kind === 'word')
	// The second word of these is a name, and no matter for an error's text.
	const count = ['CALL', 'EXECUTE', 'TRUNCATE'].includes(words[0]?.text ?? '') ? 1 : 2
	return words
		.slice(0, count)
		.map(({ text }) => text)
		.join(' ')
}

/** LOCK TABLES, UNLOCK TABLES and SET autocommit: they end a transaction, or take the session out of its hands. */
export function takesOverTransaction(text: string): string | undefined {
	if (!/\b(?:lock|unlock|autocommit)\b/i.test(text)) return undefined
	for (const tokens of scan(text, 'mysql').statements) {
		const words = tokens.map(({ kind, text: word }) => (kind === 'literal' ? '' : word.toUpperCase()))
		const [first, second] = words
		if ((first === 'LOCK' || first === 'UNLOCK') && (second === 'TABLES' || second === 'TABLE')) return `${first} TABLES`
		if (first === 'SET' && words.includes('AUTOCOMMIT')) return 'SET autocommit'
	}
	return undefined
}
