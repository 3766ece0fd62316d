/** Does the repository keep its shape? Tiers, direction of imports, sizes and names. */
import { basename, posix } from 'node:path'
import { expect, test } from 'vitest'
import { type Module, readModule, readModules, repositoryFiles } from './modules.ts'

// An import may point to a lower tier, or to a file of its own folder and tier. `drivers/` is outside: see the test on drivers.
const tiers: readonly { readonly what: string; readonly paths: readonly string[] }[] = [
	{
		what: 'vocabulary',
		paths: [
			'src/clock.ts',
			'src/fault.ts',
			'src/errors.ts',
			'src/report.ts',
			'src/options.ts',
			'src/contract.ts',
			'src/commit-ledger.ts',
			'src/forwarding-source.ts',
			'src/stack.ts',
			// How errors wrap one another.
			'src/classify/read.ts',
			'src/classify/unwrap.ts',
		],
	},
	{ what: 'pure decisions', paths: ['src/classify/', 'src/retry/', 'src/sql/', 'src/decide.ts'] },
	{ what: 'what a new connection must get', paths: ['src/session/'] },
	{ what: 'shared state', paths: ['src/outage/'] },
	{ what: 'which of several servers', paths: ['src/hosts/'] },
	{ what: 'which links are dead', paths: ['src/liveness/'] },
	{ what: 'turns of transactions', paths: ['src/conflict/'] },
	{
		what: 'a call, and the pool it goes through',
		paths: ['src/call.ts', 'src/policy.ts', 'src/pool.ts', 'src/pool-options.ts', 'src/statement-options.ts', 'src/stats.ts'],
	},
	{ what: 'units of work', paths: ['src/transaction/'] },
	{ what: 'the doors: for users, for drivers and for the command line', paths: ['src/index.ts', 'src/driver.ts', 'src/knowledge.ts'] },
]

// knex stands on the drivers' own packages: what its pool needs is what the wrappers of those pools do.
const wrappersBelow: Readonly<Record<string, readonly string[]>> = { 'drivers/knex': ['drivers/pg/', 'drivers/mysql2/'] }

const bannedNames = /^(utils?|helpers?|common|manager|misc|base|shared|stuff)$/i
const longestFile = 300

const timersAndChance = [
	...['setTimeout', 'setInterval', 'setImmediate', 'clearTimeout', 'clearInterval', 'clearImmediate'],
	...['performance', 'Date', 'Math.random', 'process.hrtime', 'AbortSignal.timeout'],
]
const timerModules = ['node:timers', 'timers', 'node:timers/promises', 'timers/promises', 'node:perf_hooks', 'perf_hooks']

const core = readModules('src')
const wrappers = readModules('drivers')
const commandLine = readModules('cli')
const ours = [...core, ...wrappers, ...commandLine]

const tierOf = (path: string) =>
	tiers.findIndex(({ paths }) => paths.some((place) => path === place || (place.endsWith('/') && path.startsWith(place))))
const isRelative = (specifier: string) => /^(src|drivers|cli|test|bench|examples|scripts)\//.test(specifier)

function wrongImports({ path, imports }: Module): string[] {
	return imports.flatMap((target) => {
		if (target.startsWith('node:')) return []
		if (!isRelative(target)) return [`${path} imports the package ${target}`]
		if (!target.endsWith('.ts')) return [`${path} imports ${target} without its extension`]
		if (!target.startsWith('src/')) return [`${path} imports ${target}, which is outside src`]
		const sameFolder = posix.dirname(path) === posix.dirname(target) && tierOf(path) === tierOf(target)
		return tierOf(target) < tierOf(path) || sameFolder ? [] : [`${path} (tier ${tierOf(path)}) imports ${target} (tier ${tierOf(target)})`]
	})
}

function wrongDriverImports({ path, imports }: Module): string[] {
	const folder = path.split('/').slice(0, 2).join('/')
	const product = basename(folder)
	return imports
		.filter((target) => !target.startsWith('node:') && target !== product && !target.startsWith(`${product}/`))
		.filter((target) => target !== 'src/index.ts' && target !== 'src/driver.ts' && !target.startsWith(`${folder}/`))
		.filter((target) => !wrappersBelow[folder]?.some((below) => target.startsWith(below)))
		.map((target) => `${path} imports ${target}`)
}

// What the command line may import beside its own files. Database packages it loads when they are needed, and takes only types from them.
const doorsOfCli = ['src/index.ts', 'src/knowledge.ts', 'commander']
const driversOfCli = /^drivers\/(\w+\/index|pg\/xact|knex\/migrate\/\w+)\.ts$/

function wrongCliImports({ path, text, imports }: Module): string[] {
	return imports
		.filter((target) => !target.startsWith('node:') && !target.startsWith('cli/') && !doorsOfCli.includes(target))
		.filter((target) => !driversOfCli.test(target) && !new RegExp(`import type .* from '${target}'`).test(text))
		.map((target) => `${path} imports ${target}`)
}

