/** What of mysql2 may look like a dead link, or hide one? Prepared statements, streams, its own time limit, connections that lay idle, knex. */
import { createScheduler, systemClock } from 'holdfast'
import { holdfast as holdfastKnex } from 'holdfast/knex'
import makeKnex from 'knex'
import { afterEach, describe, expect, test } from 'vitest'
import { flavours } from '../support/mysql.ts'
import { noRetries } from '../support/no-retries.ts'
import { until } from '../support/until.ts'
import { onMysqlStage } from './on-stage.ts'

// The default is 2,000: the same thing in less time.
const soon = { halfOpenAfterMs: 300 }

describe.each(flavours)('on %s', (flavour) => {
	const at = onMysqlStage(flavour)
	const loseCommand = (begin: string) =>
		at.proxy.intercept({ from: 'client', match: ({ text }) => text?.startsWith(begin) ?? false, action: 'black hole' })
	// The server's ends of the links that were found dead.
	afterEach(() => at.proxy.resetAll())

	test('a prepared read that vanished on its way to the server is run again on another connection', async () => {
		const pool = at.wrap(soon)
		loseCommand('SELECT 42')
		expect((await pool.execute('SELECT 42 AS answer'))[0]).toEqual([{ answer: 42 }])
		expect(pool.holdfast.stats()).toMatchObject({ attempts: 2, halfOpen: 1 })
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
		expect(await at.rows()).toBe(2)
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
