/** A borrower of pool.connect() opens and commits transactions by hand, or through an ORM: is a lost COMMIT resolved below it? */

import { sql as drizzleSql } from 'drizzle-orm'
import { drizzle } from 'drizzle-orm/node-postgres'
import { commitLedger, InDoubtError, retryReport } from 'holdfast'
import knex from 'knex'
import { Kysely, PostgresDialect } from 'kysely'
import { expect, test } from 'vitest'
import { onStage } from './on-stage.ts'

const at = onStage()

const spellings: Array<[string, string | object, string | object]> = [
	['upper case', 'BEGIN', 'COMMIT'],
	['lower case', 'begin', 'commit'],
	['semicolons', 'BEGIN;', 'COMMIT;'],
	['START TRANSACTION and END', 'START TRANSACTION ISOLATION LEVEL SERIALIZABLE', 'END'],
	['comments in front', '/* app:1 */ BEGIN', '/* app:2 */ COMMIT WORK'],
	['config objects', { text: 'BEGIN' }, { text: 'COMMIT' }],
	['prepared statements', { name: 'b', text: 'BEGIN' }, { name: 'c', text: 'COMMIT' }],
	['END TRANSACTION', 'begin transaction read write', 'end transaction'],
]

test.each(spellings)(
	'a hand-written transaction (%s) is found committed, and looks as pg would have answered',
	async (_what, begin, commit) => {
		const pool = at.wrap()
		const client = await pool.connect()
		const bare = (await at.ask('SELECT 1')) && (await client.query(begin as string))
		expect(bare.command).toBe(typeof begin === 'string' && begin.startsWith('START') ? 'START' : 'BEGIN')
		expect({ rows: bare.rows, fields: bare.fields, rowCount: bare.rowCount }).toEqual({ rows: [], fields: [], rowCount: null })
		await client.query('INSERT INTO written VALUES ($1)', [1])
		const lost = at.loseCommitReply()
		const result = await client.query(commit as string)
		client.release()
		expect(result).toMatchObject({ command: 'COMMIT', rows: [], fields: [], rowCount: null })
		expect({ hits: lost.hits, rows: await at.rows() }).toEqual({ hits: 1, rows: 1 })
		expect(pool.holdfast.stats()).toMatchObject({ inDoubt: 1, resolved: { applied: 1 } })
	},
)

test("a COMMIT that never arrived rejects with the driver's own error, and the report says that nothing was applied", async () => {
	const pool = at.wrap()
	const client = await pool.connect()
	await client.query('BEGIN')
	await client.query('INSERT INTO written VALUES (1)')
	at.loseCommitItself()
	const error = await client.query('COMMIT').catch((reason: unknown) => reason)
	client.release(error as Error)
	expect(error).not.toBeInstanceOf(InDoubtError)
	expect(retryReport(error)?.faults.at(-1)).toMatchObject({ kind: 'connection_lost', outcome: 'rolled_back' })
	expect(await at.rows()).toBe(0)
})

test('callbacks get the same answers as promises', async () => {
	const pool = at.wrap()
	const client = await pool.connect()
	await new Promise((resolve, reject) => client.query('BEGIN', (error) => (error ? reject(error) : resolve(undefined))))
	await client.query('INSERT INTO written VALUES (1)')
	at.loseCommitReply()
	const result = await new Promise((resolve, reject) =>
		client.query('COMMIT', (error, answer) => (error ? reject(error) : resolve(answer))),
	)
	client.release()
	expect(result).toMatchObject({ command: 'COMMIT' })
})

test('a text of several statements is verified as well, and answers with all their results', async () => {
	const pool = at.wrap()
	const client = await pool.connect()
	at.loseCommitReply()
	const results = (await client.query('BEGIN; INSERT INTO written VALUES (1); SELECT 7 AS n; COMMIT')) as unknown as Array<{
		command: string
		rows: unknown[]
	}>
	client.release()
	expect(results.map(({ command }) => command)).toEqual(['BEGIN', 'INSERT', 'SELECT', 'COMMIT'])
	expect(results[2]?.rows).toEqual([{ n: 7 }])
	expect({ rows: await at.rows(), stats: pool.holdfast.stats().resolved }).toEqual({
		rows: 1,
		stats: { applied: 1, notApplied: 0, unresolved: 0 },
	})
})

test('COMMIT AND CHAIN keeps the borrower in a transaction', async () => {
	const pool = at.wrap()
	const client = await pool.connect()
	await client.query('BEGIN')
	await client.query('INSERT INTO written VALUES (1)')
	await client.query('COMMIT AND CHAIN')
	await client.query('INSERT INTO written VALUES (2)')
	await client.query('ROLLBACK')
	client.release()
	expect(await at.rows()).toBe(1)
})

test('the first BEGIN on a stale connection is moved to a fresh one, and the borrower does not notice', async () => {
	const pool = at.wrap({}, { max: 1 })
	const client = await pool.connect()
	const before = (client as unknown as { processID: number }).processID
	at.proxy.intercept({ from: 'client', match: (message) => message.text === 'BEGIN', action: 'cut before' })
	await client.query('BEGIN')
	const { pid } = (await client.query('SELECT pg_backend_pid() AS pid')).rows[0]
	expect(pid).not.toBe(before)
	await client.query('INSERT INTO written VALUES (1)')
	at.loseCommitReply()
	await client.query('COMMIT')
	client.release()
	expect(await at.rows()).toBe(1)
	expect((await pool.query('SELECT 1 AS n')).rows).toEqual([{ n: 1 }])
})

test('a COMMIT of a failed transaction is not reported as a success', async () => {
	const pool = at.wrap()
	const client = await pool.connect()
	await client.query('BEGIN')
	await client.query('SELECT nonsense').catch(() => undefined)
	await expect(client.query('COMMIT')).rejects.toMatchObject({ code: 'HOLDFAST_ROLLED_BACK' })
	client.release()
})

const ways = [
	['verify', () => 'verify' as const],
	['the ledger', () => commitLedger({ create: true })],
] as const

test.each(ways)('Kysely over a wrapped pool (%s)', async (_way, commit) => {
	const pool = at.wrap({ commit: commit() })
	const db = new Kysely<{ written: { id: number } }>({ dialect: new PostgresDialect({ pool }) })
	const lost = at.loseCommitReply()
	const value = await db.transaction().execute(async (tx) => {
		await tx.insertInto('written').values({ id: 1 }).execute()
		return 'done'
	})
	expect({ value, hits: lost.hits, rows: await at.rows() }).toEqual({ value: 'done', hits: 1, rows: 1 })
})

test.each(ways)('Drizzle over a wrapped pool (%s)', async (_way, commit) => {
	const pool = at.wrap({ commit: commit() })
	const db = drizzle(pool)
	const lost = at.loseCommitReply()
	await db.transaction(async (tx) => {
		await tx.execute(drizzleSql`INSERT INTO written VALUES (1)`)
	})
	expect({ hits: lost.hits, rows: await at.rows() }).toEqual({ hits: 1, rows: 1 })
})

test.each(ways)('Knex over a wrapped pool (%s)', async (_way, commit) => {
	const pool = at.wrap({ commit: commit() })
	const db = knex({ client: 'pg', connectionPool: pool } as never)
	const lost = at.loseCommitReply()
	await db.transaction(async (tx) => {
		await tx('written').insert({ id: 1 })
	})
	expect({ hits: lost.hits, rows: await at.rows() }).toEqual({ hits: 1, rows: 1 })
	await db.destroy()
})
