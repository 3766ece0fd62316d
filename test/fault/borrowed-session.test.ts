/** What a borrower of pool.connect() sends by hand: does it mean what it means with bare pg, while its commits are verified? */
import { commitLedger } from 'holdfast'
import { expect, test } from 'vitest'
import { until } from '../support/until.ts'
import { onStage } from './on-stage.ts'

const at = onStage()

const ways = [
	['verify', () => 'verify' as const],
	['the ledger', () => commitLedger({ create: true })],
] as const

/** A borrowed client, and whether its link is known to be dead. */
async function borrow(options = {}) {
	const pool = at.wrap(options)
	const client = await pool.connect()
	let dead = false
	client.on('error', () => {
		dead = true
	})
	return { pool, client, die: () => until(() => dead, { what: 'the client to notice that its link is dead' }) }
}
const codeOf = (promise: Promise<unknown>) =>
	promise.then(
		() => 'no error',
		(error: { code?: string }) => error.code,
	)

test.each(ways)('%s: SET TRANSACTION right after BEGIN is obeyed, and the commit is verified all the same', async (_way, commit) => {
	const { pool, client } = await borrow({ commit: commit() })
	await client.query('START TRANSACTION')
	expect(await client.query('SET TRANSACTION ISOLATION LEVEL SERIALIZABLE;')).toMatchObject({ command: 'SET', rows: [], rowCount: null })
	expect((await client.query('SHOW transaction_isolation')).rows).toEqual([{ transaction_isolation: 'serializable' }])
	await client.query('INSERT INTO written VALUES (1)')
	at.loseCommitReply()
	expect(await client.query('COMMIT')).toMatchObject({ command: 'COMMIT' })
	client.release()
	expect(await at.rows()).toBe(1)
	expect(pool.holdfast.stats()).toMatchObject({ inDoubt: 1, resolved: { applied: 1 } })
})

test('modes that no BEGIN takes are obeyed without a mark, and errors in them leave the transaction failed, as with bare pg', async () => {
	const { client } = await borrow()
	const exporter = await at.wrap().connect()
	await exporter.query('BEGIN ISOLATION LEVEL REPEATABLE READ')
	const { snapshot } = (await exporter.query('SELECT pg_export_snapshot() AS snapshot')).rows[0]
	await client.query('BEGIN ISOLATION LEVEL REPEATABLE READ')
	await client.query(`SET TRANSACTION SNAPSHOT '${snapshot}'`)
	await client.query('ROLLBACK')
	await exporter.query('ROLLBACK')
	exporter.release()
	await client.query('BEGIN -- by hand')
	expect(await codeOf(client.query('SET TRANSACTION ISOLATION LEVEL NONSENSE'))).toBe('42601')
	expect(await codeOf(client.query('INSERT INTO written VALUES (1)'))).toBe('25P02')
	await client.query('ROLLBACK')
	client.release()
	expect(await at.rows()).toBe(0)
})

test('a BEGIN is not moved to another connection once the session may hold something: a lock, a setting', async () => {
	const { client, die } = await borrow()
	await client.query('SELECT pg_advisory_lock(42)')
	at.proxy.resetAll()
	await die()
	for (let i = 0; i < 2; i++) await expect(client.query('BEGIN')).rejects.toThrow('not queryable')
	client.release()
})

test('a borrower whose BEGIN was moved hears the notices of his session, and none once he has given it back', async () => {
	const pool = at.wrap({}, { max: 1 })
	const client = await pool.connect()
	const heard: unknown[] = []
	client.on('notice', ({ message }) => heard.push(message))
	const lost = at.proxy.intercept({ from: 'client', match: ({ text }) => text === 'BEGIN', action: 'cut before' })
	await client.query('BEGIN')
	await client.query("DO $$ BEGIN RAISE NOTICE 'mine'; END $$")
	await client.query('COMMIT')
	client.release()
	await pool.query("DO $$ BEGIN RAISE NOTICE 'of another one'; END $$")
	expect({ hits: lost.hits, heard }).toEqual({ hits: 1, heard: ['mine'] })
})

