/** All packets to MySQL or MariaDB vanish in the middle of fifty calls: is everybody served or told? */
import { InDoubtError } from 'holdfast'
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest'
import { flavours } from '../support/mysql.ts'
import { until } from '../support/until.ts'
import { fiftyCalls } from './black-hole.ts'
import { type MysqlStage, mysqlStage } from './mysql-stage.ts'

describe.each(flavours)('on %s', (flavour) => {
	let at: MysqlStage
	beforeAll(async () => {
		at = await mysqlStage(flavour)
		await at.ask('CREATE TABLE written (id int)')
	})
	afterAll(() => at.close())
	afterEach(async () => {
		at.proxy.resetAll()
		await at.leaveNothing()
	})

	test('when all packets vanish, every write under way is told that it is in doubt, every read is served once they pass again', async () => {
		const pool = at.wrap({ halfOpenAfterMs: 400 }, { connectionLimit: 10 })
		await Promise.all(Array.from({ length: 10 }, () => pool.query('SELECT SLEEP(0.05)')))
		at.proxy.resetCounters()
		const ended = fiftyCalls(
			() => pool.query('SELECT SLEEP(0.02)'),
			(id) => pool.execute('INSERT INTO written SELECT ? + 0 * SLEEP(0.02)', [id]),
		)
		await until(() => at.proxy.seen.statementsLike('SELECT SLEEP') > 4, { what: 'the calls to be under way' })
		at.proxy.swallow('both', true)
		await until(() => pool.holdfast.stats().halfOpen === 10, { what: 'all links to be found dead' })
		await until(() => pool.holdfast.stats().endpoint.state === 'down', { what: 'the endpoint to be known as down' })
		at.proxy.swallow('both', false)
		const failed = (await ended).filter(({ error }) => error !== undefined)
		expect(failed.every(({ writes, error }) => writes && error instanceof InDoubtError)).toBe(true)
		expect(failed.every(({ error }) => (error as { cause: { code?: string } }).cause.code === 'HOLDFAST_LINK_LOST')).toBe(true)
		// Of each write at most one row: none was run again.
		expect(await at.ask('SELECT id FROM written GROUP BY id HAVING count(*) > 1')).toEqual([])
		const { halfOpen, outages, waiting, inDoubt } = pool.holdfast.stats()
		expect({ halfOpen, outages, waiting, inDoubt }).toEqual({ halfOpen: 10, outages: 1, waiting: 0, inDoubt: failed.length })
	})
})
