/** A statement or a COMMIT of knex was sent and its answer never came: what is run again, what is told, and what is never run twice? */
import { HoldfastError, InDoubtError, retryReport } from 'holdfast'
import type { HoldfastKnex } from 'holdfast/knex'
import type { Knex } from 'knex'
import { beforeEach, expect, test } from 'vitest'
import { caught } from '../support/caught.ts'
import { staged } from '../support/staged.ts'
import { until } from '../support/until.ts'
import { crossTransfers } from './cross-transfers.ts'
import { knexStage } from './knex-stage.ts'

const at = staged(() => knexStage({ deadlock_timeout: '50ms' }))
beforeEach(() => at.ask('DROP TABLE IF EXISTS written; CREATE TABLE written (id int PRIMARY KEY, n int NOT NULL DEFAULT 0)'))

const secret = 1_234_567
const loseReply = (tag: string, times = 1) =>
	at.proxy.intercept({ from: 'server', match: (message) => message.tag === tag, action: 'cut before', how: 'reset', times })
const rows = async () => (await at.ask<{ id: number; n: number }>('SELECT id, n FROM written ORDER BY id')).map(({ id, n }) => [id, n])

test('a read whose answer is lost is run again, and its events are told once', async () => {
	const knex = at.knex()
	await knex.raw('select 0')
	const heard: unknown[] = []
	for (const event of ['start', 'query', 'query-response', 'query-error']) knex.on(event, () => heard.push(event))
	const lost = loseReply('SELECT 1')
	expect(await knex.select(knex.raw('42 as answer'))).toEqual([{ answer: 42 }])
	expect([lost.hits, at.proxy.seen.statementsLike('select 42')]).toEqual([1, 2])
	expect(heard).toEqual(['start', 'query', 'query-response'])
	expect(knex.holdfast.stats()).toMatchObject({ retries: { connection_lost: 1 }, inDoubt: 0 })
})

test('a write whose answer is lost is in doubt, is not run twice, and shows no value', async () => {
	const knex = at.knex()
	loseReply('INSERT 0 1')
	const told: unknown[] = []
	knex.on('query-error', (error) => told.push(error))
	const error = await caught(knex('written').insert({ id: secret }))
	expect(error).toBeInstanceOf(InDoubtError)
	expect(error).toMatchObject({ code: 'HOLDFAST_IN_DOUBT', outcome: 'unknown', phase: 'statement' })
	expect(error?.cause).toBeInstanceOf(Error)
	expect(`${error?.stack} ${error?.message} ${error?.cause?.message}`).not.toContain(String(secret))
	expect(error?.message).not.toContain('insert into')
	expect(told).toEqual([error])
	expect(retryReport(error)).toMatchObject({ attempts: 1 })
	expect(at.proxy.seen.statementsLike('insert')).toBe(1)
	expect(await rows()).toEqual([[secret, 0]])
})

test('a write that is declared idempotent in its options is run again', async () => {
	const knex = at.knex()
	loseReply('UPDATE 0')
	await knex('written').update({ n: 1 }).options({ idempotent: true })
	expect(at.proxy.seen.statementsLike('update')).toBe(2)
	loseReply('SELECT 0')
	await knex.raw('create table if not exists other as select 1 where false').options({ idempotent: true })
	await at.ask('DROP TABLE other')
})

test('a write with exactlyOnce is applied once although the answer to its commit is lost', async () => {
	const knex = at.knex()
	loseReply('COMMIT')
	const inserted = await knex('written').insert({ id: 1 }).returning('id').options({ exactlyOnce: true })
	expect(inserted).toEqual([{ id: 1 }])
	expect(await rows()).toEqual([[1, 0]])
	expect(knex.holdfast.stats().resolved).toMatchObject({ applied: 1 })
})

