/** Does the runner keep its promises on MySQL and MariaDB, whose DDL commits by itself? */
import type { Knex } from 'knex'
import mysql from 'mysql2/promise'
import { describe, expect, test } from 'vitest'
import { onMigrationStage, writes } from '../migrations/on-stage.ts'
import { errorOf } from '../migrations/stage.ts'
import { flavours, type MysqlServer } from '../support/mysql.ts'
import { until } from '../support/until.ts'

describe.each(flavours)('%s', (flavour) => {
	const at = onMigrationStage(flavour)

	const tables = async () => (await at.ask('SHOW TABLES')).length
	const other = async () => mysql.createConnection((at.server as MysqlServer).config(at.database))

	test('applies, lists, takes back, and leaves no lock', async () => {
		const knex = at.knex({
			a: writes('a'),
			b: { up: (db) => db.schema.createTable('made', (table) => void table.increments()) },
			c: writes('c'),
		})
		expect(await at.migrate(knex)).toEqual([1, ['a', 'b', 'c']])
		expect(await at.written()).toEqual(['a', 'c'])
		expect(await at.migrate(knex, { command: 'list' })).toEqual([[{ name: 'a' }, { name: 'b' }, { name: 'c' }], []])
		expect(await at.migrate(knex, { command: 'down' })).toEqual([1, ['c']])
		expect(await at.written()).toEqual(['a'])
		expect(await at.lock()).toEqual([0])
	})

	test('two runners: one works, the other waits and finds nothing to do', async () => {
		const migrations = { a: writes('a'), b: writes('b') }
		await Promise.all([at.migrate(at.knex(migrations)), at.migrate(at.knex(migrations))])
		expect(await at.written()).toEqual(['a', 'b'])
		expect(await at.recorded()).toEqual(['a', 'b'])
	})

	test('a lock that a dead runner has left is taken over; one of plain knex is reported, with who is connected', async () => {
		await at.migrate(at.knex({}))
		await at.ask('UPDATE knex_migrations_lock SET is_locked = 2')
		expect(await at.migrate(at.knex({ a: writes('a') }))).toEqual([1, ['a']])
		expect(at.events).toContainEqual(expect.objectContaining({ type: 'lock freed' }))
		await at.ask('UPDATE knex_migrations_lock SET is_locked = 1')
		const bystander = await other()
		try {
			const error = await errorOf(at.migrate(at.knex({ a: writes('a'), b: writes('b') }), { runnerDeadlineMs: 200 }))
			expect(error).toMatchObject({ code: 'HOLDFAST_MIGRATIONS_LOCKED' })
			expect(error.message).toContain(`connection ${bystander.threadId} (`)
			expect(await at.lock()).toEqual([1])
		} finally {
			await bystander.end()
		}
	})

	test('data only: the answer to COMMIT is lost, and the record tells that it was applied', async () => {
		await at.migrate(at.knex({}))
		const lost = at.proxy.intercept({ from: 'client', match: ({ text }) => text === 'COMMIT;', action: 'cut after' })
		expect(await at.migrate(at.knex({ a: writes('a') }))).toEqual([1, ['a']])
		expect(lost.hits).toBe(1)
		expect(await at.written()).toEqual(['a'])
	})

	test('data only: the server is killed in its middle, and it is run again', async () => {
		let runs = 0
		const knex = at.knex({
			a: {
				async up(trx) {
					await trx('written').insert({ name: `run ${++runs}` })
					if (runs > 1) return
					await at.server.kill()
					await at.server.start()
				},
			},
		})
		expect(await at.migrate(knex)).toEqual([1, ['a']])
		expect(await at.written()).toEqual(['run 2'])
		expect(await at.lock()).toEqual([0])
	})

	test('the connection is lost while DDL runs: in doubt, never run again, and the next run asks', async () => {
		let runs = 0
		const a = {
			async up(knex: Knex) {
				runs += 1
				await knex.schema.createTable('one', (table) => void table.increments())
				await knex.schema.createTable('two', (table) => void table.increments())
			},
		}
		at.proxy.intercept({ from: 'client', match: ({ text }) => (text ?? '').includes('create table `two`'), action: 'cut after' })
		const error = await errorOf(at.migrate(at.knex({ a })))
		expect(error).toMatchObject({
			name: 'MigrationInDoubtError',
			migration: 'a',
			confirmed: [expect.stringContaining('create table `one`')],
			inFlight: expect.stringContaining('create table `two`'),
		})
		expect(await errorOf(at.migrate(at.knex({ a })))).toMatchObject({ name: 'MigrationInDoubtError', migration: 'a' })
		expect(runs).toBe(1)
		expect(await at.migrate(at.knex({ a }), { resolved: { a: 'applied' } })).toEqual([1, []])
		expect(await at.recorded()).toEqual(['a'])
		expect(await at.lock()).toEqual([0])
	})

	test('all of its DDL was confirmed and only the record was lost: the record is written, nothing is run again', async () => {
		let runs = 0
		const a = {
			async up(knex: Knex) {
				runs += 1
				await knex.schema.createTable('one', (table) => void table.increments())
			},
		}
		await at.migrate(at.knex({}))
		at.proxy.intercept({
			from: 'client',
			match: ({ text }) => (text ?? '').startsWith('insert into `knex_migrations`'),
			action: 'cut before',
		})
		expect(await at.migrate(at.knex({ a }))).toEqual([1, ['a']])
		expect(runs).toBe(1)
		expect(await at.recorded()).toEqual(['a'])
	})

	test('a statement that the server refuses after DDL: its own error, and the next run does not begin anew blindly', async () => {
		const a = {
			async up(knex: Knex) {
				await knex.schema.createTable('one', (table) => void table.increments())
				await knex.raw('select * from nothing_of_that_name')
			},
		}
		expect(await errorOf(at.migrate(at.knex({ a })))).toMatchObject({ code: 'ER_NO_SUCH_TABLE' })
		expect(await errorOf(at.migrate(at.knex({ a })))).toMatchObject({ name: 'MigrationInDoubtError' })
		await at.ask('DROP TABLE one')
		const mended = { up: (knex: Knex) => knex.schema.createTable('one', (table) => void table.increments()) }
		expect(await at.migrate(at.knex({ a: mended }), { resolved: { a: 'not applied' } })).toEqual([1, ['a']])
		expect(await tables()).toBe(4)
	})

	test('a statement that the server cannot read has left nothing: the migration may simply be run again', async () => {
		let runs = 0
		const a = {
			async up(knex: Knex) {
				await knex('written').insert({ name: 'a' })
				if (++runs === 1) await knex.raw('altre table written add n int')
			},
		}
		expect(await errorOf(at.migrate(at.knex({ a })))).toMatchObject({ code: 'ER_PARSE_ERROR' })
		expect(await at.migrate(at.knex({ a }))).toEqual([1, ['a']])
		expect(await at.written()).toEqual(['a'])
	})

	test('DDL that fails has committed what came before it: that is told, and the next run does not begin anew blindly', async () => {
		const a = {
			async up(knex: Knex) {
				await knex('written').insert({ name: 'a' })
				await knex.raw('alter table nothing_of_that_name add n int')
			},
		}
		expect(await errorOf(at.migrate(at.knex({ a })))).toMatchObject({ code: 'ER_NO_SUCH_TABLE' })
		expect(await at.written()).toEqual(['a'])
		expect(at.events).toContainEqual(expect.objectContaining({ type: 'failed', applied: [expect.stringContaining('insert into')] }))
		expect(await errorOf(at.migrate(at.knex({ a })))).toMatchObject({ name: 'MigrationInDoubtError' })
		expect(await at.written()).toEqual(['a'])
	})

	test.each([
		["SET @a = 1; INSERT INTO written VALUES ('a'); CREATE TABLE made (n int)", true],
		["INSERT INTO written VALUES ('a'); ALTER TABLE written ADD n int", true],
		["SET @a = 1; INSERT INTO written VALUES ('a')", false],
		["START TRANSACTION; INSERT INTO written VALUES ('a'); COMMIT", false],
	])('several statements in one text are applied once, also where the connection is lost after them: %s', async (text, transaction) => {
		const a = {
			config: { transaction },
			async up(knex: Knex) {
				await knex.raw(text)
				at.proxy.resetAll()
				await knex('written').select('name')
			},
		}
		const { host, port } = at.proxy
		const knex = at.knex({ a }, { connection: { ...at.server.config(at.database), host, port, multipleStatements: true } })
		await errorOf(at.migrate(knex))
		expect(await errorOf(at.migrate(knex))).toMatchObject({ name: 'MigrationInDoubtError' })
		expect(await at.written()).toEqual(['a'])
		expect(await at.recorded()).toEqual([])
	})

	test('DDL that cannot have its lock is tried again by itself, and fails with those in the way named', async () => {
		const holder = await other()
		try {
			await holder.query("INSERT INTO written VALUES ('x')")
			await holder.query('BEGIN')
			await holder.query("SELECT * FROM written WHERE name <> 'a secret'")
			const a = { up: (knex: Knex) => knex.schema.alterTable('written', (table) => void table.integer('n')) }
			const error = await errorOf(at.migrate(at.knex({ a }), { attempts: 2 }))
			expect(error).toMatchObject({ name: 'MigrationBlockedError', tries: 2, cause: { errno: 1205 } })
			expect(error).toMatchObject({ blockers: [{ pid: holder.threadId }] })
			expect(error.message).not.toContain('secret')
			expect(await at.lock()).toEqual([0])

			const run = at.migrate(at.knex({ a }))
			const before = at.events.length
			await until(() => at.events.slice(before).some(({ type }) => type === 'blocked'), { what: 'the migration to be blocked' })
			await holder.query('COMMIT')
			expect(await run).toEqual([1, ['a']])
		} finally {
			await holder.end()
		}
	})

	test.each(['tells of', 'swallows'])('data only: the victim of a deadlock is run again, also where it %s the error', async (does) => {
		await at.ask("INSERT INTO written VALUES ('one'), ('two')")
		await at.ask('ALTER TABLE written ADD PRIMARY KEY (name)')
		const holder = await other()
		try {
			// The server ends the transaction that has changed less: ours.
			await holder.query('BEGIN')
			await holder.query(`INSERT INTO written VALUES ${Array.from({ length: 50 }, (_, row) => `('x${row}')`).join(', ')}`)
			await holder.query("DELETE FROM written WHERE name = 'two'")
			let runs = 0
			let release: Promise<unknown> = Promise.resolve()
			const knex = at.knex({
				a: {
					async up(trx) {
						runs += 1
						await trx('written').where({ name: 'one' }).update({ name: 'ours' })
						if (runs === 1) {
							release = holder.query("DELETE FROM written WHERE name = 'one'").then(() => holder.query('ROLLBACK'))
							await until(async () => (await at.ask(waiting)).length === 1, {
								what: 'the other transaction to wait',
								// InnoDB renews this table only when nobody has read it for 100 ms.
								everyMs: 120,
							})
						}
						const deleted = trx('written').where({ name: 'two' }).del()
						await (does === 'swallows' ? Promise.allSettled([deleted]) : deleted)
					},
				},
			})
			const waiting = "SELECT 1 FROM information_schema.INNODB_TRX WHERE trx_state = 'LOCK WAIT'"
			expect(await at.migrate(knex)).toEqual([1, ['a']])
			await release
			expect(runs).toBe(2)
			expect(at.events).toContainEqual(expect.objectContaining({ type: 'retry', fault: expect.objectContaining({ kind: 'deadlock' }) }))
			expect(await at.written()).toEqual(['ours'])
		} finally {
			await holder.end()
		}
	})

	test('a session that lives on without its client is ended, and its migration is run again', async () => {
		let runs = 0
		const knex = at.knex({
			a: {
				async up(trx) {
					await trx('written').insert({ name: `run ${++runs}` })
					if (runs === 1) await trx.raw('select sleep(60)')
				},
			},
		})
		const run = at.migrate(knex)
		const asleep = "SELECT ID FROM information_schema.PROCESSLIST WHERE INFO = 'select sleep(60)'"
		await until(async () => (await at.ask(asleep)).length === 1, { what: 'the migration to sleep' })
		at.proxy.resetAll()
		expect(await run).toEqual([1, ['a']])
		expect(await at.written()).toEqual(['run 2'])
		expect(await at.ask(asleep)).toEqual([])
	})
})
