/** What of pg may look like a dead link, or hide one? Cursors, its own time limits, poolers. */
import Cursor from 'pg-cursor'
import { afterEach, expect, test } from 'vitest'
import { startPgBouncer } from '../support/pgbouncer.ts'
import { onStage } from './on-stage.ts'

const at = onStage()

// The server's ends of the links that were found dead.
afterEach(() => at.proxy.resetAll())

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
	const pool = at.wrap({ halfOpenAfterMs: 300 }, { query_timeout: 200, max: 1 })
	const { pid } = (await pool.query('SELECT pg_backend_pid() AS pid')).rows[0]
	at.proxy.intercept({ from: 'client', match: ({ text }) => text === 'SELECT 42', action: 'black hole' })
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
