/** Packets vanish on one link to MySQL or MariaDB and nobody says so: who notices, how soon, and what are the callers told? */
import { commitLedger, createScheduler, InDoubtError, systemClock } from 'holdfast'
import { holdfast as holdfastKnex } from 'holdfast/knex'
import makeKnex from 'knex'
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { flavours } from '../support/mysql.ts'
import { noRetries } from '../support/no-retries.ts'
import { until } from '../support/until.ts'
import { type MysqlStage, mysqlStage } from './mysql-stage.ts'

// The default is 2,000: the same thing in less time.
const soon = { halfOpenAfterMs: 300 }

describe.each(flavours)('on %s', (flavour) => {
	let at: MysqlStage
	const rows = async () => Number((await at.ask<{ n: unknown }>('SELECT count(*) AS n FROM written'))[0]?.n)
	const loseCommand = (begin: string) =>
		at.proxy.intercept({ from: 'client', match: ({ text }) => text?.startsWith(begin) ?? false, action: 'black hole' })
	/** Loses the answer to this statement, and all that comes over its link after that. */
	const loseAnswer = (begin: string) => {
		let armed = false
		at.proxy.intercept({
			from: 'client',
			match: ({ text }) => text?.startsWith(begin) ?? false,
			action: 'pass',
			onHit: () => {
				armed = true
			},
		})
		return at.proxy.intercept({ from: 'server', match: () => armed, action: 'black hole' })
	}
	beforeAll(async () => {
		at = await mysqlStage(flavour)
	})
	afterAll(() => at.close())
	beforeEach(async () => {
		await at.ask('DROP TABLE IF EXISTS written')
		await at.ask('CREATE TABLE written (id int)')
		at.proxy.resetCounters()
	})
	afterEach(async () => {
		// The server's ends of the links that were found dead.
		at.proxy.resetAll()
		await at.leaveNothing()
	})

	test('a read whose answer vanished is run again on another connection', async () => {
		const pool = at.wrap(soon)
		const lost = loseAnswer('SELECT 42')
		expect((await pool.query('SELECT 42 AS answer'))[0]).toEqual([{ answer: 42 }])
		expect(lost.hits).toBe(1)
		expect(at.proxy.seen.statementsLike('SELECT 42')).toBe(2)
		expect(pool.holdfast.stats()).toMatchObject({ attempts: 2, halfOpen: 1, retries: { connection_lost: 1 }, inDoubt: 0 })
	})

	test('a prepared read that vanished on its way to the server is run again on another connection', async () => {
		const pool = at.wrap(soon)
		loseCommand('SELECT 42')
		expect((await pool.execute('SELECT 42 AS answer'))[0]).toEqual([{ answer: 42 }])
		expect(pool.holdfast.stats()).toMatchObject({ attempts: 2, halfOpen: 1 })
	})

	test('a write whose answer vanished is in doubt, and the error says what was found', async () => {
		const pool = at.wrap(soon)
		loseAnswer('INSERT')
		const error = await pool.query('INSERT INTO written VALUES (1)').catch((reason: unknown) => reason)
		expect(error).toBeInstanceOf(InDoubtError)
		expect((error as InDoubtError).cause).toMatchObject({
			code: 'HOLDFAST_LINK_LOST',
			message: expect.stringContaining('waits for a command'),
		})
		expect(await rows()).toBe(1)
		expect(at.proxy.seen.statementsLike('INSERT')).toBe(1)
	})

	test('a query that takes long on a healthy link is left alone, however often the server is asked', async () => {
		const pool = at.wrap({ halfOpenAfterMs: 100 })
		await pool.query('SELECT SLEEP(2)')
		expect(at.proxy.seen.statementsLike('SELECT SLEEP')).toBe(1)
		const { halfOpen, attempts, endpoint } = pool.holdfast.stats()
		expect({ halfOpen, attempts }).toEqual({ halfOpen: 0, attempts: 1 })
		expect(endpoint.connectAttempts).toBeGreaterThan(3)
	})

	test('a link whose thread is gone is found dead', async () => {
		const pool = at.wrap(soon)
		const [[row]] = (await pool.query('SELECT CONNECTION_ID() AS id')) as unknown as [[{ id: number }]]
		// The end of the session does not get through either.
		const lost = loseAnswer('SELECT CONNECTION_ID() AS again')
		const answer = pool.query('SELECT CONNECTION_ID() AS again') as unknown as Promise<[[{ again: number }]]>
		await until(() => lost.hits === 1, { what: 'the answer to be lost' })
		await at.ask(`KILL CONNECTION ${row.id}`)
		const [[{ again }]] = await answer
		expect(again).not.toBe(row.id)
		expect(pool.holdfast.stats()).toMatchObject({ attempts: 3, halfOpen: 1 })
	})

	const withLedger = { ...soon, commit: commitLedger({ create: true }) }

	test('a transaction whose BEGIN vanished begins again on another connection', async () => {
		const pool = at.wrap(soon)
		const lost = loseCommand('START TRANSACTION')
		await pool.transaction((tx) => tx.query('INSERT INTO written VALUES (1)'))
		expect({ hits: lost.hits, rows: await rows() }).toEqual({ hits: 1, rows: 1 })
		expect(pool.holdfast.stats()).toMatchObject({ attempts: 2, halfOpen: 1, inDoubt: 0 })
	})

	test('with a ledger a COMMIT whose answer vanished is found applied', async () => {
		const pool = at.wrap(withLedger)
		await pool.transaction((tx) => tx.query('INSERT INTO written VALUES (1)'))
		const lost = loseAnswer('COMMIT')
		await pool.transaction((tx) => tx.query('INSERT INTO written VALUES (2)'))
		expect({ hits: lost.hits, rows: await rows() }).toEqual({ hits: 1, rows: 2 })
		expect(pool.holdfast.stats()).toMatchObject({ halfOpen: 1, inDoubt: 1, resolved: { applied: 1 } })
	})

	test('a borrower is told, and its connection is handed to nobody else', async () => {
		const pool = at.wrap(soon)
		const connection = await pool.getConnection()
		loseCommand('SELECT 42')
		await expect(connection.query('SELECT 42')).rejects.toMatchObject({ code: 'HOLDFAST_LINK_LOST' })
		connection.release()
		expect((await pool.query('SELECT 43 AS answer'))[0]).toEqual([{ answer: 43 }])
		expect(pool.holdfast.stats().halfOpen).toBe(1)
	})

	test("with mysql2's timeout too, no connection is handed out on which an answer is outstanding", async () => {
		const pool = at.wrap(soon, { connectionLimit: 1 })
		const id = async () => ((await pool.query('SELECT CONNECTION_ID() AS id')) as unknown as [[{ id: number }]])[0][0].id
		const before = await id()
		loseCommand('SELECT 42')
		await expect(pool.query({ sql: 'SELECT 42', timeout: 200 })).rejects.toMatchObject({ code: 'PROTOCOL_SEQUENCE_TIMEOUT' })
		expect(await id()).not.toBe(before)
	})

	test('a stream that is not read is not taken for a call without an answer', async () => {
		const pool = at.wrap({ halfOpenAfterMs: 100 })
		await at.ask('INSERT INTO written WITH RECURSIVE n AS (SELECT 1 AS n UNION ALL SELECT n + 1 FROM n WHERE n < 900) SELECT n FROM n')
		const stream = pool.pool.query('SELECT a.id FROM written a, written b').stream({ highWaterMark: 1 })
		let count = 0
		await new Promise((resolve) => stream.once('readable', resolve))
		await pool.query('SELECT SLEEP(1)')
		for await (const _ of stream) count += 1
		expect({ count, halfOpen: pool.holdfast.stats().halfOpen }).toEqual({ count: 810_000, halfOpen: 0 })
	})

	test('a connection that lay idle for long is asked, and replaced where it has died in silence: the write is sent once, on a new one', async () => {
		let aheadMs = 0
		const scheduler = createScheduler({ clock: { ...systemClock, now: () => systemClock.now() + aheadMs }, probeTimeoutMs: 300 })
		const pool = at.wrap({ scheduler, halfOpenAfterMs: false }, { connectionLimit: 1 })
		const borrow = async (sql: string) => {
			const connection = await pool.getConnection()
			await connection.query(sql)
			connection.release()
		}
		await pool.query('SELECT 1')
		for (const write of [(sql: string) => pool.query(sql), borrow]) {
			at.proxy.intercept({ from: 'client', match: () => true, action: 'black hole' })
			aheadMs += 30_000
			await write('INSERT INTO written VALUES (1)')
		}
		expect(await rows()).toBe(2)
		expect(pool.holdfast.stats()).toMatchObject({ retries: noRetries, inDoubt: 0, discarded: 2 })
	})

	test('a connection of before an outage is replaced, although its link has lived on', async () => {
		const scheduler = createScheduler()
		const [pool, other] = [at.wrap({ scheduler }, { connectionLimit: 1 }), at.wrap({ scheduler }, { connectionLimit: 1 })]
		const idOf = async (some: typeof pool) => ((await some.query('SELECT CONNECTION_ID() AS id')) as unknown as [[{ id: number }]])[0][0].id
		const before = await idOf(pool)
		const its = await idOf(other)
		at.proxy.refuse()
		await at.ask(`KILL CONNECTION ${its}`)
		const answer = other.query('SELECT 1')
		await until(() => other.holdfast.stats().endpoint.state === 'down', { what: 'the outage to be noticed' })
		await at.proxy.accept()
		await answer
		const connection = await pool.getConnection()
		expect(connection.threadId).not.toBe(before)
		connection.release()
		expect(pool.holdfast.stats()).toMatchObject({ outages: 1, discarded: 1 })
	})

	test('with hosts, too, a read whose answer vanished is run again', async () => {
		const pool = at.wrap({ ...soon, hosts: [`${at.proxy.host}:${at.proxy.port}`] })
		await pool.query('SELECT CONNECTION_ID()')
		loseCommand('SELECT 42')
		expect((await pool.query('SELECT 42 AS answer'))[0]).toEqual([{ answer: 42 }])
		expect(pool.holdfast.stats()).toMatchObject({ attempts: 3, halfOpen: 1 })
	})

	test('knex is served, too', async () => {
		const knex = holdfastKnex(
			makeKnex({ client: 'mysql2', connection: { ...at.server.config(), host: at.proxy.host, port: at.proxy.port } }),
			{
				...soon,
				scheduler: createScheduler(),
			},
		)
		try {
			loseCommand('select 42')
			expect((await knex.raw('select 42 as answer'))[0]).toEqual([{ answer: 42 }])
			expect(knex.holdfast.stats()).toMatchObject({ attempts: 2, halfOpen: 1 })
		} finally {
			await knex.destroy()
		}
	})
})
