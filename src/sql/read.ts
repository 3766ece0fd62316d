/** May this text be run a second time without harm? Says yes only to reads that it understands from end to end. */
import { type Dialect, scan, type Token } from './scan.ts'
import { acts } from './side-effects.ts'

const queries = new Set(['SELECT', 'VALUES', 'TABLE', 'WITH'])
const writes = new Set(['INSERT', 'UPDATE', 'DELETE', 'MERGE', 'REPLACE'])
const locks = new Set(['UPDATE', 'SHARE', 'NO', 'KEY'])
const explainable = new Set([...queries, ...writes, 'CREATE', 'DECLARE', 'EXECUTE', 'REFRESH', 'IMPORT'])

/**
 * True for SELECT, SHOW, VALUES, TABLE, WITH and EXPLAIN that change nothing and lock nothing, alone or several in one text.
 * False for everything else, and for all that is not understood.
 *
 * A function of the user's own may write and is not known here: `readsAreSafe: false` is for those.
 */
export function isPlainRead(text: string, dialect: Dialect): boolean {
	const { statements, clear } = scan(text, dialect)
	return clear && statements.length > 0 && statements.every((tokens) => isRead(tokens, dialect))
}

/** Whether one statement is such a read. */
export function isRead(tokens: readonly Token[], dialect: Dialect): boolean {
	const start = tokens.findIndex((token) => token.text !== '(' || token.kind !== 'symbol')
	const first = tokens[start]
	if (first?.kind !== 'word') return false
	if (start > 0 || queries.has(first.text)) return queries.has(first.text) && isHarmless(tokens, dialect)
	switch (first.text) {
		case 'SHOW':
			// The warnings are those of the session's last statement.
			return (
				dialect === 'postgres' || !tokens.some((token) => token.kind === 'word' && (token.text === 'WARNINGS' || token.text === 'ERRORS'))
			)
		case 'EXPLAIN':
		case 'DESCRIBE':
		case 'DESC':
			return (first.text === 'EXPLAIN' || dialect === 'mysql') && isReadExplained(tokens.slice(1), dialect)
		default:
			return false
	}
}

function isReadExplained(tokens: readonly Token[], dialect: Dialect): boolean {
	if (tokens.some((token) => token.kind === 'word' && (token.text === 'ANALYZE' || token.text === 'ANALYSE'))) return false
	const verb = tokens.find((token) => token.kind === 'word' && explainable.has(token.text))
	if (verb === undefined) return dialect === 'mysql'
	return queries.has(verb.text) && isHarmless(tokens, dialect)
}

/** Nothing in the query writes, locks or acts. */
function isHarmless(tokens: readonly Token[], dialect: Dialect): boolean {
	const withClause = tokens.some((token) => token.kind === 'word' && token.text === 'WITH')
	return tokens.every((_, index) => isHarmlessToken(tokens, index, withClause, dialect))
}

function isHarmlessToken(tokens: readonly Token[], index: number, withClause: boolean, dialect: Dialect): boolean {
	const token = tokens[index]!
	const next = tokens[index + 1]
	const called = next?.kind === 'symbol' && next.text === '('
	switch (token.kind) {
		case 'literal':
			return true
		case 'name':
			// U&"…" may spell a name by numbers.
			return !token.text.includes('\\') && !acts(token.text, called)
		case 'symbol':
			// MySQL assigns to user variables in the middle of a query, and their values belong to the session.
			return dialect === 'postgres' || (token.text !== ':=' && (token.text !== '@' || isSystemVariable(tokens, index)))
		case 'word':
			return isHarmlessWord(token.text, next, called, withClause) && !acts(token.text, called)
	}
}

function isHarmlessWord(word: string, next: Token | undefined, called: boolean, withClause: boolean): boolean {
	// SELECT INTO makes a table in PostgreSQL; in MySQL it writes a file or a variable.
	if (word === 'INTO') return false
	if (word === 'FOR') return !(next?.kind === 'word' && locks.has(next.text))
	if (word === 'LOCK') return next?.text !== 'IN'
	// NEXT VALUE FOR is the standard's nextval.
	if (word === 'NEXT') return next?.text !== 'VALUE'
	// INSERT() and REPLACE() are functions as well; without WITH there is no place for the statements of these names.
	return !withClause || called || !writes.has(word)
}

function isSystemVariable(tokens: readonly Token[], index: number): boolean {
	const isAt = (token: Token | undefined) => token?.kind === 'symbol' && token.text === '@'
	return isAt(tokens[index + 1]) || isAt(tokens[index - 1])
}
