/** Where does a quoted piece or a comment end? */
import { isWordPart } from './characters.ts'

/** The position after the piece. `clear` is false where it has no end, or where the end depends on a setting of the server. */
export interface Ending {
	readonly at: number
	readonly clear: boolean
}

/**
 * What a backslash does before a quote. `e-string`: it escapes, by the syntax. `always`: it escapes by default, but not under MySQL's
 * NO_BACKSLASH_ESCAPES or in a continued string. `never`: it does not by default, but does without PostgreSQL's standard_conforming_strings.
 * `in names`: it never does.
 */
export type Backslash = 'e-string' | 'always' | 'never' | 'in names'

/** After the quoted piece that begins at `from`. A doubled quote stands for one. */
export function afterQuote(text: string, from: number, backslash: Backslash): Ending {
	const quote = text[from]!
	const escapes = backslash === 'e-string' || backslash === 'always'
	let clear = true
	let at = from + 1
	while (true) {
		const end = text.indexOf(quote, at)
		if (end < 0) return { at: text.length, clear: false }
		let before = end
		while (before > at && text[before - 1] === '\\') before--
		const odd = (end - before) % 2 === 1
		if (odd && (backslash === 'always' || backslash === 'never')) clear = false
		if (odd && escapes) at = end + 1
		else if (text[end + 1] === quote) at = end + 2
		else return { at: end + 1, clear }
	}
}

/** After the comment that begins at `from`. PostgreSQL nests them, MySQL does not. */
export function afterComment(text: string, from: number, nested: boolean): Ending {
	let depth = 1
	let at = from + 2
	let inner = nested ? text.indexOf('/*', at) : -1
	while (true) {
		const end = text.indexOf('*/', at)
		if (end < 0) return { at: text.length, clear: false }
		while (inner >= 0 && inner < end) {
			depth++
			at = inner + 2
			inner = text.indexOf('/*', at)
		}
		// "/*/" opens a comment and does not close it.
		if (at > end) continue
		depth--
		at = end + 2
		if (depth === 0) return { at, clear: true }
		if (inner >= 0 && inner < at) inner = text.indexOf('/*', at)
	}
}

/** Whether a comment begins here that ends with the line. MySQL wants a blank after the dashes, as `--1` is a number there. */
export function opensLineComment(text: string, at: number, mysql: boolean): boolean {
	if (mysql && text[at] === '#') return true
	if (text[at] !== '-' || text[at + 1] !== '-') return false
	const next = text[at + 2]
	return !mysql || next === undefined || next <= ' ' || next === '\u007f'
}

/** After a comment that ends with the line. A carriage return alone ends it in PostgreSQL only. */
export function afterLineComment(text: string, from: number, mysql: boolean): number {
	let at = from
	while (at < text.length && text[at] !== '\n' && (mysql || text[at] !== '\r')) at++
	return at
}

/** After `$tag$ … $tag$`, or after the dollar sign alone where it opens no quote. */
export function afterDollarQuote(text: string, from: number): Ending {
	let tagEnd = from + 1
	while (text[tagEnd] !== '$' && isWordPart(text[tagEnd])) tagEnd++
	if (text[tagEnd] !== '$') return { at: from + 1, clear: true }
	const tag = text.slice(from, tagEnd + 1)
	const end = text.indexOf(tag, tagEnd + 1)
	return end < 0 ? { at: text.length, clear: false } : { at: end + tag.length, clear: true }
}
