/** A borrower has done something to its MySQL session, or lost it: does it ever go on in a session that it does not expect? */
import { commitLedger, createScheduler } from 'holdfast'
import type { Connection, RowDataPacket } from 'mysql2'
import { describe, expect, test } from 'vitest'
import { caught } from '../support/caught.ts'
import { flavours } from '../support/mysql.ts'
import { onMysqlStage } from './on-stage.ts'

describe.each(flavours)('%s', (flavour) => {
	const at = onMysqlStage(flavour, { columns: 'id int PRIMARY KEY, n int NOT NULL DEFAULT 0' })
	const lost = { code: expect.stringMatching(/PROTOCOL_CONNECTION_LOST|ECONNRESET/) }
	const loseBegin = () =>
		at.proxy.intercept({ from: 'client', match: ({ text }) => text === 'BEGIN' || text === 'START TRANSACTION', action: 'cut before' })

	test('a BEGIN behind changeUser is not moved: the fresh session would write to another database', async () => {
		const pool = at.wrap()
		const connection = await pool.getConnection()
		await connection.changeUser({ database: await at.server.createDatabase('elsewhere') })
		const { threadId } = connection
		loseBegin()
		expect(await caught(connection.beginTransaction())).toMatchObject(lost)
		expect(connection.threadId).toBe(threadId)
		connection.release()
	})

	test('a connection released, or destroyed, while its BEGIN is being moved gets no other, and its place is free', async () => {
		const pool = at.wrap({}, { connectionLimit: 1 })
		for (const leave of ['release', 'destroy'] as const) {
			const connection = (await pool.getConnection()).connection as unknown as Connection & Record<typeof leave, () => void>
			await at.proxy.rejectConnections()
			loseBegin()
			const begun = new Promise((resolve) => connection.query('BEGIN', resolve))
			await new Promise((resolve) => connection.once('error', resolve))
			setImmediate(() => connection[leave]())
			expect(await begun).toMatchObject(lost)
			await at.proxy.accept()
			expect((await pool.query('SELECT 1 AS n'))[0]).toEqual([{ n: 1 }])
		}
		const released = await pool.getConnection()
		loseBegin()
		const begun = caught(released.query('BEGIN'))
		released.release()
		expect(await begun).toMatchObject(lost)
		expect((await pool.query('SELECT 2 AS n'))[0]).toEqual([{ n: 2 }])
	})

	test.each(['cut before', 'black hole'] as const)(
		'a link that fails (%s) while the ledger is looked for is replaced before a borrower has it',
		async (action) => {
			const pool = at.wrap({ commit: commitLedger({ create: true }), scheduler: createScheduler({ probeTimeoutMs: 300 }) })
			const lost = at.proxy.intercept({ from: 'client', match: ({ text }) => text?.startsWith('SELECT slot, token') === true, action })
			const connection = await pool.getConnection()
			expect((await connection.query('SELECT 1 AS n'))[0]).toEqual([{ n: 1 }])
			expect(lost.hits).toBe(1)
			connection.release()
			// What is swallowed on a black link is its end as well.
			at.proxy.resetAll()
		},
	)

	test('a branch of XA is committed in one phase without a token, as it takes no statement before that', async () => {
		const pool = at.wrap({ commit: commitLedger({ create: true }) })
		const connection = await pool.getConnection()
		for (const text of ["XA START 'x'", 'INSERT INTO written (id) VALUES (1)', "XA END 'x'", "XA COMMIT 'x' ONE PHASE"])
			await connection.query(text)
		await connection.query('INSERT INTO written (id) VALUES (2)')
		connection.release()
		expect(await at.ids()).toEqual([1, 2])
	})

	test.runIf(flavour === 'mariadb')(
		'after a conflict of snapshots, which rolls all of it back, nothing is run until ROLLBACK',
		async () => {
			const pool = at.wrap()
			const connection = await pool.getConnection()
			await at.ask('INSERT INTO written (id) VALUES (1), (2)')
			await connection.query('SET SESSION innodb_snapshot_isolation = ON')
			await connection.beginTransaction()
			await connection.query<RowDataPacket[]>('SELECT * FROM written')
			await at.ask('UPDATE written SET n = 1 WHERE id = 1')
			expect(await caught(connection.query('UPDATE written SET n = 2 WHERE id = 1'))).toMatchObject({ errno: 1020 })
			expect(await caught(connection.query('INSERT INTO written (id) VALUES (3)'))).toMatchObject({ code: 'HOLDFAST_ROLLED_BACK' })
			await connection.rollback()
			await connection.query('INSERT INTO written (id) VALUES (4)')
			connection.release()
			expect(await at.ids()).toEqual([1, 2, 4])
		},
	)
})
