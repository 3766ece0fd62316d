/** The one server of a pool is set read-only while somebody holds a connection: what does the borrower notice? Nothing, unless his session holds something. */
import type { HoldfastPool } from 'holdfast/pg'
import { afterEach, expect, test } from 'vitest'
import { until } from '../support/until.ts'
import { onStage } from './on-stage.ts'

const at = onStage()
const readOnly = async (isOn: boolean) => void (await at.server.applySettings({ default_transaction_read_only: isOn ? 'on' : 'off' }))
afterEach(() => readOnly(false))

const refused = (pool: HoldfastPool, times = 1) =>
	until(() => (pool.holdfast.stats().retries.read_only ?? 0) >= times, { what: 'the server to be found read-only' })
const insert = (id: number) => `INSERT INTO written VALUES (${id})`

test('a statement, and the first of a transaction, waits until the server takes writes again, and is run once', async () => {
	const pool = at.wrap({}, { max: 2 })
	const [alone, inTransaction] = await Promise.all([pool.connect(), pool.connect()])
	await alone.query('SELECT 1')
	await inTransaction.query('BEGIN')
	await readOnly(true)
	// The transaction began before that, and is not concerned.
	await inTransaction.query(insert(1))
	await inTransaction.query('COMMIT')
	await inTransaction.query('BEGIN')
	const first = new Promise((resolve, reject) => {
		alone.query(insert(2), (error: unknown, result: unknown) => (error ? reject(error) : resolve(result)))
	})
	const second = inTransaction.query({ text: 'INSERT INTO written VALUES ($1)', values: [3], name: 'mine' })
	await refused(pool, 2)
	// What is sent meanwhile stays behind it.
	const third = inTransaction.query(insert(4))
	const commit = inTransaction.query('COMMIT')
	await readOnly(false)
	expect(await Promise.all([first, second, third, commit])).toMatchObject([{ rowCount: 1 }, { rowCount: 1 }, {}, { command: 'COMMIT' }])
	for (const client of [alone, inTransaction]) client.release()
	expect(await at.rows()).toBe(4)
	expect(pool.holdfast.stats()).toMatchObject({ inDoubt: 0, endpoint: { state: 'up' } })
})

test('the first statement of a transaction is part of it also where that was begun anew: ROLLBACK undoes it', async () => {
	const pool = at.wrap({}, { max: 1 })
	const client = await pool.connect()
	await readOnly(true)
	await client.query('BEGIN ISOLATION LEVEL SERIALIZABLE')
	const write = client.query(insert(1))
	await refused(pool)
	await readOnly(false)
	await write
	expect((await client.query('SHOW transaction_isolation')).rows).toEqual([{ transaction_isolation: 'serializable' }])
	await client.query('ROLLBACK')
	client.release()
	expect(await at.rows()).toBe(0)
})

test('what has been sent behind it without waiting, or a session that holds something, keeps the server’s error', async () => {
	const pool = at.wrap({}, { max: 2 })
	const [locks, sendsAhead] = await Promise.all([pool.connect(), pool.connect()])
	await locks.query('SELECT pg_advisory_lock(42)')
	await readOnly(true)
	await expect(locks.query(insert(1))).rejects.toMatchObject({ code: '25006' })
	await sendsAhead.query('BEGIN')
	const both = [insert(2), insert(3)].map((text) => sendsAhead.query(text))
	expect((await Promise.allSettled(both)).map((each) => each.status === 'rejected' && each.reason.code)).toEqual(['25006', '25P02'])
	await expect(sendsAhead.query('COMMIT')).rejects.toMatchObject({ code: 'HOLDFAST_ROLLED_BACK' })
	for (const client of [locks, sendsAhead]) client.release()
	await readOnly(false)
	expect(await at.rows()).toBe(0)
})

test('who has asked for read-only is told at once, and his transaction is failed as he would have left it', async () => {
	const pool = at.wrap({}, { max: 1 })
	const client = await pool.connect()
	await client.query('BEGIN READ ONLY')
	await expect(client.query(insert(1))).rejects.toMatchObject({ code: '25006' })
	await expect(client.query('SELECT 1')).rejects.toMatchObject({ code: '25P02' })
	await client.query('ROLLBACK')
	client.release()
	const session = at.wrap({}, { max: 1, options: '-c default_transaction_read_only=on' })
	const other = await session.connect()
	await expect(other.query(insert(1))).rejects.toMatchObject({ code: '25006' })
	await other.query('BEGIN')
	await expect(other.query(insert(1))).rejects.toMatchObject({ code: '25006' })
	await expect(other.query('SELECT 1')).rejects.toMatchObject({ code: '25P02' })
	await expect(other.query('COMMIT')).rejects.toMatchObject({ code: 'HOLDFAST_ROLLED_BACK' })
	other.release()
	expect(await at.rows()).toBe(0)
	for (const each of [pool, session]) expect(each.holdfast.stats().outages).toBe(0)
})

test('the server stays read-only: the statement gets its own error at the deadline; a connection that is given back while it waits is not kept', async () => {
	const pool = at.wrap({ deadlineMs: 400 }, { max: 1 })
	const client = await pool.connect()
	await readOnly(true)
	await expect(client.query(insert(1))).rejects.toMatchObject({ code: '25006' })
	client.release()
	await readOnly(false)
	const held = await pool.connect()
	await readOnly(true)
	const write = held.query(insert(2)).catch((error: unknown) => error)
	await refused(pool, 2)
	held.release(true)
	await readOnly(false)
	expect(await write).toMatchObject({ code: '25006' })
	// There is one place in the pool, and it is free.
	await pool.query(insert(3))
	expect(await at.rows()).toBe(1)
})

test('SET TRANSACTION behind a text that has begun a transaction and written is refused, as with bare pg, and nothing is lost', async () => {
	const pool = at.wrap()
	const client = await pool.connect()
	await client.query(`BEGIN; ${insert(1)}`)
	await expect(client.query('SET TRANSACTION ISOLATION LEVEL SERIALIZABLE')).rejects.toMatchObject({ code: '25001' })
	await client.query('ROLLBACK')
	await client.query(`BEGIN; ${insert(1)}`)
	await client.query('COMMIT')
	client.release()
	expect(await at.rows()).toBe(1)
})

test('it is run as it was said: with its values as they were when it was sent', async () => {
	const pool = at.wrap({}, { max: 1 })
	const client = await pool.connect()
	await readOnly(true)
	const text = 'INSERT INTO written VALUES ($1)'
	const values = [1]
	const first = client.query(text, values)
	values[0] = 9
	await refused(pool)
	const config = { text, values: [2] }
	const second = client.query(config)
	config.values[0] = 9
	await readOnly(false)
	await Promise.all([first, second])
	client.release()
	expect(await at.ids()).toEqual([1, 2])
})
