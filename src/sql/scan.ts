/** Which statements and words does a text of SQL hold? Splits it; knows quotes and comments, no grammar. */
import { isBlank, isDigit, isWordPart, isWordStart } from './characters.ts'
import { afterComment, afterDollarQuote, afterLineComment, afterQuote, type Ending, opensLineComment } from './quotes.ts'

/** Whose SQL it is: quotes and comments differ. MariaDB counts as `mysql`. */
export type Dialect = 'postgres' | 'mysql'

/** A piece of SQL. Words are in upper case, quoted names as they were meant, literals without their content. */
export interface Token {
	readonly kind: 'word' | 'name' | 'literal' | 'symbol'
	readonly text: string
}

/** A text of SQL, split at its semicolons; empty statements are left out. */
export interface Scan {
	readonly statements: readonly (readonly Token[])[]
	/** Where each statement begins in the text: right behind the one before it. */
	readonly starts: readonly number[]
	/** False where the text can be read in two ways or has no end: an open quote, a MySQL comment that is code, a backslash before a quote. */
	readonly clear: boolean
}

/** Splits a text into statements and tokens. Takes time in proportion to its length and never throws. */
export function scan(text: string, dialect: Dialect): Scan {
	const mysql = dialect === 'mysql'
	const statements: Token[][] = []
	const starts: number[] = []
	let startsAt = 0
	let tokens: Token[] = []
	let body = new Body(dialect)
	let clear = true
	let escaping = false // a string right after an E'…' goes on by its rules

	const take = (kind: Token['kind'], content: string): void => {
		const token: Token = { kind, text: content }
		tokens.push(token)
		body.see(token, tokens)
	}
	const skip = (ending: Ending): number => {
		if (!ending.clear) clear = false
		return ending.at
	}

	let at = 0
	while (at < text.length) {
		const char = text[at]!
		const next = text[at + 1]
		const start = at
		if (isBlank(char)) {
			at++
			continue
		}
		if (char === '/' && next === '*') {
			// What MySQL finds in such a comment it runs, depending on its version; so the markers are skipped and the content is read.
			if (mysql && (text[at + 2] === '!' || text.startsWith('M!', at + 2))) {
				clear = false
				at += text[at + 2] === '!' ? 3 : 4
				while (isDigit(text[at])) at++
			} else at = skip(afterComment(text, at, !mysql))
			continue
		}
		if (mysql && !clear && char === '*' && next === '/') {
			at += 2
			continue
		}
		if (opensLineComment(text, at, mysql)) {
			at = afterLineComment(text, at, mysql)
			continue
		}
		const continued: boolean = escaping
		escaping = false
		if (char === ';' && !body.open) {
			at++
			if (tokens.length > 0) {
				statements.push(tokens)
				starts.push(startsAt)
				startsAt = at
			}
			tokens = []
			body = new Body(dialect)
		} else if (char === "'" || (mysql && char === '"')) {
			escaping = continued
			at = skip(afterQuote(text, at, mysql || continued ? 'always' : 'never'))
			take('literal', '')
		} else if (!mysql && next === "'" && (char === 'E' || char === 'e')) {
			escaping = true
			at = skip(afterQuote(text, at + 1, 'e-string'))
			take('literal', '')
		} else if (char === '"' || (mysql && char === '`')) {
			at = skip(afterQuote(text, at, 'in names'))
			take('name', text.slice(start + 1, at - 1).replaceAll(char + char, char))
		} else if (!mysql && char === '$' && (next === '$' || isWordStart(next))) {
			at = skip(afterDollarQuote(text, at))
			take(at > start + 1 ? 'literal' : 'symbol', at > start + 1 ? '' : '$')
		} else if (isWordStart(char)) {
			while (isWordPart(text[at])) at++
			take('word', text.slice(start, at).toUpperCase())
		} else if (isDigit(char)) {
			while (isDigit(text[at]) || text[at] === '.') at++
			take('literal', '')
		} else if (char === ':' && next === '=') {
			at += 2
			take('symbol', ':=')
		} else {
			at++
			take('symbol', char)
		}
	}
	if (tokens.length > 0) {
		statements.push(tokens)
		starts.push(startsAt)
	}
	return { statements, starts, clear }
}

/** Follows a statement that holds other statements: their semicolons do not end it. */
class Body {
	readonly #dialect: Dialect
	#routine = false
	#depth = 0

	constructor(dialect: Dialect) {
		this.#dialect = dialect
	}

	get open(): boolean {
		return this.#depth > 0
	}

	see(token: Token, tokens: readonly Token[]): void {
		if (token.kind !== 'word' || tokens[0]!.text !== 'CREATE') return
		const { text } = token
		if (text === 'FUNCTION' || text === 'PROCEDURE' || text === 'TRIGGER' || text === 'EVENT' || text === 'PACKAGE') this.#routine = true
		if (!this.#routine) return
		if (this.#dialect === 'mysql') {
			// BEGIN, IF, LOOP, CASE and their ends would take a grammar. The rest of the text counts as the body: nothing in it is believed.
			if (text === 'BEGIN') this.#depth = 1
		} else if (text === 'ATOMIC' && tokens.at(-2)?.text === 'BEGIN') this.#depth = 1
		else if (text === 'CASE' && this.open) this.#depth++
		else if (text === 'END' && this.open) this.#depth--
	}
}
