/** Packets vanish on one link to MySQL or MariaDB and nobody says so: who notices, how soon, and what are the callers told? */
import { InDoubtError } from 'holdfast'
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { until } from '../support/until.ts'
import { type MysqlStage, mysqlStage } from './mysql-stage.ts'

// The default is 2,000: the same thing in less time.
const soon = { halfOpenAfterMs: 300 }

describe.each(['mysql', 'mariadb'] as const)('on %s', (flavour) => {
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
})