function wrongTouches({ path, touches, imports }: Module): string[] {
	if (path === 'src/clock.ts') return []
	return [...timersAndChance.filter((name) => touches.has(name)), ...timerModules.filter((name) => imports.includes(name))].map(
		(name) => `${path} uses ${name}`,
	)
}

function findCycle(modules: readonly Module[]): string[] | undefined {
	const importsOf = new Map(modules.map(({ path, imports }) => [path, imports]))
	const done = new Set<string>()
	const follow = (path: string, way: readonly string[]): string[] | undefined => {
		if (way.includes(path)) return [...way.slice(way.indexOf(path)), path]
		if (done.has(path)) return undefined
		for (const target of importsOf.get(path) ?? []) {
			const cycle = follow(target, [...way, path])
			if (cycle) return cycle
		}
		done.add(path)
		return undefined
	}
	for (const { path } of modules) {
		const cycle = follow(path, [])
		if (cycle) return cycle
	}
	return undefined
}

test('every file of the core has a tier', () => {
	expect(core.map(({ path }) => path).filter((path) => tierOf(path) < 0)).toEqual([])
})

test('imports in the core point to a lower tier, and to no package', () => {
	expect(core.flatMap(wrongImports)).toEqual([])
})

test('a driver imports src/index.ts, src/driver.ts, its own folder, its own package and the wrappers below it, nothing else', () => {
	expect(wrappers.flatMap(wrongDriverImports)).toEqual([])
})

test('the command line imports the doors of the core, the drivers, its parser, and no database package at run time', () => {
	expect(commandLine.flatMap(wrongCliImports)).toEqual([])
})

test('nothing but the command line needs its parser', () => {
	expect(
		[...core, ...wrappers].filter(({ imports }) => imports.some((target) => target === 'commander' || target.startsWith('cli/'))),
	).toEqual([])
})

test('no import leads back to where it came from', () => {
	expect(findCycle(ours)).toBeUndefined()
})

test('only src/clock.ts touches timers, time and chance', () => {
	expect(ours.flatMap(wrongTouches)).toEqual([])
})

test(`no file of src, drivers or cli is longer than ${longestFile} lines`, () => {
	const tooLong = ours.map(({ path, text }) => ({ path, lines: text.split('\n').length - 1 })).filter(({ lines }) => lines > longestFile)
	expect(tooLong).toEqual([])
})

test('the first line of every file of src, drivers and cli says which question the file answers', () => {
	// Only the line that makes a file a program goes before it.
	expect(ours.filter(({ text }) => !/^(#!.*\n)?\/\*\* \S/.test(text)).map(({ path }) => path)).toEqual([])
})

test('no file or folder has a name that says nothing', () => {
	const names = repositoryFiles().flatMap((path) => path.split('/').map((part) => ({ path, part: part.split('.')[0] ?? '' })))
	expect(names.filter(({ part }) => bannedNames.test(part)).map(({ path }) => path)).toEqual([])
})

test('these checks see what they forbid', () => {
	const sample = (path: string, text: string) => readModule(path, text)
	expect(wrongImports(sample('src/retry/x.ts', "import type { A } from '../outage/gate.ts'"))).toHaveLength(1)
	expect(wrongImports(sample('src/retry/x.ts', "export * from '../classify/table.ts'"))).toHaveLength(1)
	expect(wrongImports(sample('src/outage/x.ts', "import pg from 'pg'\ntype B = import('../index.ts').B"))).toHaveLength(2)
	expect(wrongImports(sample('src/outage/x.ts', "const pg = require('pg')\nawait import('../../drivers/pg/index.ts')"))).toHaveLength(2)
	expect(
		wrongDriverImports(sample('drivers/pg/x.ts', "import '../knex/index.ts'\nimport '../../src/retry/stop.ts'\nimport 'knex'")),
	).toHaveLength(3)
	expect(wrongDriverImports(sample('drivers/pg/x.ts', "import pg from 'pg'\nimport '../../src/index.ts'\nimport './y.ts'"))).toEqual([])
	expect(wrongCliImports(sample('cli/x.ts', "import pg from 'pg'\nimport '../src/pool.ts'\nimport '../drivers/pg/loan.ts'"))).toHaveLength(
		3,
	)
	expect(wrongCliImports(sample('cli/x.ts', "import type pg from 'pg'\nimport '../src/index.ts'\nimport './y.ts'"))).toEqual([])
	const touching = 'setTimeout(f, 1); Date.now(); globalThis.performance.now(); Math.random(); AbortSignal.timeout(1)'
	expect(wrongTouches(sample('src/run.ts', touching))).toHaveLength(5)
	expect(
		wrongTouches(sample('src/run.ts', "// Date.now()\nconst a = { setTimeout: 'Math.random' }; clock.setTimeout(a); let b: Date")),
	).toEqual([])
	const ring = [sample('src/a.ts', "import './b.ts'"), sample('src/b.ts', "import './c.ts'"), sample('src/c.ts', "import './b.ts'")]
	expect(findCycle(ring)).toEqual(['src/b.ts', 'src/c.ts', 'src/b.ts'])
})
