/** Are knex's migrations found and run from the command line, with knex's own configuration, and with exit codes for scripts? */
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { assertNoBackends } from '../support/leaks.ts'
import { type PostgresServer, startPostgres } from '../support/postgres.ts'
import { type FaultProxy, startProxy } from '../support/proxy.ts'
import { until } from '../support/until.ts'
import { type CliOptions, type Ended, startCli } from './run-cli.ts'

let server: PostgresServer
let proxy: FaultProxy
let database: string
let folder: string

beforeAll(async () => {
	server = await startPostgres()
	proxy = await startProxy({ target: server })
})
afterAll(async () => {
	await proxy?.close()
	await server?.dispose()
})
beforeEach(async () => {
	database = await server.createDatabase('migrate')
	folder = mkdtempSync(join(tmpdir(), 'holdfast-cli-'))
	write('package.json', '{ "type": "commonjs" }')
})
afterEach(async () => {
	rmSync(folder, { recursive: true, force: true })
	await until(() => proxy.openConnections === 0, { what: 'no connection to be left at the proxy' })
	await assertNoBackends(server)
})

function write(name: string, text: string): void {
	const path = join(folder, name)
	mkdirSync(dirname(path), { recursive: true })
	writeFileSync(path, text)
}
const table = (name: string) => `exports.up = (knex) => knex.schema.createTable('${name}', (t) => t.increments())
exports.down = (knex) => knex.schema.dropTable('${name}')`

const knexfile = "{ client: 'pg', connection: process.env.TEST_URL, migrations: { directory: './migrations' } }"
const urlThrough = () => server.url(database).replace(`:${server.port}/`, `:${proxy.port}/`)

const start = (words: readonly string[], options: CliOptions = {}) =>
	startCli(['migrate', ...words], { cwd: folder, ...options, env: { TEST_URL: urlThrough(), NODE_ENV: '', ...options.env } })
const migrate = (...words: string[]): Promise<Ended> => start(words).ended()
const tables = async () => {
	const rows = await server.query<{ name: string }>(
		"SELECT tablename AS name FROM pg_tables WHERE schemaname = 'public' AND tablename NOT LIKE 'knex%' ORDER BY 1",
		database,
	)
	return rows.map(({ name }) => name)
}

