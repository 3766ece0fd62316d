/** Are the documents true? Their examples compile and run, their tables are current, their commands and links exist. */
import { existsSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { dirname, join, posix } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { withGeneratedSections } from '../../scripts/generated-sections.ts'
import { type PostgresServer, startPostgres } from '../support/postgres.ts'
import { documents, examplesIn, localLinksIn, npmScriptsIn } from './documents.ts'
import { exampleEnvironment } from './example-database.ts'
import { repositoryFiles, root, textOf } from './modules.ts'
import { runProgram } from './run-program.ts'

const exampleLimitMs = 45_000

const inDocuments = documents.flatMap((document) => examplesIn(document))
const inFiles = repositoryFiles('examples')
	.filter((path) => /^examples\/[^/]+\.ts$/.test(path))
	.map((path) => ({ place: path, fileName: path.replaceAll('/', '-'), code: textOf(path), runs: true }))
const examples = [...inDocuments, ...inFiles]

let folder: string
let server: PostgresServer

beforeAll(async () => {
	mkdirSync(join(root, '.cache'), { recursive: true })
	folder = mkdtempSync(join(root, '.cache/examples-'))
	for (const { fileName, code } of examples) writeFileSync(join(folder, fileName), code)
	// An example may name a result only to show it.
	const compilerOptions = { noUnusedLocals: false, noUnusedParameters: false }
	writeFileSync(join(folder, 'tsconfig.json'), JSON.stringify({ extends: '../../tsconfig.json', compilerOptions, include: ['*.ts'] }))
	server = await startPostgres()
})

afterAll(async () => {
	rmSync(folder, { recursive: true, force: true })
	await server?.dispose()
})

test('every example in the documents and in examples/ passes the compiler', async () => {
	const compiler = join(root, 'node_modules/typescript/bin/tsc')
	const { code, output } = await runProgram(process.execPath, [compiler, '-p', folder], { cwd: root, timeLimitMs: exampleLimitMs })
	expect({ code, output }).toEqual({ code: 0, output: '' })
})

for (const { place, fileName } of examples.filter(({ runs }) => runs)) {
	test(`the example ${place} runs to its end, with a real PostgreSQL at hand, and exits with 0`, async () => {
		const env = await exampleEnvironment(server)
		const ending = await runProgram(process.execPath, ['--import', 'tsx', join(folder, fileName)], {
			cwd: root,
			env,
			timeLimitMs: exampleLimitMs,
		})
		expect(ending, ending.output).toMatchObject({ code: 0 })
	})
}

for (const document of documents) {
	test(`the generated tables of ${document} are current (else: npm run generate)`, () => {
		expect(withGeneratedSections(textOf(document))).toBe(textOf(document))
	})

	test(`the commands and links of ${document} lead somewhere`, () => {
		const { scripts } = JSON.parse(textOf('package.json')) as { scripts: Record<string, string> }
		expect(npmScriptsIn(textOf(document)).filter((name) => !(name in scripts))).toEqual([])
		const broken = localLinksIn(textOf(document)).filter((target) => !existsSync(join(root, posix.join(dirname(document), target))))
		expect(broken).toEqual([])
	})
}

test('these checks see what they forbid', () => {
	const text = '# T\n```ts\na\n```\n```ts no-run\nb\n```\n```sh\nnpm run nothing\n```\n[x](no/such.md#part) [y](https://example.org)\n'
	expect(examplesIn('x.md', text).map(({ place, code, runs }) => [place, code, runs])).toEqual([
		['x.md:2', 'a\n', true],
		['x.md:5', 'b\n', false],
	])
	expect(npmScriptsIn(text)).toEqual(['nothing'])
	expect(localLinksIn(text)).toEqual(['no/such.md'])
	expect(() => examplesIn('x.md', '```ts\na')).toThrow('never closed')
	expect(() => withGeneratedSections('<!-- generated:weather --><!-- /generated:weather -->')).toThrow('weather')
	const stale = '<!-- generated:options -->\nold\n<!-- /generated:options -->'
	expect(withGeneratedSections(stale)).not.toBe(stale)
})
