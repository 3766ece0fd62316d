/** A migration that cannot be rolled back is interrupted: is it never run again blindly, and is it said which one and how to check? */
import { InDoubtError } from 'holdfast'
import { MigrationInDoubtError } from 'holdfast/knex'
import type { Knex } from 'knex'
import { beforeEach, expect, test } from 'vitest'
import { onMigrationStage, outside } from '../migrations/on-stage.ts'
import { errorOf } from '../migrations/stage.ts'
import { until } from '../support/until.ts'

const at = onMigrationStage('postgres')
beforeEach(() => at.ask("INSERT INTO written VALUES ('double'), ('double')"))

const rows = async (name: string) => (await at.ask(`SELECT 1 FROM written WHERE name = '${name}'`)).length

test('the connection is lost while its statement runs: it says what was confirmed and what was not, and the next run asks', async () => {
	let runs = 0
	const a = {
		...outside,
		async up(knex: Knex) {
			runs += 1
			await knex('written').insert({ name: 'first' })
			await knex('written').where({ name: 'first' }).update({ name: 'second' })
		},
	}
	const lost = at.proxy.intercept({ from: 'client', match: ({ text }) => (text ?? '').startsWith('update "written"'), action: 'cut after' })
	const error = await errorOf(at.migrate(at.knex({ a })))
	expect(lost.hits).toBe(1)
	expect(error).toBeInstanceOf(InDoubtError)
	expect(error).toBeInstanceOf(MigrationInDoubtError)
	expect(error).toMatchObject({
		code: 'HOLDFAST_IN_DOUBT',
		migration: 'a',
		confirmed: ['insert into "written" ("name") values ($1)'],
		inFlight: 'update "written" set "name" = $1 where "name" = $2',
	})
	expect(error.message).toMatch(/Migration a \(up\) is in doubt.*Sent, and not answered: update "written".*resolved/)
	expect(error.message).not.toMatch(/first|second/)
	expect(await at.recorded()).toEqual([])

	const again = await errorOf(at.migrate(at.knex({ a })))
	expect(again).toMatchObject({ code: 'HOLDFAST_IN_DOUBT', migration: 'a' })
	expect(runs).toBe(1)

	expect(await at.migrate(at.knex({ a }), { resolved: { a: 'applied' } })).toEqual([1, []])
	expect(runs).toBe(1)
	expect(await at.recorded()).toEqual(['a'])
	expect(await at.lock()).toEqual([0])
})

test("resolved: 'not applied' lets it run again", async () => {
	let runs = 0
	const a = {
		...outside,
		async up(knex: Knex) {
			runs += 1
			if (runs === 1) at.proxy.resetAll()
			await knex('written').insert({ name: 'a' })
		},
	}
	at.proxy.intercept({ from: 'client', match: ({ text }) => (text ?? '').startsWith('insert into "written"'), action: 'cut before' })
	expect(await errorOf(at.migrate(at.knex({ a })))).toMatchObject({ code: 'HOLDFAST_IN_DOUBT' })
	expect(await at.migrate(at.knex({ a }), { resolved: { a: 'not applied' } })).toEqual([1, ['a']])
	expect(await rows('a')).toBe(1)
	expect(await at.lock()).toEqual([0])
})

test('a connection that is lost before anything of it was sent is no doubt: it is run again', async () => {
	let runs = 0
	let back: Promise<void> | undefined
	const a = {
		...outside,
		async up(knex: Knex) {
			runs += 1
			if (runs === 1) {
				await at.proxy.rejectConnections()
				at.proxy.resetCounters()
				back = until(() => at.proxy.attempts >= 3, { what: 'the server to be asked again and again' }).then(() => at.proxy.accept())
			}
			await knex('written').insert({ name: 'a' })
		},
	}
	expect(await at.migrate(at.knex({ a }))).toEqual([1, ['a']])
	await back
	expect(await rows('a')).toBe(1)
})

test('all of it is in force and only its record was lost: the record is written, the migration is not run again', async () => {
	let runs = 0
	const a = {
		...outside,
		async up(knex: Knex) {
			runs += 1
			await knex('written').insert({ name: 'a' })
			at.proxy.resetAll()
		},
	}
	expect(await at.migrate(at.knex({ a }))).toEqual([1, ['a']])
	expect(runs).toBe(1)
	expect(await at.recorded()).toEqual(['a'])
	expect(await rows('a')).toBe(1)
})