describe('the commands', () => {
	beforeEach(() => {
		write('knexfile.js', `module.exports = ${knexfile}`)
		write('migrations/001_a.js', table('a'))
		write('migrations/002_b.js', table('b'))
	})

	test('latest is the default; list, up, down and rollback do what they do in knex', async () => {
		expect(await migrate('list')).toMatchObject({ code: 0, out: '0 applied\n2 pending\n  001_a.js\n  002_b.js\n' })
		expect(await migrate('up')).toMatchObject({ code: 0, out: 'Batch 1: 1 migration applied.\n  001_a.js\n' })
		expect(await migrate()).toMatchObject({ code: 0, out: 'Batch 2: 1 migration applied.\n  002_b.js\n' })
		expect(await tables()).toEqual(['a', 'b'])
		expect(await migrate('latest')).toMatchObject({ code: 0, out: 'Nothing to do: every migration is applied.\n' })
		expect(await migrate('down', '001_a.js')).toMatchObject({
			code: 0,
			out: expect.stringContaining('1 migration taken back.\n  001_a.js\n'),
		})
		expect(await migrate('up', '001_a.js')).toMatchObject({ code: 0 })
		expect(await migrate('rollback', '--all', '--quiet')).toMatchObject({ code: 0, err: '' })
		expect(await tables()).toEqual([])
	}, 60_000)

	test('progress goes to stderr, and results to stdout', async () => {
		const { out, err } = await migrate()
		expect(err).toMatch(/batch 1: 2 migrations up\n001_a\.js \(1\/2\).*\n002_b\.js \(2\/2\)/)
		expect(out).toBe('Batch 1: 2 migrations applied.\n  001_a.js\n  002_b.js\n')
	})

	test('a migration that fails gives 1, its error without the values in it, and no stack unless asked for', async () => {
		write(
			'migrations/003_bad.js',
			'exports.up = (knex) => knex.raw("insert into a (id, nope) values (7, \'Zq9Kv7\')")\nexports.down = () => {}',
		)
		const plain = await migrate()
		expect(plain).toMatchObject({ code: 1, out: '', err: expect.stringMatching(/column "nope" of relation "a" does not exist \(42703\)/) })
		const asked = await migrate('--stack')
		expect(asked).toMatchObject({ code: 1, err: expect.stringMatching(/^\s+at /m) })
		expect(plain.err).not.toMatch(/^\s+at /m)
		expect(plain.err + asked.err).not.toContain('Zq9Kv7')
		expect(await tables()).toEqual(['a', 'b'])
	})

	test('it waits for a database that is not there yet', async () => {
		proxy.refuse()
		const running = start([])
		await running.said('waiting for the database')
		await proxy.accept()
		expect(await running.ended()).toMatchObject({ code: 0 })
		expect(await tables()).toEqual(['a', 'b'])
	})

	test('when the time is up before the database answers: 124', async () => {
		proxy.refuse()
		expect(await migrate('--timeout', '500ms')).toMatchObject({ code: 124, out: '', err: expect.stringContaining('is down') })
		await proxy.accept()
	})

	test('an unknown database gives the exit code of doctor', async () => {
		const env = { TEST_URL: urlThrough().replace(database, 'nowhere') }
		expect(await start([], { env }).ended()).toMatchObject({ code: 18, out: '', err: expect.stringContaining('"nowhere" does not exist') })
	})

	test('while others hold a lock it tells who they are, and a signal ends it', async () => {
		await migrate('up')
		write('migrations/002_b.js', "exports.up = (knex) => knex.schema.alterTable('a', (t) => t.text('note'))\nexports.down = () => {}")
		const holder = await holdTable()
		const running = start(['--lock-timeout', '50ms'])
		try {
			await running.said('no lock in try 2')
			running.child.kill('SIGTERM')
			expect(await running.ended()).toMatchObject({ code: 143, err: expect.stringContaining('pid') })
		} finally {
			await holder.release()
		}
	})

	test('one that cannot be rolled back and was interrupted is in doubt: 5, and --applied settles it', async () => {
		write('migrations/002_b.js', `exports.config = { transaction: false }\n${table('b')}`)
		const cut = proxy.intercept({
			from: 'client',
			match: ({ text }) => /create table "b"/i.test(text ?? ''),
			action: 'cut after',
		})
		const doubtful = await migrate()
		cut.remove()
		expect(doubtful).toMatchObject({ code: 5, err: expect.stringContaining('002_b.js (up) is in doubt') })
		expect(await migrate()).toMatchObject({ code: 5 })
		expect(await migrate('--applied', '002_b.js')).toMatchObject({ code: 0 })
		expect(await migrate('list')).toMatchObject({ out: '2 applied\n  001_a.js\n  002_b.js\n0 pending\n' })
	})

	test('ended by a signal while it is in doubt it tells that before anything else: 5', async () => {
		write(
			'migrations/002_b.js',
			'exports.config = { transaction: false }\nexports.up = (knex) => knex.raw("select pg_sleep(60), \'Zq9Kv7\'")\nexports.down = () => {}',
		)
		const running = start([])
		await until(
			async () => (await server.query("SELECT 1 FROM pg_stat_activity WHERE query LIKE 'select pg_sleep%'", database)).length === 1,
			{ what: 'the statement to run' },
		)
		running.child.kill('SIGINT')
		proxy.resetAll()
		await server.query("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE query LIKE 'select pg_sleep%'", database)
		const ended = await running.ended()
		expect(ended).toMatchObject({ code: 5, err: expect.stringContaining('002_b.js (up) is in doubt') })
		expect(ended.err).not.toContain('Zq9Kv7')
	})

	test('a lock that a plain knex has left is not freed: 6, and nothing is applied', async () => {
		await migrate('up')
		await server.query('UPDATE knex_migrations_lock SET is_locked = 1', database)
		expect(await migrate('--runner-timeout', '300ms')).toMatchObject({ code: 6, out: '', err: expect.stringContaining('migrate:unlock') })
		expect(await tables()).toEqual(['a'])
	})

	test('a statement in an error that is not of the server is shown without the values in it as well', async () => {
		write(
			'migrations/002_b.js',
			'exports.up = () => { throw new Error("insert into t values (\'Zq9Kv7\') - Connection terminated unexpectedly") }\nexports.down = () => {}',
		)
		expect(await migrate()).toMatchObject({
			code: 1,
			err: expect.stringContaining('insert into t values (?) - Connection terminated unexpectedly'),
		})
	})
})

async function holdTable(): Promise<{ release(): Promise<void> }> {
	const { default: pg } = await import('pg')
	const client = new pg.Client({ ...server.config(database), application_name: 'holder' })
	client.on('error', () => {})
	await client.connect()
	await client.query('BEGIN; SELECT * FROM a')
	return { release: () => client.end() }
}

