/** The server dies under a loaded knex instance and comes back: does anybody notice? */
import { commitLedger } from 'holdfast'
import type { HoldfastKnex } from 'holdfast/knex'
import { afterAll, afterEach, beforeAll, expect, test } from 'vitest'
import { until } from '../support/until.ts'
import { type KnexStage, knexStage } from './knex-stage.ts'

let at: KnexStage
beforeAll(async () => {
	at = await knexStage()
	await at.ask('CREATE TABLE kept (id int PRIMARY KEY, n int NOT NULL); CREATE TABLE moved (id serial PRIMARY KEY, worker int, turn int)')
})
afterAll(() => at.close())
afterEach(() => at.leaveNothing())

/** 30 workers until they are told to stop: reads, idempotent writes and transactions. Counts what was confirmed. */
function load(knex: HoldfastKnex) {
	const state = { done: 0, committed: 0, errors: [] as unknown[], stopped: false }
	const works = [
		() => knex('kept').count(),
		(id: number) => knex('kept').insert({ id, n: 1 }).onConflict('id').merge().options({ idempotent: true }),
		async (id: number, turn: number) => {
			await knex.transaction(
				async (trx) => {
					await trx('moved').insert({ worker: id, turn })
					await trx('kept').count()
				},
				{ idempotent: false },
			)
			state.committed += 1
		},
	]
	const worker = async (id: number) => {
		for (let turn = 0; !state.stopped; turn++) {
			try {
				await works[id % works.length]?.(id, turn)
				state.done += 1
			} catch (error) {
				state.errors.push(error)
			}
		}
	}
	const workers = Array.from({ length: 30 }, (_, id) => worker(id))
	return {
		more: (count: number) => {
			const goal = state.done + count
			return until(() => state.done >= goal || state.errors.length > 0, { what: `${count} more operations`, timeoutMs: 30_000 })
		},
		stop: async () => {
			state.stopped = true
			await Promise.all(workers)
			return state
		},
	}
}

test.each(['fast', 'immediate'] as const)(
	'30 workers with reads, idempotent writes and transactions meet no error over restarts (%s)',
	async (how) => {
		await at.ask('TRUNCATE moved')
		const knex = at.knex({}, { pool: { min: 0, max: 10 } }, { host: at.server.host, port: at.server.port })
		const running = load(knex)
		for (let round = 1; round <= 3; round++) {
			await running.more(150)
			await at.server.restart(how)
		}
		await running.more(150)
		const { errors, committed } = await running.stop()
		expect(errors).toEqual([])
		const [rows] = await at.ask<{ rows: number; distinct: number }>(
			'SELECT count(*)::int AS rows, count(DISTINCT (worker, turn))::int AS distinct FROM moved',
		)
		// Each transaction whose success was told is there, and none is there twice.
		expect(rows).toEqual({ rows: committed, distinct: committed })
		expect(knex.holdfast.stats()).toMatchObject({ waiting: 0, endpoint: { state: 'up' } })
	},
)

test('with a commit ledger, 30 workers meet no error over kill -9, and no transaction is lost or applied twice', async () => {
	await at.ask('TRUNCATE moved')
	const knex = at.knex(
		{ commit: commitLedger({ create: true }) },
		{ pool: { min: 0, max: 10 } },
		{ host: at.server.host, port: at.server.port },
	)
	const running = load(knex)
	for (let round = 1; round <= 5; round++) {
		await running.more(150)
		await at.server.restart('kill')
	}
	await running.more(150)
	const { errors, committed } = await running.stop()
	expect(errors).toEqual([])
	const [rows] = await at.ask<{ rows: number; distinct: number }>(
		'SELECT count(*)::int AS rows, count(DISTINCT (worker, turn))::int AS distinct FROM moved',
	)
	expect(rows).toEqual({ rows: committed, distinct: committed })
})