test('a BEGIN that could not be moved in time can be tried again, and tells the connection error each time', async () => {
	const { client, die } = await borrow({ deadlineMs: 200 })
	at.proxy.refuse()
	at.proxy.resetAll()
	await die()
	for (let i = 0; i < 2; i++) await expect(client.query('BEGIN')).rejects.toThrow('not queryable')
	client.release()
})

test('a BEGIN inside a failed transaction leaves it failed: nothing behind it is applied', async () => {
	const { client } = await borrow()
	await client.query('BEGIN')
	expect(await codeOf(client.query('SELECT 1/0'))).toBe('22012')
	expect(await codeOf(client.query('BEGIN'))).toBe('25P02')
	expect(await codeOf(client.query('INSERT INTO written VALUES (1)'))).toBe('25P02')
	await client.query('ROLLBACK')
	client.release()
	expect(await at.rows()).toBe(0)
})

test.each(ways)('%s: what is sent behind a BEGIN without awaiting it stays behind it', async (_way, commit) => {
	const warm = at.wrap({ commit: commit() })
	await warm.transaction(async (tx) => tx.query('SELECT 1'))
	const { client } = await borrow({ commit: commit() })
	const tags = ['BEGIN', 'INSERT INTO written VALUES (1)', 'ROLLBACK'].map(async (text) => (await client.query(text)).command)
	expect(await Promise.all(tags)).toEqual(['BEGIN', 'INSERT', 'ROLLBACK'])
	client.release()
	expect(await at.rows()).toBe(0)
})

test('a COMMIT that was sent before its BEGIN was answered is verified as well', async () => {
	const { pool, client } = await borrow()
	at.loseCommitReply()
	const tags = ['BEGIN', 'INSERT INTO written VALUES (1)', 'COMMIT'].map(async (text) => (await client.query(text)).command)
	expect(await Promise.all(tags)).toEqual(['BEGIN', 'INSERT', 'COMMIT'])
	client.release()
	expect(await at.rows()).toBe(1)
	expect(pool.holdfast.stats()).toMatchObject({ inDoubt: 1, resolved: { applied: 1 } })
})

test('the lost COMMIT of a transaction that ROLLBACK AND CHAIN began is in doubt, not just an error', async () => {
	const { client } = await borrow()
	await client.query('BEGIN')
	await client.query('ROLLBACK AND CHAIN')
	await client.query('INSERT INTO written VALUES (1)')
	at.loseCommitReply()
	expect(await codeOf(client.query('COMMIT'))).toBe('HOLDFAST_IN_DOUBT')
	client.release()
})

test('the ledger can be asked in a session that is read-only by default', async () => {
	await at.ask('CREATE TABLE holdfast_commits (slot text PRIMARY KEY, token text NOT NULL, used_at timestamptz NOT NULL DEFAULT now())')
	const pool = at.wrap({ commit: commitLedger() }, { options: '-c default_transaction_read_only=on' })
	at.loseCommitReply()
	await pool.transaction(async (tx) => tx.query('INSERT INTO written VALUES (1)'), { readOnly: false })
	expect(await at.rows()).toBe(1)
})

test('a read-only transaction leaves the ledger alone, and the next one on its connection is verified', async () => {
	const pool = at.wrap({ commit: commitLedger({ create: true }) }, { max: 1 })
	await pool.transaction(async (tx) => tx.query('INSERT INTO written VALUES (0)'))
	await pool.transaction(async (tx) => tx.query('SELECT 1'), { readOnly: true })
	at.loseCommitReply()
	await pool.transaction(async (tx) => tx.query('INSERT INTO written VALUES (1)'))
	expect(await at.rows()).toBe(2)
	expect(pool.holdfast.stats()).toMatchObject({ inDoubt: 1, resolved: { applied: 1 } })
})
