/** How can the text of somebody's query be shown without the values in it? */

const longest = 200

// Where quoting can be read in two ways (backslashes, comments, dollar quotes), what follows the first quote is not shown at all.
const unclear = /\\|--|\/\*|\$[A-Za-z_]*\$/

/** The text with `?` in place of every literal, on one line, shortened. Rather too little than a value. */
export function redact(text: string, dialect: 'postgres' | 'mysql'): string {
	const quotes = dialect === 'mysql' ? /'[^']*(?:'|$)|"[^"]*(?:"|$)/g : /[eEbBxXnN]?'[^']*(?:'|$)/g
	const opening = dialect === 'mysql' ? /['"]|\$|--|\/\*|#/ : /'|\$[A-Za-z_]*\$|--|\/\*/
	let shown = text
	if (unclear.test(text) || (dialect === 'mysql' && text.includes('#'))) {
		const at = text.search(opening)
		if (at >= 0) shown = `${text.slice(0, at)}…`
	}
	shown = shown
		.replaceAll(quotes, '?')
		.replaceAll(/(?<![\w$"`])\d[\w.]*/g, '?')
		.replaceAll(/\s+/g, ' ')
		.trim()
	return shown.length > longest ? `${shown.slice(0, longest)}…` : shown
}
