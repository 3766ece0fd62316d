/** What do the generated parts of the documentation say? Tables drawn from the code, so that no fact is typed twice. */
import { classificationRows } from '../src/classify/classify.ts'
import { optionTable } from '../src/options.ts'

const cell = (value: unknown) =>
	String(value ?? '')
		.replaceAll('|', '\\|')
		.replaceAll('\n', ' ')
const code = (value: unknown) => (value === undefined || value === '' ? '' : `\`${cell(value)}\``)

function table(heads: readonly string[], rows: readonly (readonly string[])[]): string {
	const line = (cells: readonly string[]) => `| ${cells.join(' | ')} |`
	return [line(heads), line(heads.map(() => '---')), ...rows.map(line)].join('\n')
}

/** What stands between `<!-- generated:NAME -->` and `<!-- /generated:NAME -->`, by name. */
export const generatedSections: Readonly<Record<string, () => string>> = {
	options: () =>
		table(
			['option', 'type', 'default', 'must be', 'what it does'],
			optionTable.map((row) => [
				code(row.name),
				code(row.type),
				cell(row.default),
				cell(row.rule),
				`${cell(row.description)}${row.unit ? ` (${cell(row.unit)})` : ''}`,
			]),
		),
	classification: () =>
		table(
			['error', 'kind', 'scope', 'outcome', 'retried', 'why', 'source'],
			classificationRows().map((row) => [
				code(row.code ?? (row.prefix === undefined ? row.message : `${row.prefix}…`)),
				code(row.kind),
				cell(row.scope),
				cell(row.outcome),
				row.retryable ? 'yes' : 'no',
				cell(row.reason),
				cell(row.source),
			]),
		),
}

/** The text with every generated section brought up to date. Throws on a marker that is unknown or has no end. */
export function withGeneratedSections(text: string): string {
	const opened = [...text.matchAll(/<!-- generated:(\S+) -->/g)].map((found) => found[1] as string)
	let result = text
	for (const name of opened) {
		const render = generatedSections[name]
		if (!render) throw new Error(`no generated section is called ${name}; known are ${Object.keys(generatedSections).join(', ')}`)
		const begin = `<!-- generated:${name} -->`
		const end = `<!-- /generated:${name} -->`
		const [from, to] = [result.indexOf(begin) + begin.length, result.indexOf(end)]
		if (to < from) throw new Error(`the section ${begin} has no ${end}`)
		result = `${result.slice(0, from)}\n${render()}\n${result.slice(to)}`
	}
	return result
}
