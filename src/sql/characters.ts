/** Which characters make words, numbers and gaps in SQL? */

/** White space of PostgreSQL's and MySQL's lexers. */
export function isBlank(char: string): boolean {
	return char === ' ' || (char >= '\t' && char <= '\r')
}

/** A decimal digit. */
export function isDigit(char: string | undefined): boolean {
	return char !== undefined && char >= '0' && char <= '9'
}

/** What a word may begin with: both servers take every character beyond ASCII for a letter. */
export function isWordStart(char: string | undefined): boolean {
	if (char === undefined) return false
	return (char >= 'a' && char <= 'z') || (char >= 'A' && char <= 'Z') || char === '_' || char >= '\u0080'
}

/** What a word may go on with. */
export function isWordPart(char: string | undefined): boolean {
	return isWordStart(char) || isDigit(char) || char === '$'
}