test('a build that fails for its data gives its own error, and the invalid index that it leaves is named by the next run', async () => {
	const a = { ...outside, up: (knex: Knex) => knex.raw('CREATE UNIQUE INDEX CONCURRENTLY written_name ON written (name)') }
	expect(await errorOf(at.migrate(at.knex({ a })))).toMatchObject({ code: '23505' })
	expect(at.events).toContainEqual({ type: 'failed', name: 'a', applied: [], invalidIndexes: ['public.written_name'] })
	const error = await errorOf(at.migrate(at.knex({ a })))
	expect(error).toMatchObject({ code: 'HOLDFAST_IN_DOUBT', invalidIndexes: ['public.written_name'] })
	expect(error.message).toContain('DROP INDEX CONCURRENTLY public.written_name')
	await at.ask("DROP INDEX written_name; DELETE FROM written WHERE name = 'double'")
	expect(await at.migrate(at.knex({ a }), { resolved: { a: 'not applied' } })).toEqual([1, ['a']])
})

test('the server is killed while an index is built concurrently: in doubt, with the index named, and never built twice', async () => {
	await at.ask('INSERT INTO written SELECT i::text FROM generate_series(1, 1000) i')
	let runs = 0
	const a = {
		...outside,
		up(knex: Knex) {
			runs += 1
			return knex.raw('CREATE INDEX CONCURRENTLY written_name ON written (name)')
		},
	}
	// The build waits for this transaction, so the kill comes in its middle.
	const holder = at.knex({})
	const trx = await holder.transaction()
	await trx('written').insert({ name: 'open' })
	const run = errorOf(at.migrate(at.knex({ a })))
	await until(async () => (await at.ask('SELECT 1 FROM pg_index WHERE NOT indisvalid')).length === 1, { what: 'the index to be built' })
	await at.server.kill()
	await at.server.start()
	await trx.rollback().catch(() => {})
	const error = await run
	expect(error).toMatchObject({ code: 'HOLDFAST_IN_DOUBT', migration: 'a', invalidIndexes: ['public.written_name'] })
	expect(runs).toBe(1)
})

test('a statement that the server refused leaves no doubt: its own error, and what came before it is told', async () => {
	const a = {
		...outside,
		async up(knex: Knex) {
			await knex.schema.createTable('made', (table) => void table.increments())
			await knex.raw('SELECT * FROM nothing_of_that_name')
		},
	}
	expect(await errorOf(at.migrate(at.knex({ a })))).toMatchObject({ code: '42P01' })
	const applied = [expect.stringContaining('create table "made"')]
	expect(at.events).toContainEqual({ type: 'failed', name: 'a', applied, invalidIndexes: [] })
	expect(await errorOf(at.migrate(at.knex({ a })))).toMatchObject({ code: 'HOLDFAST_IN_DOUBT' })
})

test('one whose first statement is refused has left nothing, and may simply be run again', async () => {
	let runs = 0
	const a = {
		...outside,
		up: (knex: Knex) => (++runs === 1 ? knex.raw('SELECT * FROM nothing_of_that_name') : knex('written').insert({ name: 'a' })),
	}
	expect(await errorOf(at.migrate(at.knex({ a })))).toMatchObject({ code: '42P01' })
	expect(await at.lock()).toEqual([0])
	expect(await at.migrate(at.knex({ a }))).toEqual([1, ['a']])
})

test('a migration that ends its own transaction is refused, and what it committed is not committed again', async () => {
	const a = {
		async up(knex: Knex) {
			await knex('written').insert({ name: 'a' })
			await (knex as unknown as { commit(): Promise<void> }).commit()
		},
	}
	expect(await errorOf(at.migrate(at.knex({ a })))).toMatchObject({ code: 'HOLDFAST_TRANSACTION_CONTROL' })
	expect(await errorOf(at.migrate(at.knex({ a })))).toMatchObject({ code: 'HOLDFAST_IN_DOUBT', migration: 'a' })
	expect(await rows('a')).toBe(1)
})
