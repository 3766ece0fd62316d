/** What do the documents hold? Their fenced examples, commands and links. */
import { repositoryFiles, textOf } from './modules.ts'

/** A fenced block of TypeScript in a document. */
export interface Example {
	/** `README.md:37` */
	readonly place: string
	/** A file name made of the place. */
	readonly fileName: string
	readonly code: string
	/** False for fences tagged `ts no-run`: they are only type-checked. */
	readonly runs: boolean
}

/** The documents of the repository. */
export const documents = repositoryFiles('README.md', 'CONTRIBUTING.md', 'CHANGELOG.md', 'docs').filter((path) => path.endsWith('.md'))

/** All fenced TypeScript of a document. Tag a fence `ts no-run` to have it only type-checked. */
export function examplesIn(document: string, text = textOf(document)): Example[] {
	const lines = text.split('\n')
	const examples: Example[] = []
	let opened: { line: number; info: string } | undefined
	for (const [index, line] of lines.entries()) {
		const fence = /^\s*(?:```|~~~)(.*)$/.exec(line)
		if (!fence) continue
		if (!opened) {
			opened = { line: index + 1, info: (fence[1] ?? '').trim() }
			continue
		}
		const [language, ...tags] = opened.info.split(/\s+/)
		if (language === 'ts' || language === 'typescript') {
			const unknown = tags.find((tag) => tag !== 'no-run')
			if (unknown !== undefined) throw new Error(`${document}:${opened.line} has the unknown tag ${unknown}`)
			const place = `${document}:${opened.line}`
			const fileName = `${place.replaceAll(/\W+/g, '-')}.ts`
			examples.push({ place, fileName, code: `${lines.slice(opened.line, index).join('\n')}\n`, runs: !tags.includes('no-run') })
		}
		opened = undefined
	}
	if (opened) throw new Error(`${document}:${opened.line} opens a fence that is never closed`)
	return examples
}

/** Names of the scripts that a text tells people to run with `npm run` or `npm test`. */
export function npmScriptsIn(text: string): string[] {
	const named = [...text.matchAll(/\bnpm run ([\w:-]+)/g)].map((found) => found[1] as string)
	return /\bnpm test\b/.test(text) ? [...named, 'test'] : named
}

/** Targets of the links that stay in the repository, without their anchors. */
export function localLinksIn(text: string): string[] {
	const targets = [...text.matchAll(/\]\(([^)\s]+)\)/g), ...text.matchAll(/\b(?:src|srcset|href)="([^"\s]+)"/g)].map(
		(found) => found[1] as string,
	)
	return targets.filter((target) => !/^([a-z]+:|#)/i.test(target)).map((target) => target.replace(/#.*$/, ''))
}
