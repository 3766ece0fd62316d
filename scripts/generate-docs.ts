/** Are the generated tables in README.md and docs/ current? Rewrites those that are not. Run by `npm run generate`. */
import { existsSync, readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { withGeneratedSections } from './generated-sections.ts'

const root = join(import.meta.dirname, '..')
const inDocs = readdirSync(join(root, 'docs'), { recursive: true, encoding: 'utf8' }).map((name) => join('docs', name))
const documents = ['README.md', ...inDocs].filter((path) => path.endsWith('.md') && existsSync(join(root, path)))

for (const document of documents) {
	const text = readFileSync(join(root, document), 'utf8')
	const current = withGeneratedSections(text)
	if (current === text) continue
	writeFileSync(join(root, document), current)
	console.log(`${document}: brought up to date`)
}
