/** What does the ledger say of a transaction that is still open, that commits late, or that was rolled back? Asked directly, on real servers. */
import { commitLedger } from 'holdfast'
import mysql from 'mysql2/promise'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { execute } from '../../drivers/mysql2/client.ts'
import { Ledger } from '../../drivers/mysql2/ledger.ts'
import type { Mysql2Connection } from '../../drivers/mysql2/shape.ts'
import { flavours, type MysqlServer, startMysql } from '../support/mysql.ts'
import { until } from '../support/until.ts'

describe.each(flavours)('%s', (flavour) => {
	let server: MysqlServer
	const open: mysql.Connection[] = []
	beforeAll(async () => {
		server = await startMysql({ flavour })
		await server.query(commitLedger().migration('mysql'))
	})
	afterAll(async () => {
		for (const connection of open) connection.destroy()
		await server.dispose()
	})

	async function connect(): Promise<Mysql2Connection> {
		const connection = await mysql.createConnection(server.config())
		connection.on('error', () => {})
		open.push(connection)
		return (connection as unknown as { connection: Mysql2Connection }).connection
	}
	/** A transaction that has left its token and is still open; without the lock that proves whose connection it is. */
	async function marked(ledger: Ledger, connection: Mysql2Connection, proof = false) {
		const { text, mark } = ledger.marking(connection)
		if (!proof) await execute(connection, 'DO RELEASE_ALL_LOCKS()')
		await execute(connection, 'START TRANSACTION')
		await execute(connection, text)
		return mark
	}
	const ledgerNow = () =>
		new Ledger(
			commitLedger(),
			() => performance.now(),
			() => () => {},
		)

	test('while the row is held the answer is not known, and one that commits late is found', async () => {
		const ledger = ledgerNow()
		const orphan = await connect()
		const asker = await connect()
		const mark = await marked(ledger, orphan)
		expect(await ledger.look(asker, mark)).toEqual({ state: 'running' })
		expect(await ledger.look(asker, mark)).toEqual({ state: 'running' })
		await execute(orphan, 'COMMIT')
		expect(await ledger.look(asker, mark)).toEqual({ state: 'applied' })
		// An answer that is lost can be asked for again.
		expect(await ledger.look(asker, mark)).toEqual({ state: 'applied' })
	})

	test('a rollback is found, also where there was a row before and where there was none', async () => {
		const ledger = ledgerNow()
		const orphan = await connect()
		const asker = await connect()
		const first = await marked(ledger, orphan)
		await execute(orphan, 'ROLLBACK')
		expect(await ledger.look(asker, first)).toEqual({ state: 'not applied' })
		const second = await marked(ledger, orphan)
		await execute(orphan, 'COMMIT')
		ledger.confirmed(second)
		const third = await marked(ledger, orphan)
		await execute(orphan, 'ROLLBACK')
		expect(await ledger.look(asker, third)).toEqual({ state: 'not applied' })
		await server.query('DELETE FROM holdfast_commits')
		expect(await ledger.look(asker, third)).toMatchObject({ state: 'unknown' })
	})

	test('asking leaves a row, so from then on a row that is missing proves nothing', async () => {
		const ledger = ledgerNow()
		const orphan = await connect()
		const asker = await connect()
		const first = await marked(ledger, orphan)
		await execute(orphan, 'COMMIT')
		expect(await ledger.look(asker, first)).toEqual({ state: 'applied' })
		const second = await marked(ledger, orphan)
		await execute(orphan, 'COMMIT')
		await server.query('DELETE FROM holdfast_commits')
		expect(await ledger.look(asker, second)).toMatchObject({ state: 'unknown' })
	})

	test('the holder of the connection’s own lock is killed, and then the row is free', async () => {
		const ledger = ledgerNow()
		const orphan = await connect()
		const asker = await connect()
		const mark = await marked(ledger, orphan, true)
		expect(await ledger.look(asker, mark)).toEqual({ state: 'running' })
		const answer = await until(
			async () => {
				const verdict = await ledger.look(asker, mark)
				return verdict.state !== 'running' && verdict
			},
			{ what: 'the orphan to be gone' },
		)
		expect(answer).toEqual({ state: 'not applied' })
		expect((await server.connections()).map(({ id }) => id)).not.toContain(orphan.threadId)
	})

	test('every answer was written and committed before it is given: what InnoDB shows may not be on disk yet', async () => {
		const ledger = ledgerNow()
		const orphan = await connect()
		const asker = await connect()
		const mark = await marked(ledger, orphan)
		await execute(orphan, 'COMMIT')
		const usedAt = async () => (await server.query(`SELECT used_at FROM holdfast_commits WHERE slot = '${mark.slot.name}'`))[0]
		const before = await usedAt()
		expect(await ledger.look(asker, mark)).toEqual({ state: 'applied' })
		expect(await usedAt()).not.toEqual(before)
		const [left] = await server.query('SELECT count(*) AS n FROM information_schema.innodb_trx')
		expect(Number(left?.n)).toBe(0)
	})

	test('a token of yesterday is not believed: its row may have been cleared away', async () => {
		let hours = 0
		const ledger = new Ledger(
			commitLedger(),
			() => hours * 3_600_000,
			() => () => {},
		)
		const orphan = await connect()
		const mark = await marked(ledger, orphan)
		await execute(orphan, 'COMMIT')
		hours = 13
		expect(await ledger.look(await connect(), mark)).toMatchObject({ state: 'unknown', why: expect.stringContaining('24 hours') })
	})
})
