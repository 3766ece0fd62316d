/** Does this text leave nothing behind in its session: no setting, lock, temporary table, or value that is asked for later? */
import { isRead } from './read.ts'
import { type Dialect, scan, type Token } from './scan.ts'
import { acts, asksSession } from './side-effects.ts'

// In MySQL an INSERT leaves the value that LAST_INSERT_ID() gives. PostgreSQL's lastval() is an error in a session without one.
const writes: Readonly<Record<Dialect, ReadonlySet<string>>> = {
	postgres: new Set(['INSERT', 'UPDATE', 'DELETE', 'MERGE']),
	mysql: new Set(['UPDATE', 'DELETE']),
}

/**
 * True for plain reads, the control of transactions, and for INSERT, UPDATE, DELETE and MERGE that call nothing that acts. False for everything else, and for all that is
 * not understood. What a function or a trigger of the user's own does is not known here.
 */
export function leavesNoTrace(text: string, dialect: Dialect): boolean {
	const { statements, clear } = scan(text, dialect)
	return clear && statements.every((tokens) => isRead(tokens, dialect) || isPlainWrite(tokens, dialect) || isControl(tokens))
}

/** True where nothing in this text asks for what earlier statements have left in the session, as the number of their rows; false where it is not understood. */
export function asksForNothing(text: string, dialect: Dialect): boolean {
	const { statements, clear } = scan(text, dialect)
	return (
		clear &&
		statements.every((tokens) => !tokens.some((token, at) => token.kind === 'word' && asksSession(token.text, isCalled(tokens, at))))
	)
}

function isCalled(tokens: readonly Token[], at: number): boolean {
	const next = tokens[at + 1]
	return next?.kind === 'symbol' && next.text === '('
}

const controls = new Set(['BEGIN', 'COMMIT', 'END', 'ROLLBACK', 'ABORT', 'SAVEPOINT', 'RELEASE'])

// BEGIN NOT ATOMIC is a block of statements, of MariaDB.
function isControl([first, second]: readonly Token[]): boolean {
	if (first?.kind !== 'word') return false
	return first.text === 'START' ? second?.text === 'TRANSACTION' : controls.has(first.text) && second?.text !== 'NOT'
}

function isPlainWrite(tokens: readonly Token[], dialect: Dialect): boolean {
	const [first] = tokens
	if (first?.kind !== 'word' || !writes[dialect].has(first.text)) return false
	return tokens.every((token, at) => {
		if (token.kind === 'literal') return true
		// A user variable of MySQL belongs to the session; in a name U&"…" letters may be spelt by numbers.
		if (token.kind === 'symbol') return dialect === 'postgres' || (token.text !== ':=' && token.text !== '@')
		return !token.text.includes('\\') && !acts(token.text, isCalled(tokens, at))
	})
}
