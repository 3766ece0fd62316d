/** Packets vanish on one link and nobody says so: who notices, how soon, and what are the callers told? */
import { type HoldfastError, InDoubtError } from 'holdfast'
import Cursor from 'pg-cursor'
import { afterEach, expect, test } from 'vitest'
import { startPgBouncer } from '../support/pgbouncer.ts'
import { until } from '../support/until.ts'
import { onStage } from './on-stage.ts'

const at = onStage()

// The server's ends of the links that were found dead.
afterEach(() => at.proxy.resetAll())

// The default is 2,000: the same thing in less time.
const soon = { halfOpenAfterMs: 300 }

/** Lets nothing through any more on the link over which the server's next message with this tag comes, and loses that as well. */
const loseAnswer = (tag: string) => at.proxy.intercept({ from: 'server', match: (message) => message.tag === tag, action: 'black hole' })
const loseCommand = (begin: string) =>
	at.proxy.intercept({ from: 'client', match: ({ text }) => text?.startsWith(begin) ?? false, action: 'black hole' })

test('a read whose answer vanished is run again on another connection', async () => {
	const pool = at.wrap(soon)
	const lost = loseAnswer('SELECT 1')
	expect((await pool.query('SELECT 42 AS answer')).rows).toEqual([{ answer: 42 }])
	expect(lost.hits).toBe(1)
	expect(at.proxy.seen.statementsLike('SELECT 42')).toBe(2)
	expect(pool.holdfast.stats()).toMatchObject({ attempts: 2, halfOpen: 1, retries: { connection_lost: 1 }, inDoubt: 0 })
})

test('a read that vanished on its way to the server is run again on another connection', async () => {
	const pool = at.wrap(soon)
	loseCommand('SELECT 42')
	expect((await pool.query('SELECT 42 AS answer')).rows).toEqual([{ answer: 42 }])
	expect(at.proxy.seen.statementsLike('SELECT 42')).toBe(1)
	expect(pool.holdfast.stats()).toMatchObject({ attempts: 2, halfOpen: 1 })
})

test('a write whose answer vanished is in doubt, and the error says what was found', async () => {
	const pool = at.wrap(soon)
	loseAnswer('INSERT 0 1')
	const error = await pool.query('INSERT INTO written VALUES (1)').catch((reason: unknown) => reason)
	expect(error).toBeInstanceOf(InDoubtError)
	expect((error as InDoubtError).cause).toMatchObject({ code: 'HOLDFAST_LINK_LOST' })
	expect(((error as InDoubtError).cause as HoldfastError).message).toMatch(/no answer came for \d+ ms, and the server waits for a command/)
	expect(await at.rows()).toBe(1)
	expect(at.proxy.seen.statementsLike('INSERT')).toBe(1)
})

test('a query that takes long on a healthy link is left alone, however often the server is asked', async () => {
	const pool = at.wrap({ halfOpenAfterMs: 100 })
	const { rows } = await pool.query('SELECT pg_sleep(2), pg_backend_pid() AS pid')
	expect(rows).toHaveLength(1)
	expect(at.proxy.seen.statementsLike('SELECT pg_sleep')).toBe(1)
	const { halfOpen, attempts, endpoint } = pool.holdfast.stats()
	expect({ halfOpen, attempts }).toEqual({ halfOpen: 0, attempts: 1 })
	expect(endpoint.connectAttempts).toBeGreaterThan(3)
})

test('a link whose backend is gone is found dead', async () => {
	const pool = at.wrap(soon)
	const { pid } = (await pool.query('SELECT pg_backend_pid() AS pid')).rows[0]
	const lost = loseCommand('SELECT pg_sleep')
	const answer = pool.query('SELECT pg_sleep(0.01), pg_backend_pid() AS pid')
	await until(() => lost.hits === 1, { what: 'the statement to be lost' })
	// The end of the session does not get through either.
	const farewell = at.proxy.intercept({ from: 'server', match: ({ text }) => text?.includes('terminating') ?? true, action: 'black hole' })
	await at.ask(`SELECT pg_terminate_backend(${pid})`)
	await until(() => farewell.hits === 1, { what: 'the end of the backend to be lost' })
	const { rows } = await answer
	expect(rows[0].pid).not.toBe(pid)
	expect(pool.holdfast.stats()).toMatchObject({ attempts: 3, halfOpen: 1 })
})

test('a transaction whose BEGIN vanished begins again on another connection', async () => {
	const pool = at.wrap(soon)
	const lost = loseCommand('BEGIN')
	await pool.transaction((tx) => tx.query('INSERT INTO written VALUES (1)'))
	expect({ hits: lost.hits, rows: await at.rows() }).toEqual({ hits: 1, rows: 1 })
	expect(pool.holdfast.stats()).toMatchObject({ attempts: 2, halfOpen: 1, inDoubt: 0 })
})

