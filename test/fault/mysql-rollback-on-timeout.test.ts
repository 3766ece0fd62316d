/** With `innodb_rollback_on_timeout` a lock timeout ends the whole transaction inside the server: what becomes of one that is run again? */
import { beforeEach, describe, expect, test } from 'vitest'
import { flavours } from '../support/mysql.ts'
import { onMysqlStage } from './on-stage.ts'

describe.each(flavours)('%s', (flavour) => {
	const at = onMysqlStage(flavour, { settings: { innodb_rollback_on_timeout: 'ON', innodb_lock_wait_timeout: '1' } })
	beforeEach(() => at.ask('DROP TABLE IF EXISTS held; CREATE TABLE held (id int PRIMARY KEY, n int); INSERT INTO held VALUES (1, 0)'))

	/** Holds the row until the function has run so often. */
	const held = async () => {
		const blocker = await at.wrap().getConnection()
		await blocker.query('BEGIN')
		await blocker.query('SELECT * FROM held FOR UPDATE')
		return async () => {
			await blocker.query('ROLLBACK')
			blocker.release()
		}
	}

	test('the whole transaction is run again, and each of its writes is there once', async () => {
		const letGo = await held()
		const pool = at.wrap({}, { connectionLimit: 1 })
		let runs = 0
		await pool.transaction(async (tx) => {
			runs += 1
			if (runs === 2) await letGo()
			await tx.query('INSERT INTO written VALUES (1)')
			await tx.query('UPDATE held SET n = n + 1')
		})
		expect(runs).toBe(2)
		expect(await at.ids()).toEqual([1])
		expect(await at.ask('SELECT n FROM held')).toEqual([{ n: 1 }])
		expect(pool.holdfast.stats()).toMatchObject({ inDoubt: 0, retries: { lock_timeout: 1 } })
	})

	test('a function that swallows the timeout writes nothing behind it in autocommit', async () => {
		const letGo = await held()
		const pool = at.wrap({}, { connectionLimit: 1 })
		let runs = 0
		const refused: unknown[] = []
		await pool.transaction(async (tx) => {
			runs += 1
			if (runs === 2) await letGo()
			await tx.query('INSERT INTO written VALUES (1)')
			await tx.query('UPDATE held SET n = n + 1').catch(() => {})
			await tx.query('INSERT INTO written VALUES (2)').catch((error: unknown) => refused.push(error))
		})
		expect([runs, refused.length]).toEqual([2, 1])
		expect(refused[0]).toMatchObject({ errno: 1205 })
		expect(await at.ids()).toEqual([1, 2])
	})
})
