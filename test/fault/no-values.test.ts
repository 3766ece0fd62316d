/** What is told of a statement in errors, events and statistics? Never its text and never a value: they end up in logs. */
import { inspect } from 'node:util'
import type { PoolOptions } from 'holdfast'
import { describe, expect, test } from 'vitest'
import { caught } from '../support/caught.ts'
import { flavours } from '../support/mysql.ts'
import { until } from '../support/until.ts'
import { onMysqlStage, onStage } from './on-stage.ts'

const value = 7_654_321
const insert = `INSERT INTO written VALUES (${value})`

/** All that somebody hears of a pool. */
function listening() {
	const told: unknown[] = []
	const codes: unknown[] = []
	const options: PoolOptions = { onRetry: (event) => told.push(event), onBudgetSpent: (event) => told.push(event) }
	return {
		options,
		async fails(call: PromiseLike<unknown>) {
			const error = await caught(call)
			told.push(error)
			codes.push(error?.code)
		},
		/** The codes of the errors so far, once it is certain that nothing that was told has the value in it. */
		codes(stats: object): unknown[] {
			expect(told.length).toBeGreaterThan(codes.length)
			expect(inspect([...told, stats], { depth: 10 })).not.toContain(String(value))
			return codes
		},
	}
}

describe('PostgreSQL', () => {
	const at = onStage()

	test('no value in what a pool tells of statements that are in doubt, refused, run again, or too late', async () => {
		const { options, fails, codes } = listening()
		const pool = at.wrap(options)
		at.loseReply('SELECT 1')
		await pool.query('SELECT $1::int AS n', [value])
		at.loseReply('INSERT 0 1')
		await fails(pool.query('INSERT INTO written VALUES ($1)', [value]))
		await fails(pool.transaction((tx) => tx.query(`${insert}; COMMIT`)))
		let kept: { query(text: string): Promise<unknown> } | undefined
		await pool.transaction(async (tx) => {
			kept = tx
		})
		await fails((kept as NonNullable<typeof kept>).query(insert))
		at.loseCommitReply(() => at.server.restart('kill'))
		await fails(pool.transaction((tx) => tx.query(insert)))
		const client = await pool.connect()
		await client.query('BEGIN')
		await caught(client.query(`SELECT ${value} / 0`))
		await fails(client.query(`COMMIT /* ${value} */`))
		client.release()
		at.proxy.refuse()
		at.proxy.resetAll()
		await until(() => pool.totalCount === 0, { what: 'the losses to be noticed' })
		await fails(pool.query({ text: insert, deadlineMs: 50 }))
		expect(codes(pool.holdfast.stats())).toEqual([
			'HOLDFAST_IN_DOUBT',
			'HOLDFAST_TRANSACTION_CONTROL',
			'HOLDFAST_TRANSACTION_ENDED',
			'HOLDFAST_IN_DOUBT',
			'HOLDFAST_ROLLED_BACK',
			'HOLDFAST_DEADLINE',
		])
	})
})

describe.each(flavours)('%s', (flavour) => {
	const at = onMysqlStage(flavour)

	test('no value in what a pool tells of statements that are in doubt, refused, run again, or too late', async () => {
		const { options, fails, codes } = listening()
		const pool = at.wrap(options, { multipleStatements: true })
		at.loseReply('SELECT')
		await pool.execute('SELECT ? AS n', [value])
		at.loseReply('INSERT')
		await fails(pool.execute('INSERT INTO written VALUES (?)', [value]))
		await fails(pool.transaction((tx) => tx.query(`${insert}; COMMIT`)))
		let kept: { query(text: string): Promise<unknown> } | undefined
		await pool.transaction(async (tx) => {
			kept = tx
		})
		await fails((kept as NonNullable<typeof kept>).query(insert))
		at.loseCommitReply()
		await fails(pool.transaction((tx) => tx.query(insert)))
		at.loseReply('INSERT')
		await fails(
			pool.transaction(async (tx) => {
				await tx.query(`CREATE TABLE IF NOT EXISTS partly (id int DEFAULT ${value})`)
				await tx.query(insert)
			}),
		)
		const connection = await pool.getConnection()
		await connection.beginTransaction()
		await caught(connection.query("SIGNAL SQLSTATE '40001' SET MYSQL_ERRNO = 1213"))
		await fails(connection.query(insert))
		connection.release()
		const unfinished = at.wrap(options)
		unfinished.pool.on('connection', (fresh) => fresh.query('SET autocommit = 0'))
		await fails(unfinished.query(insert))
		at.proxy.refuse()
		at.proxy.resetAll()
		const { _allConnections: left } = pool.pool as unknown as { readonly _allConnections: { readonly length: number } }
		await until(() => left.length === 0, { what: 'the losses to be noticed' })
		await fails(pool.query({ sql: insert, deadlineMs: 50 }))
		await at.ask('DROP TABLE partly')
		expect(codes(pool.holdfast.stats())).toEqual([
			'HOLDFAST_IN_DOUBT',
			'HOLDFAST_TRANSACTION_CONTROL',
			'HOLDFAST_TRANSACTION_ENDED',
			'HOLDFAST_IN_DOUBT',
			'HOLDFAST_PARTLY_COMMITTED',
			'HOLDFAST_ROLLED_BACK',
			'HOLDFAST_ROLLED_BACK',
			'HOLDFAST_DEADLINE',
		])
	})
})