test('a transaction of which a statement vanished is run again as a whole', async () => {
	const pool = at.wrap(soon)
	const lost = loseCommand('UPDATE')
	await pool.transaction(async (tx) => {
		await tx.query('INSERT INTO written VALUES (1)')
		await tx.query('UPDATE written SET id = 2')
	})
	expect(lost.hits).toBe(1)
	expect(await at.ask('SELECT id FROM written')).toEqual([{ id: 2 }])
	expect(pool.holdfast.stats()).toMatchObject({ attempts: 2, halfOpen: 1, inDoubt: 0 })
})

test('a COMMIT whose answer vanished is found applied', async () => {
	const pool = at.wrap(soon)
	const lost = loseAnswer('COMMIT')
	await pool.transaction((tx) => tx.query('INSERT INTO written VALUES (1)'))
	expect({ hits: lost.hits, rows: await at.rows() }).toEqual({ hits: 1, rows: 1 })
	expect(pool.holdfast.stats()).toMatchObject({ attempts: 1, halfOpen: 1, inDoubt: 1, resolved: { applied: 1 } })
})

test('a COMMIT that vanished is found not applied, and the transaction is run again', async () => {
	const pool = at.wrap(soon)
	const lost = loseCommand('COMMIT')
	await pool.transaction((tx) => tx.query('INSERT INTO written VALUES (1)'))
	expect({ hits: lost.hits, rows: await at.rows() }).toEqual({ hits: 1, rows: 1 })
	expect(pool.holdfast.stats()).toMatchObject({ attempts: 2, halfOpen: 1, inDoubt: 1, resolved: { notApplied: 1 } })
})

test('a borrower is told, and its connection is handed to nobody else', async () => {
	const pool = at.wrap(soon)
	const client = await pool.connect()
	loseCommand('SELECT 42')
	await expect(client.query('SELECT 42')).rejects.toMatchObject({ code: 'HOLDFAST_LINK_LOST' })
	client.release()
	expect((await pool.query('SELECT 43 AS answer')).rows).toEqual([{ answer: 43 }])
	expect({ total: pool.totalCount, halfOpen: pool.holdfast.stats().halfOpen }).toEqual({ total: 1, halfOpen: 1 })
})

test("a borrower's BEGIN that vanished is moved to another connection", async () => {
	const pool = at.wrap(soon)
	const client = await pool.connect()
	loseCommand('BEGIN')
	await client.query('BEGIN')
	await client.query('INSERT INTO written VALUES (1)')
	await client.query('COMMIT')
	client.release()
	expect(await at.rows()).toBe(1)
	expect(pool.holdfast.stats()).toMatchObject({ halfOpen: 1 })
})

test('with halfOpenAfterMs: false the server is never asked', async () => {
	const pool = at.wrap({ halfOpenAfterMs: false })
	await pool.query('SELECT pg_sleep(3)')
	expect(pool.holdfast.stats().endpoint.connectAttempts).toBe(1)
})

test('a cursor that waits for its reader is not taken for a call without an answer', async () => {
	const pool = at.wrap({ halfOpenAfterMs: 100 })
	const client = await pool.connect()
	const cursor = client.query(new Cursor('SELECT generate_series(1, 10) AS n'))
	expect(await cursor.read(1)).toEqual([{ n: 1 }])
	await pool.query('SELECT pg_sleep(1)')
	expect(await cursor.read(100)).toHaveLength(9)
	await cursor.close()
	client.release()
	expect(pool.holdfast.stats().halfOpen).toBe(0)
})

test("with pg's query_timeout too, no connection is handed out on which an answer is outstanding", async () => {
	const pool = at.wrap(soon, { query_timeout: 200, max: 1 })
	const { pid } = (await pool.query('SELECT pg_backend_pid() AS pid')).rows[0]
	loseCommand('SELECT 42')
	await expect(pool.query('SELECT 42')).rejects.toThrow('Query read timeout')
	const again = (await pool.query('SELECT pg_backend_pid() AS pid')).rows[0]
	expect(again.pid).not.toBe(pid)
	expect(pool.totalCount).toBe(1)
})

test("behind PgBouncer, whose pids are not the server's, a query that takes long is left alone", async () => {
	const bouncer = await startPgBouncer(at.server, 5)
	try {
		const pool = at.wrap({ halfOpenAfterMs: 100 }, bouncer.config())
		await pool.query('SELECT pg_sleep(2)')
		const { halfOpen, attempts, endpoint } = pool.holdfast.stats()
		expect({ halfOpen, attempts }).toEqual({ halfOpen: 0, attempts: 1 })
		expect(endpoint.connectAttempts).toBeGreaterThan(3)
		await pool.end()
	} finally {
		await bouncer.stop()
	}
})

test('with hosts, too, a read whose answer vanished is run again', async () => {
	const pool = at.wrap({ ...soon, hosts: [`${at.proxy.host}:${at.proxy.port}`] })
	await pool.query('SELECT pg_backend_pid()')
	loseCommand('SELECT 42')
	expect((await pool.query('SELECT 42 AS answer')).rows).toEqual([{ answer: 42 }])
	expect(pool.holdfast.stats()).toMatchObject({ attempts: 3, halfOpen: 1 })
})
