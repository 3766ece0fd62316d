/** The server no longer knows what mysql2 has prepared (1243), or wants it prepared anew (1615): who notices? MySQL and MariaDB. */
import type { PoolConnection, RowDataPacket } from 'mysql2/promise'
import { describe, expect, test } from 'vitest'
import { flavours } from '../support/mysql.ts'
import type { WrappedPool } from './mysql-stage.ts'
import { onMysqlStage } from './on-stage.ts'

interface Prepared {
	close(): void
}

describe.each(flavours)('%s', (flavour) => {
	const at = onMysqlStage(flavour)

	const add = 'INSERT INTO written VALUES (?)'
	/** As a proxy does that gives the next statement another session: the server forgets what mysql2 remembers. */
	const forget = (connection: PoolConnection) => {
		const { _statements: statements } = connection.connection as unknown as { _statements: { values(): Iterable<Prepared> } }
		for (const prepared of statements.values()) prepared.close()
	}
	const forgetAll = async (pool: WrappedPool) => {
		const connection = await pool.getConnection()
		forget(connection)
		connection.release()
	}

	test('a write is prepared anew and applied once, outside a transaction and inside', async () => {
		const pool = at.wrap({}, { connectionLimit: 1 })
		await pool.execute(add, [1])
		await forgetAll(pool)
		await pool.execute(add, [2])
		await forgetAll(pool)
		let runs = 0
		await pool.transaction(async (tx) => {
			runs += 1
			await tx.query('INSERT INTO written VALUES (3)')
			await tx.execute(add, [4])
		})
		expect(runs).toBe(2)
		expect(await at.ids()).toEqual([1, 2, 3, 4])
		expect(pool.holdfast.stats()).toMatchObject({ retries: { stale_plan: 2 }, inDoubt: 0, endpoint: { outages: 0 } })
	})

	test('a procedure that was not begun is run again, once: it is not in doubt', async () => {
		await at.ask('DROP PROCEDURE IF EXISTS add_one')
		await at.ask('CREATE PROCEDURE add_one(id int) INSERT INTO written VALUES (id)')
		const pool = at.wrap({}, { connectionLimit: 1 })
		await pool.execute('CALL add_one(?)', [1])
		await forgetAll(pool)
		await pool.execute('CALL add_one(?)', [2])
		expect(await at.ids()).toEqual([1, 2])
		expect(pool.holdfast.stats()).toMatchObject({ retries: { stale_plan: 1 }, inDoubt: 0 })
	})

	test('a borrower gets the server’s own error; what is prepared next is prepared anew', async () => {
		const pool = at.wrap({}, { connectionLimit: 1 })
		const connection = await pool.getConnection()
		await connection.execute(add, [1])
		forget(connection)
		await expect(connection.execute(add, [2])).rejects.toMatchObject({ errno: 1243, code: 'ER_UNKNOWN_STMT_HANDLER' })
		await connection.execute(add, [3])
		connection.release()
		expect(await at.ids()).toEqual([1, 3])
		expect(pool.holdfast.stats().retries).toEqual({})
	})

	test('1615 is run again, outside a transaction and inside', async () => {
		await at.ask('DROP FUNCTION IF EXISTS at_second_try')
		await at.ask(
			`CREATE FUNCTION at_second_try() RETURNS int NOT DETERMINISTIC NO SQL BEGIN
				SET @tries = COALESCE(@tries, 0) + 1;
				IF @tries % 2 = 1 THEN SIGNAL SQLSTATE 'HY000' SET MYSQL_ERRNO = 1615, MESSAGE_TEXT = 'Prepared statement needs to be re-prepared'; END IF;
				RETURN @tries; END`,
		)
		const pool = at.wrap({}, { connectionLimit: 1 })
		const [first] = await pool.execute<RowDataPacket[]>('SELECT at_second_try() AS n')
		expect(first).toEqual([{ n: 2 }])
		const second = await pool.transaction(async (tx) => {
			await tx.query('INSERT INTO written VALUES (1)')
			return (await tx.execute<RowDataPacket[]>('SELECT at_second_try() AS n'))[0]
		})
		expect(second).toEqual([{ n: 4 }])
		expect(await at.ids()).toEqual([1])
		expect(pool.holdfast.stats()).toMatchObject({ retries: { stale_plan: 2 } })
	})

	test.each(['EXECUTE nowhere', 'DEALLOCATE PREPARE nowhere'])(
		'what the user has prepared by SQL is the user’s business: %s fails at once',
		async (text) => {
			const pool = at.wrap({}, { connectionLimit: 1 })
			await expect(pool.query(text)).rejects.toMatchObject({ errno: 1243 })
			expect(pool.holdfast.stats().retries).toEqual({})
			expect(pool.holdfast.stats()).toMatchObject({ discarded: 0 })
		},
	)
})
