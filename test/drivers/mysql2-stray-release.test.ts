/** What does a second release of the same connection do to the one who has it by then? Nothing, as with bare mysql2. */
import type { Pool, PoolConnection } from 'mysql2'
import { describe, expect, test } from 'vitest'
import { flavours } from '../support/mysql.ts'
import { ground } from './mysql2-side-by-side.ts'

const borrow = (pool: Pool) =>
	new Promise<PoolConnection>((resolve, reject) => pool.getConnection((error, connection) => (error ? reject(error) : resolve(connection))))
const answer = (pool: Pick<Pool, 'query'>, text: string) =>
	new Promise<unknown>((resolve, reject) => pool.query(text, (error, rows) => (error ? reject(error) : resolve(rows))))
const turn = () => new Promise((resolve) => setImmediate(resolve))

describe.each(flavours)('%s', (flavour) => {
	const setup = ground(flavour)

	test.each(['before', 'between'] as const)(
		'a connection that is released twice is lent to one of those who asked for it %s the releases',
		async (when) => {
			const { bare, wrapped } = await setup.both(
				async (pool) => {
					const held = await borrow(pool)
					let lent = 0
					const ask = async () => {
						const mine = await borrow(pool)
						lent += 1
						return mine
					}
					if (when === 'between') held.release()
					const first = ask()
					if (when === 'between') held.release()
					const second = ask()
					await turn()
					if (when === 'before') for (let times = 0; times < 2; times++) held.release()
					const mine = await first
					await answer(mine as never, 'SELECT 1')
					const seen = lent
					mine.release()
					;(await second).release()
					return seen
				},
				{ connectionLimit: 1 },
			)
			expect(wrapped).toBe(bare)
			expect(bare).toBe(1)
		},
	)

	test('a transaction of the pool keeps its connection to itself', async () => {
		const pool = setup.wrapped({ connectionLimit: 1 })
		const held = await borrow(pool)
		const waits = pool.transaction(async (tx) => {
			const outside = answer(pool, 'SELECT 1')
			await tx.query('SELECT 1')
			await turn()
			return { outside, waiting: pool.holdfast.stats().waiting }
		})
		await turn()
		held.release()
		held.release()
		const { outside, waiting } = await waits
		expect(waiting).toBe(1)
		await outside
	})
})
