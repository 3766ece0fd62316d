/** One address whose server takes no writes any more: who waits, who goes on, and who is told at once. */
import { expect, test } from 'vitest'
import { noRetries } from '../support/no-retries.ts'
import { until } from '../support/until.ts'
import { onFailoverStage } from './failover-stage.ts'

const at = onFailoverStage()

/** A pool with one address, behind which another server can be put. */
const plain = (options = {}, config = {}) => {
	const { host, port } = at.proxyOf(at.primary)
	return at.wrap({ hosts: undefined, ...options }, { host, port, ...config })
}

/** The address answers from the replica from now on. */
const answerFromReplica = () => {
	const proxy = at.proxyOf(at.primary)
	proxy.pointAt(at.replica)
	proxy.closeAll()
	return () => proxy.pointAt(at.primary)
}

test('the address answers from a replica: writes wait until it is promoted, reads and read-only transactions go on', async () => {
	const pool = plain({}, { max: 4 })
	await pool.query('SELECT 1')
	answerFromReplica()
	await until(() => pool.totalCount === 0, { what: 'the pool to notice' })
	const writes = [
		pool.query('INSERT INTO written VALUES (1)'),
		pool.transaction(async (tx) => {
			await tx.query('SELECT 1')
			await tx.query('INSERT INTO written VALUES (2)')
		}),
		pool.transaction(async (tx) => void (await tx.query('INSERT INTO written VALUES (3)')), { isolation: 'serializable' }),
		pool.query({ text: 'INSERT INTO written VALUES (4)', exactlyOnce: true }),
	]
	await until(() => (pool.holdfast.stats().retries.read_only ?? 0) >= 1, { what: 'a refusal' })
	for (let n = 0; n < 20; n++) expect((await pool.query('SELECT pg_is_in_recovery() AS r')).rows).toEqual([{ r: true }])
	const reading = await pool.transaction(async (tx) => (await tx.query('SELECT pg_is_in_recovery() AS r')).rows, { readOnly: true })
	expect(reading).toEqual([{ r: true }])
	const before = at.primary
	await at.failOver()
	await Promise.all(writes)
	expect(await at.rows()).toBe(4)
	expect(pool.holdfast.stats().endpoint.state).toBe('up')
	at.proxyOf(before).pointAt(before)
})

test('reads that were waiting when the server turned read-only go on', async () => {
	const pool = plain({}, { max: 1 })
	await pool.query('SELECT 1')
	await at.primary.applySettings({ default_transaction_read_only: 'on' })
	try {
		const write = pool.query('INSERT INTO written VALUES (1)')
		const reads = Array.from({ length: 10 }, (_, n) => pool.query('SELECT $1::int AS n', [n]))
		for (const [n, read] of reads.entries()) expect((await read).rows).toEqual([{ n }])
		await at.primary.applySettings({ default_transaction_read_only: 'off' })
		await write
	} finally {
		await at.primary.applySettings({ default_transaction_read_only: 'off' })
	}
	expect(await at.rows()).toBe(1)
})

test('the server stays read-only: the write gets its own error at the deadline', async () => {
	const pool = plain({ deadlineMs: 400 })
	const back = answerFromReplica()
	const error = await pool.query('INSERT INTO written VALUES (1)').catch((thrown: unknown) => thrown)
	expect(error).toMatchObject({ code: '25006' })
	back()
})

test('who has asked for read-only is told at once: by the transaction, the session or the role', async () => {
	const pool = plain()
	const write = 'INSERT INTO written VALUES (1)'
	// The one before it on its connection might have written.
	await pool.transaction(async (tx) => tx.query('SELECT 1'))
	await expect(pool.transaction(async (tx) => tx.query(write), { readOnly: true })).rejects.toMatchObject({ code: '25006' })
	expect(pool.holdfast.stats()).toMatchObject({ attempts: 2, retries: noRetries, outages: 0 })
	const session = plain({}, { options: '-c default_transaction_read_only=on' })
	await expect(session.query(write)).rejects.toMatchObject({ code: '25006' })
	await expect(session.transaction(async (tx) => tx.query(write))).rejects.toMatchObject({ code: '25006' })
	await at.primary.query(
		"DROP ROLE IF EXISTS reader; CREATE ROLE reader LOGIN; ALTER ROLE reader SET default_transaction_read_only = 'on'; GRANT ALL ON written TO reader",
	)
	const reader = plain({}, { user: 'reader' })
	await expect(reader.query(write)).rejects.toMatchObject({ code: '25006' })
	expect(reader.holdfast.stats()).toMatchObject({ retries: noRetries, outages: 0 })
	await pool.query(write)
	await at.primary.query('DROP OWNED BY reader; DROP ROLE reader')
	expect(await at.rows()).toBe(1)
})
