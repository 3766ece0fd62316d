/** Can this text control a transaction at all? Asked for every query of a borrowed client, so it looks at a few characters only. */
import { isBlank } from './characters.ts'

// The first two letters of BEGIN, START, COMMIT, END, ROLLBACK, ABORT, SAVEPOINT, RELEASE, PREPARE and XA.
const firstTwo = new Set(['be', 'st', 'co', 'en', 'ro', 'ab', 'sa', 're', 'pr', 'xa'])
const codes = new Set([...firstTwo].map((pair) => pair.charCodeAt(0) * 256 + pair.charCodeAt(1)))

/**
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
