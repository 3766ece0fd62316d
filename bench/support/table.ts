/** How is a table printed so that it reads well in a terminal and in Markdown alike? */

export type Cell = string | number | boolean

/** A number with as many digits as mean something. */
export function digits(value: number): string {
	if (!Number.isFinite(value)) return '–'
	if (Number.isInteger(value)) return value.toLocaleString('en')
	return value.toLocaleString('en', { maximumFractionDigits: Math.abs(value) >= 100 ? 0 : Math.abs(value) >= 10 ? 1 : 3 })
}

const show = (cell: Cell) => (typeof cell === 'number' ? digits(cell) : typeof cell === 'boolean' ? (cell ? 'yes' : 'NO') : cell)

/** A Markdown table with aligned columns; columns of numbers to the right. */
export function table(heads: readonly string[], rows: readonly (readonly Cell[])[]): string {
	const texts = [heads, ...rows.map((row) => row.map(show))]
	const widths = heads.map((_, column) => Math.max(3, ...texts.map((row) => row[column]?.length ?? 0)))
	const right = heads.map((_, column) => rows.every((row) => typeof row[column] === 'number'))
	const line = (row: readonly string[]) =>
		`| ${row.map((text, column) => (right[column] ? text.padStart(widths[column] ?? 0) : text.padEnd(widths[column] ?? 0))).join(' | ')} |`
	const rule = widths.map((width, column) => (right[column] ? `${'-'.repeat(width - 1)}:` : '-'.repeat(width)))
	const [head = [], ...body] = texts
	return [line(head), `| ${rule.join(' | ')} |`, ...body.map(line)].join('\n')
}
