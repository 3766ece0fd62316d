/** The answer to COMMIT is lost 500 times in a row, the server alive: is every commit resolved, and does nobody see an error? */
import { commitLedger } from 'holdfast'
import { expect, test } from 'vitest'
import { onStage } from './on-stage.ts'

const at = onStage()

const transactions = 1_000

test('1,000 read-only transactions, commits verified, use up no transaction id', async () => {
	const pool = at.wrap({}, { max: 4 })
	const snapshot = async () => (await at.ask<{ now: string }>('SELECT pg_current_snapshot()::text AS now'))[0]?.now
	const before = await snapshot()
	const readOnly = () => pool.transaction(async (tx) => tx.query('SELECT 1'), { readOnly: true })
	for (let done = 0; done < transactions; done += 4) await Promise.all([readOnly(), readOnly(), readOnly(), readOnly()])
	expect(await snapshot()).toBe(before)
	await pool.transaction(async (tx) => tx.query('SELECT 1'))
	expect(await snapshot()).not.toBe(before)
})

const losses = 500

test.each([
	['verification', 'verify'],
	['the ledger', commitLedger({ create: true })],
] as const)(
	'500 lost answers to COMMIT: %s resolves all of them as applied, without an error and without a second run',
	async (_, commit) => {
		const pool = at.wrap({ commit }, { max: 2 })
		let runs = 0
		let told = 0
		let hits = 0
		for (let id = 0; id < losses; id++) {
			const lost = at.loseCommitReply()
			const value = await pool.transaction(async (tx) => {
				runs += 1
				tx.onCommit(() => {
					told += 1
				})
				await tx.query('INSERT INTO written VALUES ($1)', [id])
				return id
			})
			expect(value).toBe(id)
			hits += lost.hits
		}
		expect({ hits, runs, told }).toEqual({ hits: losses, runs: losses, told: losses })
		expect(pool.holdfast.stats()).toMatchObject({ inDoubt: losses, resolved: { applied: losses, notApplied: 0, unresolved: 0 } })
		expect(await at.ask('SELECT count(*)::int AS rows, count(DISTINCT id)::int AS ids FROM written')).toEqual([
			{ rows: losses, ids: losses },
		])
	},
	60_000,
)
