/** Is the packed package whole? Its files, types and source maps, and programs that install it into an empty folder. */
import { copyFileSync, existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join, posix } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { type PostgresServer, startPostgres } from '../support/postgres.ts'
import { exampleEnvironment } from './example-database.ts'
import { repositoryFiles, root, textOf } from './modules.ts'
import { runProgram } from './run-program.ts'

const limitMs = 100_000
const { devDependencies, exports, version } = JSON.parse(textOf('package.json')) as {
	devDependencies: Record<string, string>
	exports: Record<string, string | { types: string; default: string }>
	version: string
}
const pinned = (...names: string[]) => names.map((name) => `${name}@${devDependencies[name]}`)

let folder: string
let tarball: string
let packed: string[]
let server: PostgresServer

async function succeed(command: string, args: readonly string[], cwd: string, env: NodeJS.ProcessEnv = {}): Promise<string> {
	const { code, output } = await runProgram(command, args, { cwd, env, timeLimitMs: limitMs })
	if (code !== 0) throw new Error(`${command} ${args.join(' ')} ended with ${code}: ${output}`)
	return output
}

/** npm in `cwd`, even where these tests were started by npm: its variables would lead back to our own package. */
function npm(args: readonly string[], cwd: string): Promise<string> {
	const inherited = Object.keys(process.env).filter((name) => /^npm_(package|lifecycle|command|config_local_prefix)/i.test(name))
	const quiet = ['--no-audit', '--no-fund', '--loglevel=error', '--prefer-offline']
	return succeed('npm', [...args, ...quiet], cwd, Object.fromEntries(inherited.map((name) => [name, undefined])))
}

/** An empty folder with the package, and these beside it, installed from the tarball. */
async function consumer(name: string, packages: readonly string[]): Promise<string> {
	const place = join(folder, name)
	mkdirSync(place)
	writeFileSync(join(place, 'package.json'), JSON.stringify({ name, private: true, type: 'module' }))
	await npm(['install', tarball, ...packages], place)
	return place
}

beforeAll(async () => {
	folder = mkdtempSync(join(tmpdir(), 'holdfast-pack-'))
	await succeed(process.execPath, ['scripts/prepare.mjs', '--build'], root)
	await npm(['pack', '--ignore-scripts', '--pack-destination', folder], root)
	tarball = join(folder, readdirSync(folder).find((name) => name.endsWith('.tgz')) as string)
	packed = (await succeed('tar', ['-tzf', tarball], root))
		.split('\n')
		.filter(Boolean)
		.map((path) => path.replace(/^package\//, ''))
	server = await startPostgres()
})

afterAll(async () => {
	rmSync(folder, { recursive: true, force: true })
	await server?.dispose()
})

test('the package holds the sources, what is built from them, and three documents; no test and no bench', () => {
	const sources = repositoryFiles('src', 'drivers', 'cli').filter((path) => path.endsWith('.ts'))
	const built = sources.flatMap((path) => ['.js', '.js.map', '.d.ts', '.d.ts.map'].map((ending) => `dist/${path.replace(/\.ts$/, ending)}`))
	const documents = ['README.md', 'CHANGELOG.md', 'LICENSE'].filter((path) => existsSync(join(root, path)))
	expect(packed.toSorted()).toEqual([...sources, ...built, ...documents, 'package.json'].sort())
})

test('what package.json exports is in the package', () => {
	const targets = Object.values(exports).flatMap((target) => (typeof target === 'string' ? [target] : [target.types, target.default]))
	expect(targets.filter((target) => !packed.includes(posix.normalize(target)))).toEqual([])
})

test('every source map leads to a source that is in the package', () => {
	const maps = packed.filter((path) => path.endsWith('.map'))
	const lost = maps.flatMap((path) => {
		const { sources } = JSON.parse(readFileSync(join(root, path), 'utf8')) as { sources: string[] }
		return sources.map((source) => posix.join(posix.dirname(path), source)).filter((source) => !packed.includes(source))
	})
	expect(maps).not.toEqual([])
	expect(lost).toEqual([])
})

test('the core installs and loads without any database package', async () => {
	const place = await consumer('core-only', [])
	expect(readdirSync(join(place, 'node_modules')).filter((name) => !name.startsWith('.'))).toEqual(['commander', 'holdfast'])
	const program = "const { retry } = await import('holdfast'); console.log(await retry(async () => 'ran'))"
	expect(await succeed(process.execPath, ['--input-type=module', '-e', program], place)).toBe('ran\n')
})

test('npx holdfast runs from the package: its help, its version, and a clear word where a database package is missing', async () => {
	const place = await consumer('command-line', [])
	const npx = (...words: string[]) =>
		runProgram('npx', ['--no-install', '--loglevel=error', 'holdfast', ...words], { cwd: place, timeLimitMs: limitMs })
	expect(await npx('--version')).toEqual({ code: 0, output: `${version}\n` })
	expect((await npx('--help')).output).toContain('Usage: holdfast')
	expect(await npx('explain', '40001')).toMatchObject({ code: 0, output: expect.stringContaining('serialization_failure') })
	const missing = { code: 3, output: 'holdfast: the package pg is needed and not installed here: npm install pg\n' }
	expect(await npx('doctor', 'postgres://user:s3cret@127.0.0.1/db')).toEqual(missing)
	expect(readFileSync(join(place, 'node_modules/holdfast/dist/cli/main.js'), 'utf8')).toMatch(/^#!\/usr\/bin\/env node\n/)
})

test('beside pg it compiles under strict rules, runs against a real PostgreSQL, and can be required from CommonJS', async () => {
	const place = await consumer('application', pinned('pg', '@types/pg', '@types/node', 'typescript'))
	copyFileSync(join(root, 'examples/pg.ts'), join(place, 'main.ts'))
	const compilerOptions = { target: 'es2022', module: 'nodenext', strict: true, exactOptionalPropertyTypes: true, types: ['node'] }
	writeFileSync(join(place, 'tsconfig.json'), JSON.stringify({ compilerOptions, include: ['main.ts'] }))
	await succeed(process.execPath, ['node_modules/typescript/bin/tsc'], place)
	await succeed(process.execPath, ['main.js'], place, await exampleEnvironment(server))

	const program = "console.log(typeof require('holdfast').retry, typeof require('holdfast/pg').holdfast)"
	expect(await succeed(process.execPath, ['--input-type=commonjs', '-e', program], place)).toContain('function function\n')
})
