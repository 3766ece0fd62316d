/** A pool whose own connections need not lead to the primary: what becomes of its doubtful commits, and of what is asked of it after its end? */
import { expect, test } from 'vitest'
import { noRetries } from '../support/no-retries.ts'
import { onFailoverStage } from './failover-stage.ts'

const at = onFailoverStage()

const count = 'SELECT count(*)::int AS n FROM written'

test.each(['prefer-replica', 'any'] as const)('%s: a commit in doubt is looked for on the primary', async (target) => {
	const pool = at.wrap({ target })
	await pool.query(count)
	const lose = () => at.proxyOf(at.primary).intercept({ from: 'server', match: ({ tag }) => tag === 'COMMIT', action: 'cut before' })
	const first = lose()
	await pool.transaction((tx) => tx.query('INSERT INTO written VALUES (1)'))
	const second = lose()
	await pool.query({ text: 'INSERT INTO written VALUES (2)', exactlyOnce: true })
	expect([first.hits, second.hits]).toEqual([1, 1])
	expect(pool.holdfast.stats().resolved).toEqual({ applied: 2, notApplied: 0, unresolved: 0 })
	expect(await at.rows()).toBe(2)
})

test('once the pool has ended nothing is opened beside it', async () => {
	const pool = at.wrap({ target: 'prefer-replica' })
	const ended = pool.end()
	await expect(pool.transaction((tx) => tx.query('INSERT INTO written VALUES (1)'))).rejects.toThrow(/end/)
	await expect(pool.query(count, { target: 'replica' })).rejects.toThrow(/end/)
	await ended
	expect(await at.rows()).toBe(0)
})

test('who borrows a connection of a pool for reads and writes on it is told by the server, and nobody else notices', async () => {
	const pool = at.wrap({ target: 'prefer-replica', deadlineMs: 2_000 }, { max: 1 })
	const client = await pool.connect()
	const { pid } = (await client.query('SELECT pg_backend_pid() AS pid')).rows[0]
	for (const text of ['INSERT INTO written VALUES (1)', 'BEGIN', 'INSERT INTO written VALUES (2)', 'ROLLBACK'])
		if (text.startsWith('INSERT')) await expect(client.query(text)).rejects.toMatchObject({ code: '25006' })
		else await client.query(text)
	client.release()
	expect((await pool.query('SELECT pg_backend_pid() AS pid')).rows[0].pid).toBe(pid)
	expect(pool.holdfast.stats()).toMatchObject({ retries: noRetries, outages: 0 })
	expect(await at.rows()).toBe(0)
})
