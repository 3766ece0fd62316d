/** A pool's connections belong to several users, of whom none may see the others' sessions: is a long query of one of them left alone? */
import { beforeAll, describe, expect, test } from 'vitest'
import { flavours } from '../support/mysql.ts'
import { staged } from '../support/staged.ts'
import { mysqlStage } from './mysql-stage.ts'

describe.each(flavours)('on %s', (flavour) => {
	const at = staged(() => mysqlStage(flavour))
	const users = ['first', 'second'].map((user) => ({ user, password: 'of a test' }))
	beforeAll(async () => {
		for (const { user, password } of users) {
			await at.ask(`CREATE USER '${user}'@'%' IDENTIFIED BY '${password}'`)
			await at.ask(`GRANT SELECT ON *.* TO '${user}'@'%'`)
		}
	})

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
