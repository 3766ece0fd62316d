/** Which statements of a text begin, end or divide a transaction? */
import { isBlank } from './characters.ts'
import { type Dialect, scan, type Token } from './scan.ts'

/** One statement of a text, seen by what it does to the transaction. `other` is everything that is no transaction control. */
export interface ControlStatement {
	readonly verb:
		| 'begin'
		| 'commit'
		| 'rollback'
		| 'savepoint'
		| 'release'
		| 'rollback_to'
		| 'prepare'
		| 'commit_prepared'
		| 'rollback_prepared'
		| 'other'
	/** Where the statement begins in the text. */
	readonly start: number
	/** AND CHAIN: the next transaction begins at once. */
	readonly chain?: boolean
	/** READ ONLY (true) or READ WRITE (false) of a `begin`; absent where it says neither. */
	readonly readOnly?: boolean
	/** ISOLATION LEVEL of a `begin`, in lower case. */
	readonly isolation?: string
}

type Seen = Omit<ControlStatement, 'start'>

const other: Seen = { verb: 'other' }
const levels = ['SERIALIZABLE', 'REPEATABLE READ', 'READ COMMITTED', 'READ UNCOMMITTED']

/** Every statement of the text in order, empty ones left out. Quoted text, function bodies and DO blocks never count as control. */
export function controlStatements(text: string, dialect: Dialect): readonly ControlStatement[] {
	const { statements, starts } = scan(text, dialect)
	return statements.map((tokens, index) => {
		// Nothing longer is transaction control; a large INSERT must not be joined into a text.
		const words = tokens.slice(0, 24).map(wordOf)
		const seen = dialect === 'mysql' && words[0] === 'XA' ? xa(words) : control(words, dialect)
		return { ...seen, start: starts[index] as number }
	})
}

function control(words: readonly string[], dialect: Dialect): Seen {
	const [first, second] = words
	switch (first) {
		case 'BEGIN':
			// MariaDB's BEGIN NOT ATOMIC … END is a block of statements.
			return dialect === 'mysql' && second === 'NOT' ? other : begin(words)
		case 'START':
			return second === 'TRANSACTION' ? begin(words) : other
		case 'COMMIT':
			return second === 'PREPARED' ? { verb: 'commit_prepared' } : end('commit', words)
		case 'END':
			return dialect === 'postgres' ? end('commit', words) : other
		case 'ROLLBACK':
			return second === 'PREPARED' ? { verb: 'rollback_prepared' } : rollback(words)
		case 'ABORT':
			return dialect === 'postgres' ? rollback(words) : other
		case 'SAVEPOINT':
			return { verb: 'savepoint' }
		case 'RELEASE':
			return { verb: 'release' }
		case 'PREPARE':
			return dialect === 'postgres' && second === 'TRANSACTION' ? { verb: 'prepare' } : other
		default:
			return other
	}
}

function begin(words: readonly string[]): Seen {
	const text = words.join(' ')
	// The last mode wins in both servers.
	const access = text.lastIndexOf('READ ONLY') - text.lastIndexOf('READ WRITE')
	const level = text.split('ISOLATION LEVEL ').at(-1)
	const isolation = text.includes('ISOLATION LEVEL ') ? levels.find((each) => level?.startsWith(each)) : undefined
	return {
		verb: 'begin',
		...(access !== 0 && { readOnly: access > 0 }),
		...(isolation !== undefined && { isolation: isolation.toLowerCase() }),
	}
}

function end(verb: 'commit' | 'rollback', words: readonly string[]): Seen {
	const chain = words.indexOf('CHAIN')
	return chain > 0 && words[chain - 1] === 'AND' ? { verb, chain: true } : { verb }
}

function rollback(words: readonly string[]): Seen {
	const target = words[1] === 'WORK' || words[1] === 'TRANSACTION' ? words[2] : words[1]
	return target === 'TO' ? { verb: 'rollback_to' } : end('rollback', words)
}

function xa(words: readonly string[]): Seen {
	switch (words[1]) {
		case 'START':
		case 'BEGIN':
			return { verb: 'begin' }
		case 'PREPARE':
			return { verb: 'prepare' }
		case 'COMMIT':
			return words.includes('ONE') && words.includes('PHASE') ? { verb: 'commit' } : { verb: 'commit_prepared' }
		case 'ROLLBACK':
			// It ends the branch of this session or a prepared one; nothing in the text tells which.
			return { verb: 'rollback' }
		default:
			return other
	}
}

function wordOf(token: Token): string {
	return token.kind === 'word' ? token.text : token.kind === 'symbol' ? token.text : ''
}

// The first two letters of BEGIN, START, COMMIT, END, ROLLBACK, ABORT, SAVEPOINT, RELEASE, PREPARE and XA.
const firstTwo = new Set(['be', 'st', 'co', 'en', 'ro', 'ab', 'sa', 're', 'pr', 'xa'])
const codes = new Set([...firstTwo].map((pair) => pair.charCodeAt(0) * 256 + pair.charCodeAt(1)))

/**
 * The cheap question for every query of a borrowed client: can this text control a transaction at all? Looks at a few characters only.
 * False only where no statement of the text begins, ends or divides a transaction. True proves nothing: ask `controlStatements` then.
 *
 * A text with more than one statement, or one that begins with a comment, is always a candidate. What a procedure
 * (CALL) or a statement prepared in SQL (EXECUTE) does inside the server cannot be seen in the text at all.
 */
export function mayControlTransaction(text: string): boolean {
	const semicolon = text.indexOf(';')
	if (semicolon >= 0 && !isBlankFrom(text, semicolon + 1)) return true
	let at = 0
	while (at < text.length && isBlank(text[at]!)) at++
	if (at === text.length) return false
	const first = text.charCodeAt(at) | 32
	// What begins with a parenthesis is a query.
	if (text[at] === '(') return false
	if (first < 97 || first > 122) return true
	return codes.has(first * 256 + (text.charCodeAt(at + 1) | 32))
}

function isBlankFrom(text: string, from: number): boolean {
	for (let at = from; at < text.length; at++) if (!isBlank(text[at]!)) return false
	return true
}
