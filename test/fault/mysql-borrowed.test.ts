/** A borrower of getConnection() commits by hand or through an ORM on MySQL or MariaDB: is a lost COMMIT resolved, and is nothing left behind? */
import { sql as drizzleSql } from 'drizzle-orm'
import { drizzle } from 'drizzle-orm/mysql2'
import { commitLedger, InDoubtError, type PoolOptions, retryReport } from 'holdfast'
import knex from 'knex'
import { Kysely, MysqlDialect } from 'kysely'
import type { Connection } from 'mysql2'
import type { PoolConnection, RowDataPacket } from 'mysql2/promise'
import { beforeEach, describe, expect, test } from 'vitest'
import { caught } from '../support/caught.ts'
import { flavours } from '../support/mysql.ts'
import { until } from '../support/until.ts'
import { onMysqlStage } from './on-stage.ts'

describe.each(flavours)('%s', (flavour) => {
	const at = onMysqlStage(flavour, { columns: 'id int PRIMARY KEY' })
	beforeEach(() => at.ask('DROP TABLE IF EXISTS heavy; CREATE TABLE heavy (id int)'))

	const withLedger = (): PoolOptions => ({ commit: commitLedger({ create: true }) })
	const isCommit = /^\s*(?:\/\*.*\*\/)?\s*commit/i
	const loseCommitItself = () =>
		at.proxy.intercept({
			from: 'client',
			match: ({ type, text }) => type === 'COM_QUERY' && isCommit.test(text ?? ''),
			action: 'cut before',
		})

	/** The callback connection in that of a promise pool. */
	const bareOf = (connection: PoolConnection) => connection.connection as unknown as Connection
	const called = (run: (done: (error: unknown) => void) => void) =>
		new Promise<void>((resolve, reject) => run((error) => (error ? reject(error) : resolve())))

	const styles: Array<[string, (connection: PoolConnection) => Promise<unknown>, (connection: PoolConnection) => Promise<unknown>]> = [
		['BEGIN and COMMIT', (c) => c.query('BEGIN'), (c) => c.query('COMMIT')],
		['lower case with comments', (c) => c.query('/* a */ start transaction'), (c) => c.query('/* b */ commit work;')],
		['beginTransaction() and commit()', (c) => c.beginTransaction(), (c) => c.commit()],
		['an options object', (c) => c.query({ sql: 'BEGIN' }), (c) => c.query({ sql: 'COMMIT' })],
		['prepared statements', (c) => c.query('BEGIN'), (c) => c.execute('COMMIT')],
		['SET autocommit = 0', (c) => c.query('SET autocommit = 0'), (c) => c.query('COMMIT')],
		['callbacks', (c) => called((done) => bareOf(c).beginTransaction(done)), (c) => called((done) => bareOf(c).commit(done))],
	]

	test.each(styles)('%s: the reply of COMMIT is lost, and the borrower sees the success that it was', async (_style, begin, commit) => {
		const pool = at.wrap(withLedger())
		const connection = await pool.getConnection()
		await begin(connection)
		await connection.query('INSERT INTO written VALUES (1)')
		const lost = at.loseCommitReply()
		const answer = await commit(connection)
		connection.release()
		expect({ hits: lost.hits, ids: await at.ids() }).toEqual({ hits: 1, ids: [1] })
		if (Array.isArray(answer)) expect(answer[0]).toMatchObject({ affectedRows: 0, fieldCount: 0 })
		expect(pool.holdfast.stats()).toMatchObject({ inDoubt: 1, resolved: { applied: 1 } })
		expect((await pool.query('SELECT 1 AS n'))[0]).toEqual([{ n: 1 }])
	})

	test.each(styles)('%s: the COMMIT never arrived, and the borrower gets the driver’s own error', async (_style, begin, commit) => {
		const pool = at.wrap(withLedger())
		const connection = await pool.getConnection()
		await begin(connection)
		await connection.query('INSERT INTO written VALUES (1)')
		loseCommitItself()
		const error = await caught(commit(connection))
		connection.release()
		expect(error).toMatchObject({ code: expect.stringMatching(/PROTOCOL_CONNECTION_LOST|ECONNRESET/) })
		expect(retryReport(error)?.faults.at(-1)).toMatchObject({ outcome: 'rolled_back' })
		expect(await at.ids()).toEqual([])
		expect(pool.holdfast.stats()).toMatchObject({ inDoubt: 1, resolved: { notApplied: 1 } })
	})

	test('a read-only transaction has nothing in doubt: a lost COMMIT of one is the driver’s own error', async () => {
		const pool = at.wrap(withLedger())
		const connection = await pool.getConnection()
		await connection.query('START TRANSACTION READ ONLY')
		const lost = at.loseCommitReply()
		const error = await caught(connection.commit())
		connection.release()
		expect(error).toMatchObject({ code: expect.stringMatching(/PROTOCOL_CONNECTION_LOST|ECONNRESET/) })
		expect({ hits: lost.hits, ...pool.holdfast.stats() }).toMatchObject({ hits: 1, inDoubt: 0, resolved: { unresolved: 0 } })
	})

	test('a link that dies under the token: the COMMIT was never sent, and the borrower gets the driver’s own error', async () => {
		const pool = at.wrap(withLedger())
		const connection = await pool.getConnection()
		await connection.beginTransaction()
		await connection.query('INSERT INTO written VALUES (1)')
		const lost = at.proxy.intercept({
			from: 'client',
			match: ({ text }) => text?.startsWith('INSERT INTO `holdfast') === true,
			action: 'cut before',
		})
		const error = await caught(connection.commit())
		connection.release()
		expect(error).toMatchObject({ code: expect.stringMatching(/PROTOCOL_CONNECTION_LOST|ECONNRESET/) })
		expect(retryReport(error)?.faults.at(-1)).toMatchObject({ outcome: 'rolled_back' })
		expect({ hits: lost.hits, ids: await at.ids() }).toEqual({ hits: 1, ids: [] })
		expect(pool.holdfast.stats()).toMatchObject({ inDoubt: 0 })
	})

	test('a COMMIT that mysql2 itself gave up waiting for is asked for once, and answered once', async () => {
		const pool = at.wrap(withLedger())
		const connection = bareOf(await pool.getConnection())
		await called((done) => connection.beginTransaction(done))
		await called((done) => connection.query('INSERT INTO written VALUES (1)', done))
		const hole = at.proxy.intercept({ from: 'server', match: ({ tag }) => tag === 'COMMIT', action: 'black hole' })
		const answers: unknown[] = []
		connection.query({ sql: 'COMMIT', timeout: 300 }, (error) => answers.push(error))
		await until(() => answers.length > 0, { what: 'the answer of the COMMIT' })
		pool.pool.releaseConnection(connection as never)
		await pool.query('SELECT 1')
		expect({ hits: hole.hits, answers, ids: await at.ids() }).toEqual({ hits: 1, answers: [null], ids: [1] })
		expect(pool.holdfast.stats()).toMatchObject({ inDoubt: 1, resolved: { applied: 1, notApplied: 0, unresolved: 0 } })
	})

	test('without a ledger a lost COMMIT is an InDoubtError, and with commit: off the driver’s own error', async () => {
		for (const [options, expected] of [
			[{}, { code: 'HOLDFAST_IN_DOUBT' }],
			[{ commit: 'off' as const }, { code: expect.stringMatching(/PROTOCOL_CONNECTION_LOST|ECONNRESET/) }],
		] as const) {
			const pool = at.wrap(options)
			const connection = await pool.getConnection()
			await connection.beginTransaction()
			at.loseCommitReply()
			const error = await caught(connection.commit())
			connection.release()
			expect(error).toMatchObject(expected)
			expect(error instanceof InDoubtError).toBe('code' in expected && expected.code === 'HOLDFAST_IN_DOUBT')
		}
	})

	test('a COMMIT among several statements is in doubt when its reply is lost', async () => {
		const pool = at.wrap(withLedger(), { multipleStatements: true })
		const connection = await pool.getConnection()
		at.loseCommitReply()
		const error = await caught(connection.query('BEGIN; INSERT INTO written VALUES (1); COMMIT'))
		connection.release()
		expect(error).toBeInstanceOf(InDoubtError)
	})

	test('a COMMIT without a transaction leaves no token, and statements of one who does not wait stay in order', async () => {
		const pool = at.wrap(withLedger())
		const connection = await pool.getConnection()
		at.proxy.resetCounters()
		await connection.query('COMMIT')
		expect(at.proxy.seen.statementsLike('INSERT INTO `holdfast')).toBe(0)
		const all = Promise.all(['BEGIN', 'INSERT INTO written VALUES (1)', 'COMMIT', 'SELECT 3 AS n'].map((text) => connection.query(text)))
		expect((await all).at(-1)?.[0]).toEqual([{ n: 3 }])
		expect(at.proxy.seen.statementsLike('INSERT INTO `holdfast')).toBe(1)
		connection.release()
		expect(await at.ids()).toEqual([1])
	})

	test('the first BEGIN on a dead connection is moved to a fresh one, and the borrower does not notice', async () => {
		const pool = at.wrap(withLedger(), { connectionLimit: 1 })
		const connection = await pool.getConnection()
		const { threadId } = connection
		const lost = at.proxy.intercept({ from: 'client', match: ({ text }) => text === 'START TRANSACTION', action: 'cut before' })
		await connection.beginTransaction()
		expect({ hits: lost.hits, same: connection.threadId === threadId }).toEqual({ hits: 1, same: false })
		const [[answering]] = await connection.query<RowDataPacket[]>('SELECT CONNECTION_ID() AS id')
		expect(answering?.id).toBe(connection.threadId)
		await connection.execute('INSERT INTO written VALUES (?)', [1])
		at.loseCommitReply()
		await connection.commit()
		connection.release()
		expect(await at.ids()).toEqual([1])
		await expect(connection.query('SELECT 1')).rejects.toThrow()
		expect((await pool.query('SELECT 1 AS n'))[0]).toEqual([{ n: 1 }])
	})

	test('a BEGIN behind other statements is not moved: with the session their settings are gone', async () => {
		const pool = at.wrap(withLedger())
		const connection = await pool.getConnection()
		await connection.query('SET @a = 1')
		at.proxy.intercept({ from: 'client', match: ({ text }) => text === 'BEGIN', action: 'cut before' })
		expect(await caught(connection.query('BEGIN'))).toMatchObject({ code: expect.stringMatching(/PROTOCOL_CONNECTION_LOST|ECONNRESET/) })
		connection.release()
	})

	test('a moved borrower waits its turn, and its connection comes back to the pool', async () => {
		const pool = at.wrap({}, { connectionLimit: 1 })
		const connection = await pool.getConnection()
		at.proxy.intercept({ from: 'client', match: ({ text }) => text === 'BEGIN', action: 'cut before' })
		const next = pool.getConnection().then(async (borrowed) => {
			const [rows] = await borrowed.query('SELECT 2 AS n')
			borrowed.release()
			return rows
		})
		await connection.query('BEGIN')
		expect(await next).toEqual([{ n: 2 }])
		await connection.rollback()
		connection.release()
		connection.release()
		// What answered for it belongs to somebody else now.
		await expect(connection.query('SELECT 1')).rejects.toThrow()
		expect((await pool.query('SELECT 3 AS n'))[0]).toEqual([{ n: 3 }])
	})

	test('a connection that comes back with an open transaction is never handed out again', async () => {
		const pool = at.wrap(withLedger(), { connectionLimit: 1 })
		const connection = await pool.getConnection()
		const { threadId } = connection
		await connection.beginTransaction()
		await connection.query('INSERT INTO written VALUES (1)')
		connection.release()
		const next = await pool.getConnection()
		expect(next.threadId).not.toBe(threadId)
		await next.query('COMMIT')
		next.release()
		expect(await at.ids()).toEqual([])
		expect(pool.holdfast.stats()).toMatchObject({ discarded: 1 })
	})

	test.each([
		['a procedure that begins one and fails', 'CALL begins()', ''],
		['a statement that fails in a session without autocommit', 'INSERT INTO written VALUES (7), (7)', 'SET autocommit = 0'],
	])('an error hides an open transaction, of %s: the connection is not handed out with it', async (_what, text, before) => {
		await at.ask(
			"DROP PROCEDURE IF EXISTS begins; CREATE PROCEDURE begins() BEGIN START TRANSACTION; INSERT INTO written VALUES (1); SIGNAL SQLSTATE '45000'; END",
		)
		const pool = at.wrap(withLedger(), { connectionLimit: 1 })
		const connection = await pool.getConnection()
		if (before !== '') await connection.query(before)
		await caught(connection.query(text))
		connection.release()
		const next = await pool.getConnection()
		expect(next.threadId).not.toBe(connection.threadId)
		await next.query('COMMIT')
		next.release()
		expect(await at.ids()).toEqual([])
	})

	test('after a deadlock the borrower’s statements are refused until its ROLLBACK: they would be committed one by one', async () => {
		const pool = at.wrap(withLedger())
		await at.ask('INSERT INTO written VALUES (1), (2)')
		const rival = await pool.getConnection()
		const victim = await pool.getConnection()
		await rival.query('BEGIN')
		await rival.query(`INSERT INTO heavy VALUES ${Array.from({ length: 300 }, (_, i) => `(${i})`).join()}`)
		await rival.query('SELECT * FROM written WHERE id = 2 FOR UPDATE')
		await victim.query('BEGIN')
		await victim.query('SELECT * FROM written WHERE id = 1 FOR UPDATE')
		const waits = rival.query('SELECT * FROM written WHERE id = 1 FOR UPDATE')
		const waiting = "SELECT 1 FROM information_schema.innodb_trx WHERE trx_state = 'LOCK WAIT'"
		// InnoDB keeps what this table shows for as long as it is asked more often than every 100 ms.
		await until(async () => (await at.ask(waiting)).length > 0, { what: 'the rival to wait', everyMs: 120 })
		expect(await caught(victim.query('SELECT * FROM written WHERE id = 2 FOR UPDATE'))).toMatchObject({ errno: 1213 })
		await waits
		expect(await caught(victim.query('INSERT INTO written VALUES (3)'))).toMatchObject({ code: 'HOLDFAST_ROLLED_BACK' })
		expect(await caught(victim.commit())).toMatchObject({ code: 'HOLDFAST_ROLLED_BACK' })
		await rival.query('ROLLBACK')
		await victim.beginTransaction()
		await victim.query('INSERT INTO written VALUES (4)')
		await victim.commit()
		rival.release()
		victim.release()
		expect(await at.ids()).toEqual([1, 2, 4])
	})

	test('a ledger that is missing is told at BEGIN, and what was sent behind it is not run on its own', async () => {
		const pool = at.wrap({ commit: commitLedger({ table: 'no_such_ledger' }) })
		const connection = await pool.getConnection()
		const [begun, sent] = await Promise.all([
			caught(connection.beginTransaction()),
			caught(connection.query('INSERT INTO written VALUES (1)')),
		])
		expect(begun).toMatchObject({ code: 'HOLDFAST_LEDGER' })
		expect(sent).toBe(begun)
		await connection.rollback()
		expect((await connection.query('SELECT 1 AS n'))[0]).toEqual([{ n: 1 }])
		connection.release()
		expect(await at.ids()).toEqual([])
	})

	test('a ledger that was dropped since is told at COMMIT, which is not sent: the transaction is still there to be rolled back', async () => {
		const pool = at.wrap(withLedger())
		const connection = await pool.getConnection()
		await connection.beginTransaction()
		await connection.query('INSERT INTO written VALUES (1)')
		await at.ask('DROP TABLE holdfast_commits')
		at.proxy.resetCounters()
		expect(await caught(connection.commit())).toMatchObject({ code: 'HOLDFAST_LEDGER', cause: { errno: 1146 } })
		expect(at.proxy.seen.statementsLike('COMMIT')).toBe(0)
		await connection.rollback()
		connection.release()
		expect(await at.ids()).toEqual([])
	})

	test('a transaction that may not write is committed without a token', async () => {
		const pool = at.wrap(withLedger())
		const connection = await pool.getConnection()
		await connection.query('START TRANSACTION READ ONLY')
		await connection.query('SELECT * FROM written')
		await connection.commit()
		connection.release()
	})

	test('Kysely over a wrapped pool', async () => {
		const pool = at.wrap(withLedger())
		const db = new Kysely<{ written: { id: number } }>({ dialect: new MysqlDialect({ pool: pool.pool as never }) })
		const lost = at.loseCommitReply()
		const value = await db.transaction().execute(async (tx) => {
			await tx.insertInto('written').values({ id: 1 }).execute()
			return 'done'
		})
		expect({ value, hits: lost.hits, ids: await at.ids() }).toEqual({ value: 'done', hits: 1, ids: [1] })
	})

	test('Drizzle over a wrapped pool', async () => {
		const db = drizzle(at.wrap(withLedger()) as never)
		const lost = at.loseCommitReply()
		await db.transaction(async (tx) => {
			await tx.execute(drizzleSql`INSERT INTO written VALUES (1)`)
		})
		expect({ hits: lost.hits, ids: await at.ids() }).toEqual({ hits: 1, ids: [1] })
	})

	test('Knex over a wrapped pool', async () => {
		const pool = at.wrap(withLedger())
		const db = knex({ client: 'mysql2', connectionPool: pool.pool } as never)
		const lost = at.loseCommitReply()
		await db.transaction(async (tx) => {
			await tx('written').insert({ id: 1 })
		})
		expect({ hits: lost.hits, ids: await at.ids() }).toEqual({ hits: 1, ids: [1] })
		await db.destroy()
	})
})
