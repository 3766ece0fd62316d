/** The server dies under a loaded knex instance and comes back: does anybody notice? */
import { commitLedger, type PoolOptions } from 'holdfast'
import { beforeEach, expect, test } from 'vitest'
import { staged } from '../support/staged.ts'
import { knexStage } from './knex-stage.ts'
import { startLoad } from './load.ts'

const at = staged(knexStage)
beforeEach(() =>
	at.ask('DROP TABLE IF EXISTS kept, moved; CREATE TABLE kept (id int PRIMARY KEY, n int NOT NULL); CREATE TABLE moved (id int)'),
)

/** 30 workers on ten connections, straight to the server: reads, idempotent writes and transactions. */
function loaded(options: PoolOptions = {}) {
	const knex = at.knex(options, { pool: { min: 0, max: 10 } }, { host: at.server.host, port: at.server.port })
	const committed: number[] = []
	const reads = () => knex('kept').count()
	const writes = (id: number) =>
		knex('kept')
			.insert({ id: id % 30, n: 1 })
			.onConflict('id')
			.merge()
			.options({ idempotent: true })
	const transactions = async (id: number) => {
		await knex.transaction(
			async (trx) => {
				await trx('moved').insert({ id })
				await trx('kept').count()
			},
			{ idempotent: false },
		)
		committed.push(id)
	}
	return { knex, committed, load: startLoad([reads, writes, transactions], 30) }
}
/** Each transaction whose success was told is there, and none is there twice. */
const exactlyThese = async (ids: readonly number[]) =>
	expect((await at.ask<{ id: number }>('SELECT id FROM moved ORDER BY id')).map(({ id }) => id)).toEqual([...ids].sort((a, b) => a - b))

test.each(['fast', 'immediate'] as const)(
	'30 workers with reads, idempotent writes and transactions meet no error over restarts (%s)',
	async (how) => {
		const { knex, committed, load } = loaded()
		for (let round = 1; round <= 3; round++) {
			await load.more()
			await at.server.restart(how)
		}
		await load.more()
		await load.stop()
		expect(load.errors).toEqual([])
		await exactlyThese(committed)
		expect(knex.holdfast.stats()).toMatchObject({ waiting: 0, endpoint: { state: 'up' } })
	},
)

test('with a commit ledger, 30 workers meet no error over kill -9, and no transaction is lost or applied twice', async () => {
	const { committed, load } = loaded({ commit: commitLedger({ create: true }) })
	for (let round = 1; round <= 5; round++) {
		await load.more()
		await at.server.restart('kill')
	}
	await load.more()
	await load.stop()
	expect(load.errors).toEqual([])
	await exactlyThese(committed)
})
