/** A MySQL or MariaDB under a wrapped knex instance dies, says no, or loses an answer: the same promises as on PostgreSQL. */
import { commitLedger, createScheduler, DeadlineError, InDoubtError, type PoolOptions } from 'holdfast'
import { type HoldfastKnex, holdfast } from 'holdfast/knex'
import makeKnex, { type Knex } from 'knex'
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest'
import { accidentMark } from '../support/leaks.ts'
import { flavours, type MysqlServer, startMysql } from '../support/mysql.ts'
import { type FaultProxy, startProxy } from '../support/proxy.ts'
import { until } from '../support/until.ts'

const caught = (call: PromiseLike<unknown>) =>
	call.then(
		() => undefined,
		(error: unknown) => error as Error & { code?: string; cause?: Error },
	)
const quiet = { warn: () => {}, error: () => {}, deprecate: () => {}, debug: () => {} }

describe.each(flavours)('%s', (flavour) => {
	let server: MysqlServer
	let proxy: FaultProxy
	let instances: HoldfastKnex[] = []
	let schedulers: ReturnType<typeof createScheduler>[] = []
	let accidents = accidentMark()
	beforeAll(async () => {
		server = await startMysql({ flavour })
		proxy = await startProxy({ target: server, protocol: 'mysql' })
		await server.query('CREATE TABLE holdfast.written (id int PRIMARY KEY, n int NOT NULL DEFAULT 0)')
	})
	afterAll(async () => {
		accidents.stop()
		await proxy.close()
		await server.dispose()
	})
	afterEach(async () => {
		await proxy.accept()
		for (const knex of instances) await knex.destroy()
		await until(() => schedulers.every((scheduler) => scheduler.stats().waits === 0), { what: 'no wait to be left' })
		await until(async () => (await server.connections()).length === 0, { what: 'no connection to be left on the server' })
		await accidents.assertNone()
		accidents.stop()
		accidents = accidentMark()
		instances = []
		schedulers = []
		await server.query('TRUNCATE holdfast.written')
	})

	const make = (options: PoolOptions = {}, config: Partial<Knex.Config> = {}, connection = {}) => {
		const scheduler = createScheduler()
		schedulers.push(scheduler)
		const at = { host: proxy.host, port: proxy.port }
		const knex = holdfast(makeKnex({ client: 'mysql2', connection: { ...server.config(), ...at, ...connection }, log: quiet, ...config }), {
			...options,
			scheduler,
		})
		instances.push(knex)
		return knex
	}
	const direct = () => ({ host: server.host, port: server.port })
	const rows = async () =>
		(await server.query<{ id: number; n: number }>('SELECT id, n FROM holdfast.written ORDER BY id')).map(({ id, n }) => [id, n])

	test('20 workers with a ledger meet no error over kill -9, and no transaction is lost or applied twice', async () => {
		const knex = make({ commit: commitLedger({ create: true }) }, { pool: { min: 0, max: 8 } }, direct())
		const state = { next: 1, committed: [] as number[], errors: [] as unknown[], stopped: false }
		const worker = async (reader: boolean) => {
			while (!state.stopped) {
				try {
					if (reader) {
						await knex('written').count()
						continue
					}
					const id = state.next++
					await knex.transaction(async (trx) => {
						await trx('written').insert({ id })
						await trx('written').where({ id }).increment('n', 1)
					})
					state.committed.push(id)
				} catch (error) {
					state.errors.push(error)
				}
			}
		}
		const workers = Array.from({ length: 20 }, (_, i) => worker(i % 2 === 0))
		const more = (count: number) => {
			const goal = state.committed.length + count
			return until(() => state.committed.length >= goal || state.errors.length > 0, {
				what: `${count} more transactions`,
				timeoutMs: 30_000,
			})
		}
		for (let round = 1; round <= 2; round++) {
			await more(50)
			await server.restart('kill')
		}
		await more(50)
		state.stopped = true
		await Promise.all(workers)
		expect(state.errors).toEqual([])
		expect(await rows()).toEqual(state.committed.sort((a, b) => a - b).map((id) => [id, 1]))
	})

	test('a server that is down, wrong credentials, a busy pool: each is told by its name', async () => {
		proxy.refuse()
		const down = await caught(make({ deadlineMs: 150 })('written').select())
		expect(down).toBeInstanceOf(DeadlineError)
		expect(down?.cause).toMatchObject({ code: 'ECONNREFUSED' })
		await proxy.accept()
		const wrong = await caught(make({}, {}, { password: 'not-this-1' })('written').select())
		expect(wrong?.code).toBe('ER_ACCESS_DENIED_ERROR')
		expect(String(wrong?.stack)).not.toContain('not-this-1')
		const busy = make({}, { pool: { min: 0, max: 1 }, acquireConnectionTimeout: 40 })
		const held = await busy.transaction()
		for (const call of [busy.raw('select 1'), busy.transaction(async () => 1), busy.transaction()])
			expect(await caught(call)).toBeInstanceOf(makeKnex.KnexTimeoutError)
		await held.rollback()
		expect(busy.holdfast.stats()).toMatchObject({ waiting: 0, outages: 0 })
	})

	test('a read whose answer is lost is run again; a write is in doubt, once, and shows no value although knex writes it into errors', async () => {
		const knex = make()
		await knex.raw('select 0')
		const lose = (text: string) =>
			proxy.intercept({ from: 'client', match: (message) => message.text?.startsWith(text) ?? false, action: 'cut after', times: 1 })
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
		const knex = make()
		const refused = knex.transaction((trx) => trx.raw('INSERT INTO written VALUES (?, ?); COMMIT', [77, 4711]))
		const error = await caught(refused)
		expect(error).toMatchObject({ code: 'HOLDFAST_TRANSACTION_CONTROL' })
		expect(error?.message).not.toMatch(/77|4711/)
		expect(await rows()).toEqual([])
	})

	test('a lost connection before COMMIT and a deadlock run the whole function again; the object form never', async () => {
		const knex = make({}, { pool: { min: 0, max: 6 } })
		await knex('written').insert([{ id: 1 }, { id: 2 }])
		let runs = 0
		await knex.transaction(async (trx) => {
			runs += 1
			await trx('written').where({ id: 1 }).increment('n', 1)
			if (runs === 1) proxy.resetAll()
			await trx.transaction(async (inner) => void (await inner('written').where({ id: 2 }).increment('n', 1)))
		})
		expect({ runs, rows: await rows() }).toEqual({
			runs: 2,
			rows: [
				[1, 1],
				[2, 1],
			],
		})
		await Promise.all(
			Array.from({ length: 6 }, (_, i) =>
				knex.transaction(async (trx) => {
					const [from, to] = i % 2 === 0 ? [1, 2] : [2, 1]
					await trx('written').where({ id: from }).decrement('n', 1)
					await trx.raw('select sleep(0.01)')
					await trx('written').where({ id: to }).increment('n', 1)
				}),
			),
		)
		expect(await rows()).toEqual([
			[1, 1],
			[2, 1],
		])
		const trx = await knex.transaction()
		await trx('written').insert({ id: 3 })
		proxy.resetAll()
		expect(await caught(trx('written').insert({ id: 4 }))).toBeInstanceOf(Error)
		await caught(trx.rollback())
		expect(await rows()).toHaveLength(2)
	})
})