test('a stream whose link dies before its first row is run again; after that its reader is told, and sees no row twice', async () => {
	const knex = at.knex()
	const read = async () => {
		const seen: number[] = []
		const error = await caught(
			(async () => {
				for await (const { i } of knex.raw('select * from generate_series(1, 500) as i').stream({ batchSize: 10, highWaterMark: 10 }))
					seen.push(i)
			})(),
		)
		return { seen, error }
	}
	const early = at.proxy.intercept({
		from: 'server',
		match: (message) => message.type === 'RowDescription',
		action: 'cut before',
		times: 1,
	})
	expect(await read()).toMatchObject({ seen: { length: 500 }, error: undefined })
	expect(early.hits).toBe(1)
	let rowsPassed = 0
	at.proxy.intercept({
		from: 'server',
		match: (message) => message.type === 'DataRow' && ++rowsPassed > 100,
		action: 'cut before',
		times: 1,
	})
	const { seen, error } = await read()
	expect(error).toBeInstanceOf(Error)
	expect(seen).toEqual(Array.from({ length: seen.length }, (_, i) => i + 1))
	expect(seen.length).toBeLessThan(500)
})

test('transaction(fn): a lost connection before COMMIT runs the function again as a whole', async () => {
	const knex = at.knex()
	const lost = loseReply('UPDATE 1')
	const events: string[] = []
	let runs = 0
	const value = await knex.transaction(async (trx) => {
		runs += 1
		trx.on('query', ({ sql }: { sql: string }) => events.push(sql))
		await trx('written').insert({ id: 1 })
		await trx('written').update({ n: trx.raw('n + 1') })
		return 'the value'
	})
	expect({ value, runs, hits: lost.hits }).toEqual({ value: 'the value', runs: 2, hits: 1 })
	expect(await rows()).toEqual([[1, 1]])
})

test('transaction(fn): a COMMIT whose answer is lost is verified: the value is told, the function is not run twice', async () => {
	const knex = at.knex()
	const lost = loseReply('COMMIT')
	let runs = 0
	const told: unknown[] = []
	const value = await knex.transaction(async (trx) => {
		runs += 1
		trx.onCommit(() => told.push(runs))
		await trx('written').insert({ id: 1 })
		return 7
	})
	expect({ value, runs, told, hits: lost.hits }).toEqual({ value: 7, runs: 1, told: [1], hits: 1 })
	expect(await rows()).toEqual([[1, 0]])
	expect(knex.holdfast.stats().resolved).toEqual({ applied: 1, notApplied: 0, unresolved: 0 })
})

test('transaction(fn): a COMMIT that never arrived is found not to be applied, and the function runs again', async () => {
	const knex = at.knex()
	at.proxy.intercept({ from: 'client', match: ({ text }) => text === 'COMMIT', action: 'cut before', times: 1 })
	let runs = 0
	await knex.transaction(async (trx) => {
		runs += 1
		await trx('written').insert({ id: runs })
	})
	expect(runs).toBe(2)
	expect(await rows()).toEqual([[2, 0]])
})

test('transaction(fn) with commit off: a lost COMMIT is in doubt, told without SQL in front, and never run again', async () => {
	const knex = at.knex({ commit: 'off' })
	loseReply('COMMIT')
	let runs = 0
	const error = await caught(
		knex.transaction(async (trx) => {
			runs += 1
			await trx('written').insert({ id: secret })
		}),
	)
	expect(error).toBeInstanceOf(InDoubtError)
	expect(error).toMatchObject({ phase: 'commit' })
	expect(error?.message.startsWith('COMMIT was sent')).toBe(true)
	expect(runs).toBe(1)
	expect(await rows()).toEqual([[secret, 0]])
})

test('transaction(): the object form is verified, and never run again', async () => {
	const knex = at.knex()
	const trx = await knex.transaction()
	await trx('written').insert({ id: 1 })
	const lost = loseReply('COMMIT')
	await trx.commit()
	expect(lost.hits).toBe(1)
	expect(await rows()).toEqual([[1, 0]])
	expect(knex.holdfast.stats().resolved).toMatchObject({ applied: 1 })

	const second = await knex.transaction()
	await second('written').insert({ id: 2 })
	at.proxy.resetAll()
	const error = await caught(second('written').insert({ id: 3 }))
	expect(error).toBeInstanceOf(Error)
	expect(HoldfastError.is(error)).toBe(false)
	await caught(second.rollback())
	await caught(second.executionPromise)
	expect(at.proxy.seen.statementsLike('insert')).toBe(2)
	expect(await rows()).toEqual([[1, 0]])
})

