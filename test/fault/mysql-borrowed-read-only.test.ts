/** The one server of a pool is set read-only while somebody holds a connection: what does the borrower notice? Nothing, unless his session holds something. */
import { createScheduler } from 'holdfast'
import mysql, { type Connection, type Pool, type PoolConnection } from 'mysql2'
import { afterEach, describe, expect, test } from 'vitest'
import { caught } from '../support/caught.ts'
import { flavours } from '../support/mysql.ts'
import { noRetries } from '../support/no-retries.ts'
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

	test('the first statement of a transaction is part of it also where that was begun anew: ROLLBACK undoes it', async () => {
		const pool = at.wrap({}, { connectionLimit: 1 })
		const connection = await pool.getConnection()
		await connection.beginTransaction()
		await readOnly(true)
		const write = connection.query(insert(1))
		await refused(pool)
		await readOnly(false)
		await write
		await connection.rollback()
		connection.release()
		expect(await at.ids()).toEqual([])
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

	test('who has asked for a read-only transaction is told at once, on his own connection, and nobody else notices', async () => {
		const pool = at.wrap({ deadlineMs: 2_000 }, { connectionLimit: 1 })
		const connection = await pool.getConnection()
		const { threadId } = connection
		await connection.query('START TRANSACTION READ ONLY')
		await expect(connection.query(insert(1))).rejects.toMatchObject({ errno: 1792 })
		expect(connection.threadId).toBe(threadId)
		await connection.query('ROLLBACK')
		connection.release()
		expect(await at.ids()).toEqual([])
		expect(pool.holdfast.stats()).toMatchObject({ retries: noRetries, outages: 0 })
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
	test('it is run as it was said: with the options of its connection, and its values as they were when it was sent', async () => {
		const pool = at.wrap({}, { connectionLimit: 1 })
		const connection = await pool.getConnection()
		Object.assign(connection.connection.config, { namedPlaceholders: true, rowsAsArray: true })
		await readOnly(true)
		const values = { id: 1 }
		const first = connection.query('INSERT INTO written VALUES (:id)', values)
		values.id = 9
		await refused(pool)
		const options = { sql: 'INSERT INTO written VALUES ?', values: [[[2]]] }
		const second = connection.query(options)
		options.values[0]?.splice(0, 1, [3])
		const third = connection.query(options)
		options.values = [[[9]]]
		await readOnly(false)
		await Promise.all([first, second, third])
		expect((await connection.query('SELECT id FROM written ORDER BY id'))[0]).toEqual([[1], [2], [3]])
		connection.release()
		expect(await at.ids()).toEqual([1, 2, 3])
	})

	test('a stream that is asked for meanwhile gives row by row', async () => {
		const pool = at.wrap({}, { connectionLimit: 1 })
		const connection = await pool.getConnection()
		await readOnly(true)
		const write = connection.query(insert(1))
		await refused(pool)
		const stream = (connection.connection as unknown as Connection).query('SELECT 1 AS id UNION ALL SELECT 2').stream()
		await readOnly(false)
		expect(await stream.toArray()).toEqual([{ id: 1 }, { id: 2 }])
		await write
		connection.release()
		expect(await at.ids()).toEqual([1])
	})

	test('a lock that was taken by a value of mysql.raw is not lost', async () => {
		const pool = at.wrap({}, { connectionLimit: 1 })
		const connection = await pool.getConnection()
		await connection.query('SELECT ?', [mysql.raw("GET_LOCK('mine', 0)")])
		await readOnly(true)
		await expect(connection.query(insert(1))).rejects.toMatchObject({ errno: 1290 })
		const [[own]] = (await connection.query("SELECT IS_USED_LOCK('mine') = CONNECTION_ID() AS own")) as unknown as [[{ own: number }]]
		expect(own.own).toBe(1)
		connection.release()
		await readOnly(false)
		expect(await at.ids()).toEqual([])
	})

	test('a BEGIN that would have committed a transaction whose connection is lost says so', async () => {
		const pool = at.wrap({}, { connectionLimit: 1 })
		await pool.query(insert(1))
		const connection = await pool.getConnection()
		await connection.beginTransaction()
		await connection.query('UPDATE written SET id = 2')
		await at.ask(`KILL ${connection.threadId}`)
		await expect(connection.beginTransaction()).rejects.toThrow()
		connection.release()
		expect(await at.ids()).toEqual([1])
		expect(pool.holdfast.stats().retries).toEqual({})
	})

	/** The connection, and the pool, that call back. */
	const bareOf = async (pool: WrappedPool) => ({
		calledBack: pool.pool as unknown as Pool,
		connection: (await pool.getConnection()).connection as unknown as PoolConnection,
	})
	const told = (connection: PoolConnection, text: string) => new Promise((resolve) => connection.query(text, resolve))
	const leaving: ReadonlyArray<readonly [string, (pool: Pool, connection: PoolConnection) => void]> = [
		['release()', (_pool, connection) => connection.release()],
		['pool.releaseConnection()', (pool, connection) => pool.releaseConnection(connection)],
		['destroy()', (_pool, connection) => connection.destroy()],
	]

	test.each(leaving)(
		'%s before the server has said why it refused: the borrower gets no other connection, and the place is free',
		async (_how, leave) => {
			await at.ask(`SET GLOBAL ${access} = 1`)
			const pool = at.wrap({ deadlineMs: 5_000, scheduler: createScheduler({ probeTimeoutMs: 500 }) }, { connectionLimit: 1 })
			const { calledBack, connection } = await bareOf(pool)
			const asked = at.proxy.intercept({
				from: 'client',
				match: ({ text }) => text?.startsWith('SHOW GLOBAL VARIABLES WHERE') === true,
				action: 'pass',
				onHit: () => leave(calledBack, connection),
			})
			let isTold = false
			const write = told(connection, insert(1)).finally(() => {
				isTold = true
			})
			await until(() => isTold || pool.holdfast.stats().outages === 1, { what: 'the server to be found read-only' })
			await at.ask(`SET GLOBAL ${access} = 0`)
			expect(await write).toMatchObject({ errno: 1792 })
			expect(asked.hits).toBe(1)
			await pool.query(insert(2))
			expect(await at.ids()).toEqual([2])
		},
	)

	test('pool.releaseConnection gives back what answers for a connection, and ends the wait for it', async () => {
		const pool = at.wrap({ deadlineMs: 5_000 }, { connectionLimit: 1 })
		const moved = await bareOf(pool)
		await readOnly(true)
		const first = told(moved.connection, insert(1))
		await refused(pool)
		await readOnly(false)
		expect(await first).toBeNull()
		moved.calledBack.releaseConnection(moved.connection)
		await pool.query(insert(2))
		const waits = await bareOf(pool)
		await readOnly(true)
		const second = told(waits.connection, insert(3))
		await refused(pool, 2)
		waits.calledBack.releaseConnection(waits.connection)
		expect(await second).toMatchObject({ errno: 1290 })
		await readOnly(false)
		const gone = await bareOf(pool)
		await readOnly(true)
		const third = told(gone.connection, insert(4))
		gone.calledBack.releaseConnection(gone.connection)
		expect(await third).toMatchObject({ errno: 1290 })
		await readOnly(false)
		await pool.query(insert(5))
		expect(await at.ids()).toEqual([1, 2, 5])
	})

	test('a connection that is given back while its transaction is begun anew on another one: that one comes back without it', async () => {
		const pool = at.wrap({ deadlineMs: 5_000 }, { connectionLimit: 1 })
		const connection = await pool.getConnection()
		await connection.beginTransaction()
		await readOnly(true)
		const write = caught(connection.query(insert(1)))
		await refused(pool)
		const begun = at.proxy.intercept({
			from: 'client',
			match: ({ text }) => text === 'START TRANSACTION',
			action: 'pass',
			onHit: () => connection.release(),
		})
		await readOnly(false)
		expect(await write).toMatchObject({ errno: 1290 })
		expect(begun.hits).toBe(1)
		await pool.query(insert(2))
		expect(await at.ids()).toEqual([2])
	})

	test('a procedure that has written before it was refused is not run again', async () => {
		const refusal = "SIGNAL SQLSTATE 'HY000' SET MYSQL_ERRNO = 1290, MESSAGE_TEXT = 'The server is running with the --read-only option'"
		await at.ask(`DROP PROCEDURE IF EXISTS writes; CREATE PROCEDURE writes() BEGIN ${insert(1)}; ${refusal}; END`)
		const pool = at.wrap({ deadlineMs: 1_000 }, { connectionLimit: 1 })
		const connection = await pool.getConnection()
		await expect(connection.query('CALL writes()')).rejects.toMatchObject({ errno: 1290 })
		connection.release()
		expect(await at.ids()).toEqual([1])
	})
})
