/**
 * Do mysql2's own tests of pools and clusters give the same result wrapped as bare? `npx tsx scripts/peer-tests-mysql2.ts CHECKOUT [mysql|mariadb]`
 *
 * CHECKOUT is a clone of github.com/sidorares/node-mysql2 in which `npm install --ignore-scripts` was run: its tests are not in its package,
 * and nothing is fetched here. Exits with 1 where a test that passes bare fails wrapped and no reason is known.
 */
import { spawn } from 'node:child_process'
import { readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join, relative, resolve } from 'node:path'
import { pathToFileURL } from 'node:url'
import { type Flavour, startMysql } from '../test/support/mysql.ts'

const limitMs = 40_000

/** Why a file fails wrapped that passes bare: what it asks for is what the wrapper is there to change. */
const known: Readonly<Record<string, string>> = {
	'test-pool-getconnection-contract':
		'it asks that the method of the pool is that of its class; wrapping replaces it in place (decision 3)',
	'test-pool-end': "it looks into mysql2's own queue, whose callers wait in Holdfast's",
	'test-pool-connect-error': 'it expects that a full server (1040) fails a call at once; a place is waited for, up to deadlineMs',
	'test-aurora-failover-readonly':
		'it expects that a write which a read-only server refuses fails at once; it is run again where one takes it',
	'test-connection-error-remove': 'it expects that a node is removed after errors; it is passed over until it is back',
	'test-restore': 'the same: there is nothing to restore',
	'test-restore-events': 'the same: `offline` and `online` come by the state of the server',
}

/** Loaded before each test: pools and clusters are wrapped as they are made. */
const preload = (checkout: string) => `
import { createRequire } from 'node:module'
import { holdfast } from ${JSON.stringify(pathToFileURL(resolve(import.meta.dirname, '../dist/drivers/mysql2/index.js')).href)}
const require = createRequire(${JSON.stringify(join(checkout, 'index.js'))})
for (const file of ['./index.js', './promise.js']) {
	const driver = require(file)
	for (const name of ['createPool', 'createPoolCluster']) {
		const make = driver[name]
		driver[name] = (...given) => holdfast(make(...given))
	}
}
`

/** The tests that make a pool or a cluster. */
function testsOf(checkout: string): string[] {
	return ['test/integration', 'test/unit']
		.flatMap((folder) =>
			readdirSync(join(checkout, folder), { recursive: true, encoding: 'utf8' }).map((name) => join(checkout, folder, name)),
		)
		.filter((file) => file.endsWith('.test.mts') && /createPool/.test(readFileSync(file, 'utf8')))
		.sort()
}

/** Whether the file passes; the end of what it says where it does not. */
function passes(checkout: string, file: string, env: NodeJS.ProcessEnv, wrapper: string | undefined): Promise<true | string> {
	const imports = ['tsx', ...(wrapper === undefined ? [] : [pathToFileURL(wrapper).href])].flatMap((name) => ['--import', name])
	const child = spawn(process.execPath, [...imports, file], { cwd: checkout, env, timeout: limitMs, killSignal: 'SIGKILL' })
	let said = ''
	for (const stream of [child.stdout, child.stderr]) stream.on('data', (part) => (said += part))
	return new Promise((done) => child.once('close', (code) => done(code === 0 ? true : said.slice(-2_000) || `ended after ${limitMs} ms`)))
}

const [given, flavour = 'mysql'] = process.argv.slice(2)
if (given === undefined || !['mysql', 'mariadb'].includes(flavour)) {
	console.error('npx tsx scripts/peer-tests-mysql2.ts CHECKOUT [mysql|mariadb]')
	process.exit(2)
}
const checkout = resolve(given)
const server = await startMysql({ flavour: flavour as Flavour })
const folder = await mkdtemp(join(tmpdir(), 'holdfast-peer-'))
try {
	const wrapper = join(folder, 'wrap.mjs')
	writeFileSync(wrapper, preload(checkout))
	const { host, port, user, password } = server.adminConfig()
	await server.query('CREATE DATABASE IF NOT EXISTS test')
	const env = { ...process.env, CI: '1', MYSQL_HOST: host, MYSQL_PORT: String(port), MYSQL_USER: user, MYSQL_PASSWORD: password ?? '' }
	const files = testsOf(checkout)
	const counts = { bare: 0, wrapped: 0 }
	let unexplained = 0
	for (const file of files) {
		const bare = await passes(checkout, file, env, undefined)
		const wrapped = await passes(checkout, file, env, wrapper)
		if (bare === true) counts.bare += 1
		if (wrapped === true) counts.wrapped += 1
		if ((bare === true) === (wrapped === true)) continue
		const name = file.replace(/^.*\/|\.test\.mts$/g, '')
		const why = wrapped === true ? 'passes wrapped only' : known[name]
		if (why === undefined) unexplained += 1
		console.log(`${relative(checkout, file)}: ${why ?? `NO REASON KNOWN\n${wrapped}`}`)
	}
	console.log(
		`${flavour} ${server.version}: ${files.length} files; passed bare ${counts.bare}, wrapped ${counts.wrapped}; unexplained ${unexplained}`,
	)
	if (unexplained > 0) process.exitCode = 1
} finally {
	await rm(folder, { recursive: true, force: true })
	await server.dispose()
}