test('conflicts: every increment of 40 serializable transactions is applied once, deadlocks are run again', async () => {
	const knex = at.knex({}, { pool: { min: 0, max: 8 } })
	await knex('written').insert([{ id: 1 }, { id: 2 }])
	let runs = 0
	await Promise.all(
		Array.from({ length: 40 }, () =>
			knex.transaction(
				async (trx) => {
					runs += 1
					const [{ n }] = await trx('written').where({ id: 1 }).select('n')
					await trx('written')
						.where({ id: 1 })
						.update({ n: n + 1 })
				},
				{ isolationLevel: 'serializable' },
			),
		),
	)
	expect(await rows()).toEqual([
		[1, 40],
		[2, 0],
	])
	expect(knex.holdfast.stats().retries.serialization_failure).toBe(runs - 40)
	// Nobody fights here yet, so that nobody takes turns.
	const calm = at.knex()
	await crossTransfers(8, (from, to, met) =>
		calm.transaction(async (trx) => {
			await trx('written').where({ id: from }).decrement('n', 1)
			await met()
			await trx('written').where({ id: to }).increment('n', 1)
		}),
	)
	expect(calm.holdfast.stats().retries.deadlock).toBeGreaterThan(0)
	expect(await rows()).toEqual([
		[1, 40],
		[2, 0],
	])
})

/** How often a transaction is run that loses against another one the first time, when it writes by `work`. */
async function runsOfLoser(knex: HoldfastKnex, work: (trx: Knex.Transaction) => Promise<unknown>): Promise<number> {
	await knex('written').insert({ id: 1 })
	let runs = 0
	await knex.transaction(
		async (trx) => {
			runs += 1
			await trx('written').select()
			if (runs === 1) await at.ask('UPDATE written SET n = 10')
			await work(trx)
		},
		{ isolationLevel: 'repeatable read' },
	)
	return runs
}

test('a conflict inside a savepoint runs the whole function again; one that the function deals with does not', async () => {
	const knex = at.knex()
	const inSavepoint = (trx: Knex.Transaction) => trx.transaction(async (inner) => inner('written').increment('n', 1))
	expect({ runs: await runsOfLoser(knex, inSavepoint), rows: await rows() }).toEqual({ runs: 2, rows: [[1, 11]] })
	let runs = 0
	await knex.transaction(async (trx) => {
		runs += 1
		await trx
			.transaction(async (inner) => {
				await inner('written').insert({ id: 1 })
			})
			.catch(() => {})
		await trx('written').insert({ id: 2 })
	})
	expect({ runs, rows: await rows() }).toEqual({
		runs: 1,
		rows: [
			[1, 11],
			[2, 0],
		],
	})
})

test('a function that swallows the error which aborted its transaction is run again, or told, but never committed', async () => {
	const knex = at.knex()
	const swallows = (trx: Knex.Transaction) => caught(trx('written').increment('n', 1))
	expect({ runs: await runsOfLoser(knex, swallows), rows: await rows() }).toEqual({ runs: 2, rows: [[1, 11]] })
	const error = await caught(
		knex.transaction(async (trx) => {
			await trx('written').insert({ id: 5 })
			await trx('written')
				.insert({ id: 1 })
				.catch(() => {})
			return 'all is well'
		}),
	)
	expect(error).toMatchObject({ code: '23505' })
	expect(await rows()).toEqual([[1, 11]])
})

test('a migration’s lock error has the true cause, where knex keeps its text only', async () => {
	const knex = at.knex({ deadlineMs: 150 })
	let looks = 0
	const migrationSource = {
		getMigrations: async () => ['one'],
		getMigrationName: (name: string) => name,
		getMigration: async () => {
			looks += 1
			// Asked first for its config, when the list has been read and before the lock is taken.
			if (looks === 1) {
				at.proxy.refuse()
				at.proxy.resetAll()
				await until(() => knex.client.pool.numFree() === 0, { what: 'the idle connection to be known as dead' })
			}
			return { up: async () => {}, down: async () => {}, config: { transaction: false } }
		},
	}
	const error = await caught(knex.migrate.latest({ migrationSource }))
	await at.proxy.accept()
	expect(error).toMatchObject({ name: 'MigrationLocked', cause: { code: 'HOLDFAST_DEADLINE', cause: { code: 'ECONNREFUSED' } } })
	expect(await at.ask('SELECT is_locked FROM knex_migrations_lock')).toEqual([{ is_locked: 0 }])
	await at.ask('DROP TABLE knex_migrations, knex_migrations_lock')
})
