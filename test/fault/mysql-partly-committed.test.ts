/** A statement that commits by itself is in a transaction on MySQL or MariaDB, and the link dies: is the function never run twice over it? */
import { commitLedger, type PoolOptions } from 'holdfast'
import { beforeEach, describe, expect, test } from 'vitest'
import { flavours } from '../support/mysql.ts'
import { onMysqlStage } from './on-stage.ts'

describe.each(flavours)('%s', (flavour) => {
	const at = onMysqlStage(flavour)
	beforeEach(async () => {
		await at.ask('DROP TABLE IF EXISTS made; DROP PROCEDURE IF EXISTS works; CREATE PROCEDURE works() INSERT INTO written VALUES (5)')
	})

	const loseRequest = (text: string) =>
		at.proxy.intercept({ from: 'client', match: (message) => message.text === text, action: 'cut before' })

	async function migrate(statement: string, options: PoolOptions = {}, idempotent = false) {
		const seen = { runs: 0, error: undefined as unknown }
		const pool = at.wrap(options)
		await pool
			.transaction(
				async (tx) => {
					seen.runs += 1
					await tx.query('INSERT INTO written VALUES (1)')
					await tx.query(statement)
					await tx.query('INSERT INTO written VALUES (2)')
				},
				{ idempotent },
			)
			.catch((error: unknown) => {
				seen.error = error
			})
		return { ...seen, ids: await at.ids() }
	}
	const partly = (statement: string) => ({
		code: 'HOLDFAST_PARTLY_COMMITTED',
		message: expect.stringContaining(`${statement} commits implicitly`),
		cause: { code: expect.stringMatching(/PROTOCOL_CONNECTION_LOST|ECONNRESET/) },
	})

	test('the reply of the DDL is lost: not run again, and the error says why', async () => {
		const lost = at.loseReply('CREATE')
		expect(await migrate('CREATE TABLE made (id int)')).toMatchObject({ runs: 1, error: partly('CREATE TABLE'), ids: [1] })
		expect(lost.hits).toBe(1)
	})

	test('the DDL itself is lost: nobody can tell, so it is not run again either', async () => {
		loseRequest('CREATE TABLE made (id int)')
		expect(await migrate('CREATE TABLE made (id int)')).toMatchObject({ runs: 1, error: partly('CREATE TABLE'), ids: [] })
	})

	test('the COMMIT behind the DDL is lost, and the ledger knows that it was not applied: the first part stands all the same', async () => {
		loseRequest('COMMIT')
		const seen = await migrate('CREATE TABLE made (id int)', { commit: commitLedger({ create: true }) })
		expect(seen).toMatchObject({ runs: 1, error: partly('CREATE TABLE'), ids: [1] })
	})

	test('the reply of the COMMIT behind the DDL is lost, and the ledger knows that it was applied: success', async () => {
		at.loseReply('COMMIT')
		const seen = await migrate('CREATE TABLE made (id int)', { commit: commitLedger({ create: true }) })
		expect(seen).toMatchObject({ runs: 1, error: undefined, ids: [1, 2] })
	})

	test('a procedure may commit inside: where its answer is lost the function is not run again, unless it may be', async () => {
		loseRequest('CALL works()')
		expect(await migrate('CALL works()')).toMatchObject({ runs: 1, error: partly('CALL'), ids: [] })
		loseRequest('CALL works()')
		expect(await migrate('CALL works()', {}, true)).toMatchObject({ runs: 2, error: undefined, ids: [1, 2, 5] })
	})

	test('without such a statement a lost link is no matter: all of it was rolled back, so all is run again', async () => {
		loseRequest('UPDATE written SET id = id')
		expect(await migrate('UPDATE written SET id = id')).toMatchObject({ runs: 2, error: undefined, ids: [1, 2] })
	})
})
