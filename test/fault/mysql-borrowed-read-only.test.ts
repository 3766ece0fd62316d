/** The one server of a pool is set read-only while somebody holds a connection: what does the borrower notice? Nothing, unless his session holds something. */
import type { Connection } from 'mysql2'
import { afterEach, describe, expect, test } from 'vitest'
import { flavours } from '../support/mysql.ts'
import { until } from '../support/until.ts'
import type { WrappedPool } from './mysql-stage.ts'
import { onMysqlStage } from './on-stage.ts'

describe.each(flavours)('%s', (flavour) => {
	const at = onMysqlStage(flavour)
	const access = flavour === 'mysql' ? 'transaction_read_only' : 'tx_read_only'
	const readOnly = (isOn: boolean) => at.ask(`SET GLOBAL read_only = ${isOn ? 1 : 0}`)
	afterEach(() => at.ask(`SET GLOBAL read_only = 0, GLOBAL ${access} = 0`))

	const refused = (pool: WrappedPool, times = 1) =>
		until(() => (pool.holdfast.stats().retries.read_only ?? 0) >= times, { what: 'the server to be found read-only' })
	const insert = (id: number) => `INSERT INTO written VALUES (${id})`

	test('a statement, and the first of a transaction, waits until the server takes writes again, and is run once', async () => {
		const pool = at.wrap({}, { connectionLimit: 2 })
		const [alone, inTransaction] = await Promise.all([pool.getConnection(), pool.getConnection()])
		await alone.query('SELECT 1')
		await inTransaction.beginTransaction()
		await inTransaction.execute('UPDATE written SET id = ? WHERE id = 0', [1])
		await inTransaction.commit()
		await inTransaction.beginTransaction()
		const before = inTransaction.threadId
		await readOnly(true)
		const first = new Promise((resolve, reject) => {
			const bare = alone.connection as unknown as Connection
			bare.query('INSERT INTO written VALUES (?)', [2], (error, result) => (error ? reject(error) : resolve(result)))
		})
		const second = inTransaction.execute('INSERT INTO written VALUES (?)', [3])
		await refused(pool, 2)
		// What is sent meanwhile stays behind it.
		const third = inTransaction.query(insert(4))
		const commit = inTransaction.commit()
		await readOnly(false)
		expect(await Promise.all([first, second, third])).toMatchObject([
			{ affectedRows: 1 },
			[{ affectedRows: 1 }, undefined],
			[{ affectedRows: 1 }, undefined],
		])
		await commit
		expect(inTransaction.threadId).not.toBe(before)
		for (const connection of [alone, inTransaction]) connection.release()
		expect(await at.ids()).toEqual([2, 3, 4])
		expect(pool.holdfast.stats()).toMatchObject({ inDoubt: 0, endpoint: { state: 'up' } })
	})

	test('what has been sent behind it without waiting, or a session that holds something, keeps the server’s error', async () => {
		const pool = at.wrap({}, { connectionLimit: 3 })
		const [holds, sendsAhead, hasWritten] = await Promise.all([pool.getConnection(), pool.getConnection(), pool.getConnection()])
		await holds.query("SELECT GET_LOCK('mine', 0)")
		// LAST_INSERT_ID() may be asked for later.
		await hasWritten.query(insert(1))
		await sendsAhead.beginTransaction()
		await readOnly(true)
		await expect(holds.query(insert(2))).rejects.toMatchObject({ errno: 1290 })
		await expect(hasWritten.query(insert(2))).rejects.toMatchObject({ errno: 1290 })
		const both = await Promise.allSettled([2, 3].map((id) => sendsAhead.query(insert(id))))
		expect(both.map((each) => each.status === 'rejected' && each.reason.errno)).toEqual([1290, 1290])
		await sendsAhead.rollback()
		for (const connection of [holds, sendsAhead, hasWritten]) connection.release()
		await readOnly(false)
		expect(await at.ids()).toEqual([1])
	})

	test('sessions whose transactions are read-only (1792): waited for where the server was set so, told at once where the borrower was', async () => {
		await at.ask(`SET GLOBAL ${access} = 1`)
		const pool = at.wrap({}, { connectionLimit: 1 })
		const connection = await pool.getConnection()
		const write = connection.query(insert(1))
		await refused(pool)
		await at.ask(`SET GLOBAL ${access} = 0`)
		await write
		await connection.query('START TRANSACTION READ ONLY')
		await expect(connection.query(insert(2))).rejects.toMatchObject({ errno: 1792 })
		await connection.query('ROLLBACK')
		connection.release()
		expect(await at.ids()).toEqual([1])
	})

	test('the server stays read-only: the statement gets its own error at the deadline; a connection that is given back while it waits is not kept', async () => {
		const pool = at.wrap({ deadlineMs: 400 }, { connectionLimit: 1 })
		const connection = await pool.getConnection()
		await readOnly(true)
		await expect(connection.query(insert(1))).rejects.toMatchObject({ errno: 1290 })
		connection.release()
		await readOnly(false)
		const held = await pool.getConnection()
		await readOnly(true)
		const write = held.query(insert(2)).catch((error: unknown) => error)
		await refused(pool, 2)
		held.release()
		await readOnly(false)
		expect(await write).toMatchObject({ errno: 1290 })
		// There is one place in the pool, and it is free.
		await pool.query(insert(3))
		expect(await at.ids()).toEqual([3])
	})
})
