/** Which statements of a text begin, end or divide a transaction? */
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
	/** AND CHAIN: the next transaction begins at once. */
	readonly chain?: boolean
	/** READ ONLY (true) or READ WRITE (false) of a `begin`; absent where it says neither. */
	readonly readOnly?: boolean
	/** ISOLATION LEVEL of a `begin`, in lower case. */
	readonly isolation?: string
}

const other: ControlStatement = { verb: 'other' }
const levels = ['SERIALIZABLE', 'REPEATABLE READ', 'READ COMMITTED', 'READ UNCOMMITTED']

/** Every statement of the text in order, empty ones left out. Quoted text, function bodies and DO blocks never count as control. */
export function controlStatements(text: string, dialect: Dialect): readonly ControlStatement[] {
	return scan(text, dialect).statements.map((tokens) => {
		// Nothing longer is transaction control; a large INSERT must not be joined into a text.
		const words = tokens.slice(0, 24).map(wordOf)
		return dialect === 'mysql' && words[0] === 'XA' ? xa(words) : control(words, dialect)
	})
}

function control(words: readonly string[], dialect: Dialect): ControlStatement {
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

function begin(words: readonly string[]): ControlStatement {
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

function end(verb: 'commit' | 'rollback', words: readonly string[]): ControlStatement {
	const chain = words.indexOf('CHAIN')
	return chain > 0 && words[chain - 1] === 'AND' ? { verb, chain: true } : { verb }
}

function rollback(words: readonly string[]): ControlStatement {
	const target = words[1] === 'WORK' || words[1] === 'TRANSACTION' ? words[2] : words[1]
	return target === 'TO' ? { verb: 'rollback_to' } : end('rollback', words)
}

function xa(words: readonly string[]): ControlStatement {
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
