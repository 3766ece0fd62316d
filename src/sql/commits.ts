/** Can part of this text be committed although the rest fails? Then the server's error says nothing of that part. */
import { controlStatements } from './control.ts'
import { type Dialect, scan } from './scan.ts'

// Procedures and blocks may commit in their middle (PostgreSQL manual, "Transaction Management" in PL/pgSQL).
const mayCommitInside = new Set(['CALL', 'DO'])
const endings = new Set(['commit', 'rollback', 'begin', 'prepare', 'commit_prepared', 'rollback_prepared'])

/**
 * True for texts whose work may be committed in pieces: CALL, DO, several statements with transaction control among them, what is built
 * CONCURRENTLY, and all that is not understood. False where an error that answers the text has undone all of it.
 */
export function mayCommitPartly(text: string, dialect: Dialect): boolean {
	const { statements, clear } = scan(text, dialect)
	if (statements.length > 1 || (!clear && text.includes(';'))) {
		// Statements in one text are one transaction in PostgreSQL, unless they say otherwise. MySQL commits each.
		if (dialect === 'mysql' || !clear || controlStatements(text, dialect).some(({ verb }) => endings.has(verb))) return true
	}
	return statements.some((tokens) => {
		const [first] = tokens
		if (first?.kind !== 'word') return false
		if (mayCommitInside.has(first.text)) return first.text !== 'DO' || dialect === 'postgres'
		return tokens.some((token) => token.kind === 'word' && token.text === 'CONCURRENTLY')
	})
}