describe('the knexfile', () => {
	beforeEach(() => write('migrations/001_a.js', table('a')))

	test.each([
		['knexfile.js', `module.exports = ${knexfile}`],
		['knexfile.cjs', `module.exports = { development: ${knexfile} }`],
		['knexfile.mjs', `export default ${knexfile}`],
		['knexfile.mjs', `export const development = ${knexfile}`],
		['knexfile.ts', `const config: object = ${knexfile}\nexport default async () => config`],
	])('%s: %s', async (name, text) => {
		write(name, text)
		expect(await migrate('list')).toMatchObject({ code: 0, err: '', out: '0 applied\n1 pending\n  001_a.js\n' })
	})

	test('it is found above, named by --knexfile, and read from the folder that --cwd names, as with knex', async () => {
		write('knexfile.js', `module.exports = ${knexfile}`)
		write('config/db.js', `module.exports = { ...${knexfile}, migrations: { directory: '../migrations' } }`)
		mkdirSync(join(folder, 'deep'))
		const found = { code: 0, out: expect.stringContaining('001_a.js') }
		expect(await start(['list', '--migrations-directory', '../migrations'], { cwd: join(folder, 'deep') }).ended()).toMatchObject(found)
		expect(await migrate('list', '--knexfile', 'config/db.js')).toMatchObject(found)
		expect(await start(['list', '--cwd', folder], { cwd: tmpdir() }).ended()).toMatchObject(found)
	})

	test('the environment is --env, else NODE_ENV, else development', async () => {
		write('knexfile.js', `module.exports = { production: ${knexfile} }`)
		expect(await migrate('list', '--env', 'production')).toMatchObject({ code: 0 })
		expect(await start(['list'], { env: { NODE_ENV: 'production' } }).ended()).toMatchObject({ code: 0 })
		expect(await migrate('list')).toMatchObject({
			code: 2,
			err: expect.stringContaining('says nothing of the environment development; it has production'),
		})
	})

	test.each<[string, string | undefined, string[], RegExp]>([
		['none', undefined, [], /no knexfile \(js, mjs, cjs, ts, mts, cts\) in .* or above it/],
		['one that is named and not there', undefined, ['--knexfile', 'no.js'], /there is no file .*no\.js/],
		['one that throws', "throw new Error('not today')", [], /knexfile\.js cannot be read: not today/],
		['one that exports nothing of use', 'module.exports = 5', [], /must export an object/],
		['one without client', 'module.exports = { connection: {} }', [], /knex cannot be made from the knexfile: .*client/],
		[
			'one for another database',
			"module.exports = { client: 'better-sqlite3', connection: {} }",
			[],
			/knex cannot be made|must be made for pg or mysql2/,
		],
		['a folder that is not there', undefined, ['--cwd', 'nowhere'], /--cwd must be a folder/],
		['a name with latest', undefined, ['latest', '001_a.js'], /a name goes with up and down/],
		['an unknown command', undefined, ['sideways'], /Allowed choices are latest, up, down, rollback, list/],
	])('%s is a mistake that is told without a stack', async (_what, text, words, message) => {
		if (text !== undefined) write('knexfile.js', text)
		const { code, out, err } = await migrate(...words)
		expect(err).toMatch(message)
		expect(err).not.toMatch(/^\s+at /m)
		expect(out).toBe('')
		expect([2, 3]).toContain(code)
	})

	test('its passwords are never shown, whatever form the connection has', async () => {
		const forms = [
			`{ host: '127.0.0.1', port: ${proxy.port}, user: 'no_one', password: 'Zq9Kv7', database: 'Zq9Kv7x' }`,
			`'postgres://no_one:Zq9%2FKv7@127.0.0.1:${proxy.port}/postgres'`,
			`{ connectionString: 'postgres://no_one:Zq9Kv7@127.0.0.1:${proxy.port}/postgres' }`,
			`{ get host() { throw new Error('postgres://no_one:Zq9Kv7@h') } }`,
		]
		for (const form of forms) {
			write('knexfile.js', `module.exports = { client: 'pg', connection: ${form} }`)
			const { code, out, err } = await migrate('--timeout', '2s')
			expect(code).not.toBe(0)
			expect((out + err).replaceAll('Zq9Kv7x', '')).not.toMatch(/Zq9.?Kv7/)
		}
	})
})
