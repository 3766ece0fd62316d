/** A MySQL or MariaDB under a wrapped knex instance dies, says no, or loses an answer: the same promises as on PostgreSQL. */
import { commitLedger, DeadlineError, InDoubtError } from 'holdfast'
import makeKnex from 'knex'
import { beforeEach, describe, expect, test } from 'vitest'
import { caught } from '../support/caught.ts'
import { flavours } from '../support/mysql.ts'
import { staged } from '../support/staged.ts'
import { until } from '../support/until.ts'
import { crossTransfers } from './cross-transfers.ts'
import { mysqlKnexStage } from './knex-stage.ts'
import { startLoad } from './load.ts'

describe.each(flavours)('%s', (flavour) => {
	const at = staged(() => mysqlKnexStage(flavour))
	beforeEach(() => at.ask('DROP TABLE IF EXISTS written; CREATE TABLE written (id int PRIMARY KEY, n int NOT NULL DEFAULT 0)'))

	const rows = async () => (await at.ask<{ id: number; n: number }>('SELECT id, n FROM written ORDER BY id')).map(({ id, n }) => [id, n])

	test('20 workers with a ledger meet no error over kill -9, and no transaction is lost or applied twice', async () => {
		const { host, port } = at.server
		const knex = at.knex({ commit: commitLedger({ create: true }) }, { pool: { min: 0, max: 8 } }, { host, port })
		const committed: number[] = []
		const transactions = async (id: number) => {
			await knex.transaction(async (trx) => {
				await trx('written').insert({ id })
				await trx('written').where({ id }).increment('n', 1)
			})
			committed.push(id)
		}
		const load = startLoad([() => knex('written').count(), transactions], 20)
		for (let round = 1; round <= 2; round++) {
			await load.more()
			await at.server.restart('kill')
		}
		await load.more()
		await load.stop()
		expect(load.errors).toEqual([])
		expect(await rows()).toEqual(committed.sort((a, b) => a - b).map((id) => [id, 1]))
	})

	test('a server that is down, wrong credentials, a busy pool: each is told by its name', async () => {
		at.proxy.refuse()
		const down = await caught(at.knex({ deadlineMs: 150 })('written').select())
		expect(down).toBeInstanceOf(DeadlineError)
		expect(down?.cause).toMatchObject({ code: 'ECONNREFUSED' })
		await at.proxy.accept()
		const wrong = await caught(at.knex({}, {}, { password: 'not-this-1' })('written').select())
		expect(wrong?.code).toBe('ER_ACCESS_DENIED_ERROR')
		expect(String(wrong?.stack)).not.toContain('not-this-1')
		const busy = at.knex({}, { pool: { min: 0, max: 1 }, acquireConnectionTimeout: 40 })
		const held = await busy.transaction()
		for (const call of [() => busy.raw('select 1'), () => busy.transaction(async () => 1), () => busy.transaction()])
			expect(await caught(call())).toBeInstanceOf(makeKnex.KnexTimeoutError)
		await held.rollback()
		expect(busy.holdfast.stats()).toMatchObject({ waiting: 0, outages: 0 })
	})

	test('a read whose answer is lost is run again; a write is in doubt, once, and shows no value although knex writes it into errors', async () => {
		const knex = at.knex()
		await knex.raw('select 0')
		const lose = (text: string) =>
			at.proxy.intercept({ from: 'client', match: (message) => message.text?.startsWith(text) ?? false, action: 'cut after', times: 1 })
		const read = lose('select 42')
		expect(await knex.first(knex.raw('42 as answer'))).toEqual({ answer: 42 })
		expect(read.hits).toBe(1)
		lose('insert')
		const error = await caught(knex('written').insert({ id: 1_234_567 }))
		expect(error).toBeInstanceOf(InDoubtError)
		expect(`${error?.message} ${error?.stack} ${error?.cause?.message}`).not.toContain('1234567')
		await until(async () => (await rows()).length === 1, { what: 'the write to be applied' })
		expect(knex.holdfast.stats()).toMatchObject({ inDoubt: 1, resolved: { unresolved: 1 } })
	})

	test('a statement that is refused inside transaction(fn) shows no value, although knex writes it into errors', async () => {
		const knex = at.knex()
		const refused = knex.transaction((trx) => trx.raw('INSERT INTO written VALUES (?, ?); COMMIT', [77, 4711]))
		const error = await caught(refused)
		expect(error).toMatchObject({ code: 'HOLDFAST_TRANSACTION_CONTROL' })
		expect(error?.message).not.toMatch(/77|4711/)
		expect(await rows()).toEqual([])
	})

	test('a lost connection before COMMIT and a deadlock run the whole function again; the object form never', async () => {
		const knex = at.knex({}, { pool: { min: 0, max: 6 } })
		await knex('written').insert([{ id: 1 }, { id: 2 }])
		let runs = 0
		await knex.transaction(async (trx) => {
			runs += 1
			await trx('written').where({ id: 1 }).increment('n', 1)
			if (runs === 1) at.proxy.resetAll()
			await trx.transaction(async (inner) => void (await inner('written').where({ id: 2 }).increment('n', 1)))
		})
		expect({ runs, rows: await rows() }).toEqual({
			runs: 2,
			rows: [
				[1, 1],
				[2, 1],
			],
		})
		await crossTransfers(6, (from, to, met) =>
			knex.transaction(async (trx) => {
				await trx('written').where({ id: from }).decrement('n', 1)
				await met()
				await trx('written').where({ id: to }).increment('n', 1)
			}),
		)
		expect(knex.holdfast.stats().retries.deadlock).toBeGreaterThan(0)
		expect(await rows()).toEqual([
			[1, 1],
			[2, 1],
		])
		const trx = await knex.transaction()
		await trx('written').insert({ id: 3 })
		at.proxy.resetAll()
		expect(await caught(trx('written').insert({ id: 4 }))).toBeInstanceOf(Error)
		await caught(trx.rollback())
		expect(await rows()).toHaveLength(2)
	})
})
