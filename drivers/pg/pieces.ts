/** How is a text of several statements cut, so that its BEGIN can be marked and its COMMIT verified? Pure. */
import type { controlStatements } from '../../src/driver.ts'

type Statements = ReturnType<typeof controlStatements>

const controls = new Set(['begin', 'commit', 'rollback', 'prepare'])

/** Whether any statement of the text begins or ends a transaction. */
export const hasControl = (statements: Statements): boolean => statements.some(({ verb }) => controls.has(verb))

/**
 * The pieces, in order, where the text opens a transaction first, or commits one last; undefined where transactions end and begin in the
 * middle: nobody could say which of them a lost answer belongs to.
 */
export function cutPieces(text: string, statements: Statements): string[] | undefined {
	const opens = statements[0]?.verb === 'begin'
	const commits = statements.at(-1)?.verb === 'commit'
	if (hasControl(statements.slice(opens ? 1 : 0, commits ? -1 : undefined))) return undefined
	const cuts = [
		0,
		...(opens ? [statements[1]?.start ?? text.length] : []),
		...(commits ? [statements.at(-1)?.start as number] : []),
		text.length,
	]
	return cuts
		.slice(1)
		.map((end, index) => text.slice(cuts[index], end))
		.filter((piece) => piece.trim() !== '')
}
