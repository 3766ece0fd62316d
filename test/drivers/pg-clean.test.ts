/** Is a connection that comes back from a statement clean, and is a COMMIT believed only when the server says COMMIT? */
import { holdfast } from 'holdfast/pg'
import pg from 'pg'
import { expect, test } from 'vitest'
import type { PgCore } from '../../drivers/pg/core.ts'
import type { PgClient } from '../../drivers/pg/shape.ts'
import { PgTransactionDriver } from '../../drivers/pg/transaction.ts'
import { ground } from './side-by-side.ts'

const setup = ground()

test.each(['BEGIN', 'BEGIN; SELECT 1'])(
	'a transaction that pool.query(%j) leaves open ends there: nobody gets its connection',
	async (text) => {
		const pool = holdfast(new pg.Pool({ ...setup.config(), max: 1 }))
		await pool.query(text)
		// It must not wait, its locks held, until somebody asks for a connection.
		expect(pool.totalCount).toBe(0)
		await pool.query('CREATE TEMPORARY TABLE kept (id int)')
		// In the transaction that was left open this error would have undone the table.
		await pool.query('SELECT 1/0').catch(() => {})
		expect((await pool.query('SELECT count(*)::int AS n FROM kept')).rows).toEqual([{ n: 0 }])
		expect(pool.holdfast.stats().discarded).toBe(1)
		await pool.end()
	},
)

test('a failed transaction that pool.query leaves behind is not handed out either', async () => {
	const pool = holdfast(new pg.Pool({ ...setup.config(), max: 1 }))
	await expect(pool.query('BEGIN; SELECT 1/0')).rejects.toMatchObject({ code: '22012' })
	expect((await pool.query('SELECT 1 AS n')).rows).toEqual([{ n: 1 }])
	await pool.end()
})

test('a COMMIT that the server answers with ROLLBACK is no commit, whatever was thought of the transaction before', async () => {
	const client = new pg.Client(setup.config())
	await client.connect()
	const driver = new PgTransactionDriver(undefined as unknown as PgCore, undefined)
	await client.query('BEGIN')
	await client.query('SELECT 1/0').catch(() => {})
	expect(await driver.commit(client as unknown as PgClient)).toBe('rolled_back')
	await client.query('BEGIN')
	expect(await driver.commit(client as unknown as PgClient)).toBe('committed')
	await client.end()
})
