/** Does `enabled: false` leave the bare pool as it is, crash behaviour included, while the added methods work? */
import { type HoldfastPool, holdfast } from 'holdfast/pg'
import pg from 'pg'
import { expect, test } from 'vitest'
import { accidentMark } from '../support/leaks.ts'
import { until } from '../support/until.ts'
import { ending, ground } from './side-by-side.ts'

const setup = ground()
const off = (options: pg.PoolConfig = {}) => setup.wrapped(options, { enabled: false })

test('the methods, the class and the listeners of pg are untouched', async () => {
	const bare = new pg.Pool(setup.config())
	const pool = off()
	for (const name of ['query', 'connect', 'end', 'newClient', 'waitingCount', 'Client']) {
		expect(Reflect.get(pool, name), name).toBe(Reflect.get(bare, name))
	}
	expect(pool.listenerCount('error')).toBe(0)
	const client = await pool.connect()
	const bareClient = await bare.connect()
	expect(client.listenerCount('error')).toBe(bareClient.listenerCount('error'))
	client.release()
	bareClient.release()
	expect(client.listenerCount('error')).toBe(bareClient.listenerCount('error'))
	await bare.end()
})

test('an SQL error costs the connection, as on the bare pool', async () => {
	const pool = off({ max: 1 })
	const { rows } = await pool.query('select pg_backend_pid() as pid')
	expect(await ending(() => pool.query('select 1/0'))).toMatchObject({ rejected: { code: '22012' } })
	expect((await pool.query('select pg_backend_pid() as pid')).rows).not.toEqual(rows)
})

test('the loss of an idle connection is an uncaught error, as on the bare pool', async () => {
	const pool = off({ max: 1 })
	const { rows } = await pool.query('select pg_backend_pid() as pid')
	const accidents = accidentMark()
	await setup.server.query(`select pg_terminate_backend(${rows[0].pid})`)
	await until(() => accidents.accidents.length > 0, { what: 'the process to be told' })
	accidents.stop()
	expect(accidents.accidents[0]).toContain('uncaught exception')
})

test('the loss of a borrowed client is an uncaught error, as on the bare pool', async () => {
	const pool = off({ max: 1 })
	const client = await pool.connect()
	const { rows } = await client.query('select pg_backend_pid() as pid')
	const accidents = accidentMark()
	await setup.server.query(`select pg_terminate_backend(${rows[0].pid})`)
	await until(() => accidents.accidents.length > 0, { what: 'the process to be told' })
	accidents.stop()
	client.release()
})

test('transaction(), ready() and stats() work, and leave no listener behind', async () => {
	const pool = off({ max: 1 })
	await pool.holdfast.ready()
	let runs = 0
	const rows = await pool.transaction(async (tx) => {
		runs += 1
		if (runs === 1) await tx.query("do $$ begin raise exception using errcode = '40001'; end $$")
		return (await tx.query('select 1 as a')).rows
	})
	expect(rows).toEqual([{ a: 1 }])
	expect(pool.holdfast.stats().retries).toEqual({ serialization_failure: 1 })
	const client = await pool.connect()
	expect(client.listenerCount('error')).toBe(0)
	client.release()
})

/** A transaction whose first run loses its connection. Resolves with the number of its runs. */
function losesConnection(pool: HoldfastPool): Promise<number> {
	let runs = 0
	return pool.transaction(async (tx) => {
		runs += 1
		const { rows } = await tx.query('select pg_backend_pid() as pid')
		if (runs === 1) {
			await setup.server.query(`select pg_terminate_backend(${rows[0].pid})`)
			await tx.query('select 1')
		}
		return runs
	})
}

test('a transaction that loses its connection does not end the process', async () => {
	const pool = off({ max: 1 })
	const accidents = accidentMark()
	expect(await losesConnection(pool)).toBe(2)
	await accidents.assertNone()
	accidents.stop()
})

test('a transaction that waited its turn and loses its connection does not end the process', async () => {
	const pool = off({ max: 1 })
	const client = await pool.connect()
	const accidents = accidentMark()
	const value = losesConnection(pool)
	await until(() => pool.holdfast.stats().waiting === 1, { what: 'the transaction to wait' })
	client.release()
	expect(await value).toBe(2)
	await accidents.assertNone()
	accidents.stop()
})

test('a transaction waits its turn behind borrowers of a busy pool', async () => {
	const pool = off({ max: 1 })
	const client = await pool.connect()
	const waiting = pool.transaction(async (tx) => (await tx.query('select 1 as a')).rows)
	await until(() => pool.holdfast.stats().waiting === 1, { what: 'the transaction to wait' })
	client.release()
	expect(await waiting).toEqual([{ a: 1 }])
})

test('wrapping a second time with enabled: true changes nothing: the options of the first time hold', async () => {
	const pool = off()
	expect(holdfast(pool).query).toBe(pg.Pool.prototype.query)
})
