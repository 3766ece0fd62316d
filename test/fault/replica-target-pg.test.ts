/** A pool whose own connections need not lead to the primary: what becomes of its doubtful commits, and of what is asked of it after its end? */
import { expect, test } from 'vitest'
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
