/** A pool's connections belong to several users, of whom none may see the others' sessions: is a long query of one of them left alone? */
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest'
import { flavours } from '../support/mysql.ts'
import { type MysqlStage, mysqlStage } from './mysql-stage.ts'

describe.each(flavours)('on %s', (flavour) => {
	let at: MysqlStage
	const users = ['first', 'second'].map((user) => ({ user, password: 'of a test' }))
	beforeAll(async () => {
		at = await mysqlStage(flavour)
		for (const { user, password } of users) {
			await at.ask(`CREATE USER '${user}'@'%' IDENTIFIED BY '${password}'`)
			await at.ask(`GRANT SELECT ON *.* TO '${user}'@'%'`)
		}
	})
	afterAll(() => at.close())
	afterEach(() => at.leaveNothing())

	test('a long query of a user whose sessions the others may not see is left alone', async () => {
		const [first, second] = users
		const pool = at.wrap({ halfOpenAfterMs: 100 }, { ...first, connectionLimit: 2 })
		const [one, other] = [await pool.getConnection(), await pool.getConnection()]
		await other.changeUser({ ...second })
		await expect(other.query('SELECT SLEEP(3), CURRENT_USER() AS me')).resolves.toMatchObject([[{ me: 'second@%' }], {}])
		const { halfOpen, endpoint } = pool.holdfast.stats()
		expect(halfOpen).toBe(0)
		expect(endpoint.connectAttempts).toBeGreaterThan(4)
		one.release()
		other.release()
	})
})
