/** Does Holdfast lose or repeat anything under chaos on PostgreSQL, and would this harness notice? The short form of `npm run chaos`. */
import { expect, test } from 'vitest'
import { crashesOf, networkFaultsOf } from './run.ts'
import { verdictOf } from './short-run.ts'

test('with verified commits nothing is lost, nothing is applied twice and nothing that failed is there', { timeout: 120_000 }, async () => {
	const { tally, failures, report } = await verdictOf({})
	expect(failures, report).toEqual([])
	expect(crashesOf(tally)).toBeGreaterThanOrEqual(3)
	expect(networkFaultsOf(tally)).toBeGreaterThanOrEqual(25)
	expect(tally.told.ok).toBeGreaterThan(0)
})

test('with the ledger nothing stays in doubt either', { timeout: 120_000 }, async () => {
	const { tally, failures, report } = await verdictOf({ commit: 'ledger', seed: 12 })
	expect(failures, report).toEqual([])
	expect(tally.told['in doubt'], report).toBe(0)
})

test('hand-written transactions over a wrapped pool are told the truth', { timeout: 120_000 }, async () => {
	const { failures, report } = await verdictOf({ client: 'holdfast-client', seed: 13 })
	expect(failures, report).toEqual([])
})

test('the same faults make p-retry apply transactions twice: the harness can fail', { timeout: 120_000 }, async () => {
	const only = new Set(['commit-reply'] as const)
	const { tally } = await verdictOf({ client: 'p-retry', crashes: 0, faults: 20, isolations: ['read committed'], only })
	expect(tally.anomalyCounts.get('duplicate')).toBeGreaterThan(0)
})
