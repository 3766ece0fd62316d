/** Transactions that fight for the same rows: do they take turns, is each applied once, and does every wait for a turn end? */
import { createScheduler, DeadlineError, retryReport } from 'holdfast'
import type { HoldfastPool } from 'holdfast/pg'
import { beforeEach, expect, test } from 'vitest'
import { staged } from '../support/staged.ts'
import { until } from '../support/until.ts'
import { stage } from './stage.ts'

const at = staged(stage)
beforeEach(() =>
	at.ask('DROP TABLE IF EXISTS hot; CREATE TABLE hot (id int PRIMARY KEY, n int NOT NULL); INSERT INTO hot VALUES (1, 0), (2, 0)'),
)

const values = async () => (await at.ask<{ n: number }>('SELECT n FROM hot ORDER BY id')).map(({ n }) => n)
const backends = async () =>
	(await at.ask<{ n: number }>("SELECT count(*)::int AS n FROM pg_stat_activity WHERE application_name = 'under test'"))[0]?.n

/** Reads both rows and writes both, in either order. */
function increment(pool: HoldfastPool, number: number): Promise<void> {
	const order = number % 2 === 0 ? [1, 2] : [2, 1]
	return pool.transaction(
		async (tx) => {
			const { rows } = await tx.query('SELECT id, n FROM hot')
			for (const id of order) {
				const { n } = rows.find((row) => row.id === id)
				await tx.query('UPDATE hot SET n = $2 WHERE id = $1', [id, n + 1])
			}
		},
		{ isolation: 'serializable' },
	)
}

test('32 workers on two pools and two hot rows: each transaction is applied once, and nobody gives up', async () => {
	const scheduler = createScheduler()
	const first = at.wrap({ scheduler }, { max: 16 })
	const second = at.wrap({ scheduler }, { max: 16 })
	const each = 12
	await Promise.all(
		Array.from({ length: 32 }, async (_, worker) => {
			for (let number = 0; number < each; number++) await increment(worker % 2 === 0 ? first : second, worker + number)
		}),
	)
	expect(await values()).toEqual([32 * each, 32 * each])
	expect(retriesOf(first) + retriesOf(second)).toBeGreaterThan(0)
})

const retriesOf = (pool: HoldfastPool) => {
	const { serialization_failure = 0, deadlock = 0 } = pool.holdfast.stats().retries
	return serialization_failure + deadlock
}

/** Has transactions of the pool lose until they take turns. */
async function fight(pool: HoldfastPool): Promise<void> {
	const other = at.wrap()
	let losses = 0
	await pool.transaction(
		async (tx) => {
			await tx.query('SELECT n FROM hot WHERE id = 1')
			losses += 1
			if (losses <= 6) await other.query('UPDATE hot SET n = n + 1 WHERE id = 1')
			await tx.query('UPDATE hot SET n = n + 1 WHERE id = 1')
		},
		{ isolation: 'repeatable read' },
	)
}

test('one that waits for its turn holds no connection, and its deadline ends the wait', async () => {
	const pool = at.wrap({}, { max: 4 })
	await fight(pool)
	await pool.query('SELECT 1')
	const open = await backends()
	let finish = () => {}
	const finished = new Promise<void>((resolve) => {
		finish = resolve
	})
	let runs = 0
	const holder = pool.transaction(async (tx) => {
		runs += 1
		await tx.query('UPDATE hot SET n = 10 WHERE id = 2')
		await finished
	})
	await until(() => runs === 1, { what: 'the first transaction to have its turn' })
	let others = 0
	const late = await pool.transaction(async () => (others += 1), { deadlineMs: 200 }).catch((reason: unknown) => reason)
	expect(late).toBeInstanceOf(DeadlineError)
	expect(String(late)).toMatch(/turn/)
	expect(retryReport(late)).toMatchObject({ attempts: 0 })
	expect(others).toBe(0)
	expect(await backends()).toBe(open)
	finish()
	await holder
	expect((await values())[1]).toBe(10)
})

test('a transaction on another pool that runs inside one with its turn comes to its end', async () => {
	const scheduler = createScheduler()
	const outer = at.wrap({ scheduler })
	const inner = at.wrap({ scheduler })
	await fight(outer)
	await outer.transaction(async (tx) => {
		await tx.query('UPDATE hot SET n = n + 1 WHERE id = 1')
		await inner.transaction(async (other) => other.query('UPDATE hot SET n = 20 WHERE id = 2'))
	})
	expect((await values())[1]).toBe(20)
})
