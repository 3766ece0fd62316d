/** Which options does an interface declare? Name, type, default and meaning, read off the declaration and its comments. */
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { parseSync } from 'oxc-parser'

/** One option, as the documentation shows it. */
export interface OptionRow {
	readonly name: string
	readonly type: string
	readonly default: string
	readonly description: string
}

interface Span {
	readonly start: number
	readonly end: number
}

interface Member extends Span {
	readonly type: string
	readonly key: { readonly name?: string }
	readonly typeAnnotation?: { readonly typeAnnotation: Span } | null
}

interface Statement {
	readonly type: string
	readonly id?: { readonly name?: string }
	readonly body?: { readonly body?: readonly Member[] }
	readonly declaration?: Statement | null
}

const root = join(import.meta.dirname, '..')

/** The words of a comment, without its stars. */
const words = (comment: string) =>
	comment
		.replaceAll(/^\s*\*+/gm, ' ')
		.replaceAll(/\s+/g, ' ')
		.trim()

// A default ends at a full stop that ends a sentence: not inside `stop.afterAttempts(5)` or 1.5.
const defaultOf = /(?:@default |\bDefault:? )(.+?)(?:\.(?=\s|$)|$)/

/** The properties that `interface` in `file` declares itself. Throws where one has no comment: an option without words is no option. */
export function optionRows(file: string, name: string): OptionRow[] {
	const text = readFileSync(join(root, file), 'utf8')
	const { program, comments } = parseSync(file, text)
	const statements = (program.body as unknown as Statement[]).map((statement) => statement.declaration ?? statement)
	const found = statements.find((statement) => statement.type === 'TSInterfaceDeclaration' && statement.id?.name === name)
	if (!found) throw new Error(`${file} declares no interface ${name}`)
	return (found.body?.body ?? []).map((member) => {
		const comment = comments.findLast(({ end }) => end <= member.start && text.slice(end, member.start).trim() === '')
		if (!comment) throw new Error(`${name}.${member.key.name} in ${file} has no comment`)
		const annotation = member.typeAnnotation?.typeAnnotation
		const type = annotation ? text.slice(annotation.start, annotation.end).replace(/ \| undefined$/, '') : 'function'
		const said = words(comment.value)
		const description = said.replace(defaultOf, '').replaceAll(/\s+/g, ' ').trim()
		return { name: member.key.name ?? '', type, default: defaultOf.exec(said)?.[1] ?? '', description }
	})
}
