/** The server dies under a run of migrations: is every migration applied exactly once, and nobody needed? */
import { holdfast, migrate } from 'holdfast/knex'
import { expect, test } from 'vitest'
import { Draw } from '../chaos/draw.ts'
import { killedRun } from '../migrations/killed-run.ts'
import { onMigrationStage, writes } from '../migrations/on-stage.ts'
import { errorOf } from '../migrations/stage.ts'
import type { PostgresServer } from '../support/postgres.ts'
import { until } from '../support/until.ts'

const at = onMigrationStage('postgres')

const applied = { errors: [], missing: [], twice: [], misrecorded: [], locked: false, advisoryLocks: 0 }

test.each([1, 2, 3, 4])(
	'kill -9 in the middle of 30 migrations, seed %i: each applied once, no lock left, no manual step',
	async (seed) => {
		const killAfterMs = 40 + new Draw(seed, 7).next() * 400
		expect(await killedRun(at.server as PostgresServer, { count: 30, killAfterMs, run: (knex) => migrate(knex) })).toMatchObject(applied)
	},
)

test('the same with an instance that is wrapped by holdfast(knex)', async () => {
	const run = (knex: Parameters<typeof migrate>[0]) => migrate(holdfast(knex))
	expect(await killedRun(at.server as PostgresServer, { count: 30, killAfterMs: 150, run })).toMatchObject(applied)
})

test('the answer to COMMIT is lost: the record tells that it was applied, and it is not run again', async () => {
	const lost = at.proxy.intercept({ from: 'server', match: ({ tag }) => tag === 'COMMIT', action: 'cut before' })
	expect(await at.migrate(at.knex({ a: writes('a'), b: writes('b') }))).toEqual([1, ['a', 'b']])
	expect(lost.hits).toBe(1)
	expect(await at.written()).toEqual(['a', 'b'])
	expect(at.events).toContainEqual({ type: 'resolved', name: 'a', applied: true })
	expect(await at.lock()).toEqual([0])
})

test('the COMMIT never arrived: the record tells that it was not applied, and it is run again', async () => {
	const lost = at.proxy.intercept({ from: 'client', match: ({ text }) => text === 'COMMIT;', action: 'cut before' })
	expect(await at.migrate(at.knex({ a: writes('a') }))).toEqual([1, ['a']])
	expect(lost.hits).toBe(1)
	expect(await at.written()).toEqual(['a'])
	expect(at.events).toContainEqual({ type: 'resolved', name: 'a', applied: false })
})

test('the COMMIT is answered, but the server crashes before the answer arrives: the record tells what became of it', async () => {
	at.proxy.intercept({
		from: 'server',
		match: ({ tag }) => tag === 'COMMIT',
		action: 'cut before',
		onHit: async () => {
			await at.server.kill()
			await at.server.start()
		},
	})
	expect(await at.migrate(at.knex({ a: writes('a') }))).toEqual([1, ['a']])
	expect(await at.written()).toEqual(['a'])
})

test('a session that lives on without its client is ended on the server before its migration is run again', async () => {
	let runs = 0
	const knex = at.knex({
		a: {
			async up(trx) {
				runs += 1
				await trx('written').insert({ name: `run ${runs}` })
				// The server does not notice that its client has gone while it sleeps, and keeps the lock.
				if (runs === 1) await trx.raw('select pg_sleep(60)')
			},
		},
	})
	const run = at.migrate(knex)
	const asleep = "SELECT pid FROM pg_stat_activity WHERE query = 'select pg_sleep(60)' AND datname = current_database()"
	await until(async () => (await at.ask(asleep)).length === 1, { what: 'the migration to sleep' })
	at.proxy.resetAll()
	expect(await run).toEqual([1, ['a']])
	expect(await at.written()).toEqual(['run 2'])
	expect(await at.ask(asleep)).toEqual([])
})

test('a migration back is looked up in the same way: a lost answer takes it back once', async () => {
	const knex = at.knex({ a: writes('a') })
	await at.migrate(knex)
	at.proxy.intercept({ from: 'server', match: ({ tag }) => tag === 'COMMIT', action: 'cut before' })
	expect(await at.migrate(knex, { command: 'rollback' })).toEqual([1, ['a']])
	expect(await at.written()).toEqual([])
	expect(await at.recorded()).toEqual([])
})

test('serialization failures and deadlocks run the transaction again', async () => {
	let runs = 0
	const knex = at.knex({
		a: {
			async up(trx) {
				await trx('written').insert({ name: `run ${++runs}` })
				if (runs < 3) await trx.raw(`DO $$ BEGIN RAISE 'no' USING ERRCODE = '${runs === 1 ? '40001' : '40P01'}'; END $$`)
			},
		},
	})
	expect(await at.migrate(knex)).toEqual([1, ['a']])
	expect(await at.written()).toEqual(['run 3'])
	expect(at.events.filter(({ type }) => type === 'retry')).toHaveLength(2)
})

test('an error that a rerun would meet again reaches the caller at once, as it was; what came before is kept', async () => {
	const own = new Error('no')
	const knex = at.knex({
		a: writes('a'),
		b: {
			async up(trx) {
				await trx('written').insert({ name: 'b' })
				throw own
			},
		},
	})
	await expect(at.migrate(knex)).rejects.toBe(own)
	expect(await at.written()).toEqual(['a'])
	expect(await at.recorded()).toEqual(['a'])
	expect(await at.lock()).toEqual([0])
})

test('a migration that swallows the error which aborted its transaction is run again when that error was transient', async () => {
	let runs = 0
	const knex = at.knex({
		a: {
			async up(trx) {
				await trx('written').insert({ name: `run ${++runs}` })
				if (runs === 1) await trx.raw(`DO $$ BEGIN RAISE 'no' USING ERRCODE = '40001'; END $$`).catch(() => {})
			},
		},
	})
	await at.migrate(knex)
	expect(await at.written()).toEqual(['run 2'])
})

test('it waits for a database that is not there yet', async () => {
	at.proxy.refuse()
	const run = at.migrate(at.knex({ a: writes('a') }), {
		onProgress: ({ type }) => {
			if (type === 'waiting') void at.proxy.accept()
		},
	})
	expect(await run).toEqual([1, ['a']])
	expect(at.events[0]).toMatchObject({ type: 'waiting', for: 'database', detail: expect.stringContaining('') })
})

test('a database that does not come within deadlineMs ends the run with a DeadlineError that says why', async () => {
	at.proxy.refuse()
	const error = await errorOf(at.migrate(at.knex({ a: writes('a') }), { deadlineMs: 300 }))
	expect(error).toMatchObject({ code: 'HOLDFAST_DEADLINE', cause: { code: 'ECONNREFUSED' } })
	expect(error.message).toContain('refuses connections')
})
