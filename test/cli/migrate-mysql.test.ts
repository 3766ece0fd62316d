/** Does the command line run migrations on MySQL's protocol as well? On MariaDB, with a URL in the knexfile. */
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { type MysqlServer, startMysql } from '../support/mysql.ts'
import { until } from '../support/until.ts'
import { type Ended, startCli } from './run-cli.ts'

let server: MysqlServer
let folder: string

beforeAll(async () => {
	server = await startMysql({ flavour: 'mariadb' })
	folder = mkdtempSync(join(tmpdir(), 'holdfast-cli-'))
	mkdirSync(join(folder, 'migrations'))
	const { host, port, user, password, database } = server.config()
	const connection = JSON.stringify({ host, port, user, password, database })
	writeFileSync(join(folder, 'knexfile.cjs'), `module.exports = { client: 'mysql2', connection: ${connection} }`)
	const migration =
		"exports.up = (knex) => knex.schema.createTable('a', (t) => t.increments())\nexports.down = (knex) => knex.schema.dropTable('a')"
	writeFileSync(join(folder, 'migrations/001_a.cjs'), migration)
	writeFileSync(join(folder, 'migrations/002_b.cjs'), migration)
})
afterAll(async () => {
	rmSync(folder, { recursive: true, force: true })
	await server?.dispose()
})

const migrate = (...words: string[]): Promise<Ended> => startCli(['migrate', ...words], { cwd: folder }).ended()

test('migrations are applied, taken back and listed; one that fails gives 1; no connection stays', async () => {
	expect(await migrate('up')).toMatchObject({ code: 0, out: 'Batch 1: 1 migration applied.\n  001_a.cjs\n' })
	expect(await migrate()).toMatchObject({ code: 1, err: expect.stringMatching(/Table 'a' already exists/) })
	expect(await migrate('list')).toMatchObject({ code: 0, out: '1 applied\n  001_a.cjs\n1 pending\n  002_b.cjs\n' })
	expect(await migrate('rollback')).toMatchObject({ code: 0, out: 'Batch 1: 1 migration taken back.\n  001_a.cjs\n' })
	await until(async () => (await server.connections()).length === 0, { what: 'no connection to be left' })
})
