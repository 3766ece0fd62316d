/** Does Holdfast lose or repeat anything under chaos on MySQL and MariaDB, and would this harness notice? The short form of `npm run chaos`. */
import { expect, test } from 'vitest'
import { flavours } from '../support/mysql.ts'
import { crashesOf, networkFaultsOf } from './run.ts'
import { verdictOf } from './short-run.ts'

const mysql2 = { driver: 'mysql2', commit: 'ledger' } as const

test.each(flavours)(
	'with the ledger nothing is lost on %s, nothing is applied twice, nothing that failed is there, and nothing stays in doubt',
	{ timeout: 120_000 },
	async (server) => {
		const { tally, failures, report } = await verdictOf({ ...mysql2, server, crashes: 1, faults: 20, seed: 21 })
		expect(failures, report).toEqual([])
		expect(tally.told['in doubt'], report).toBe(0)
		expect(crashesOf(tally)).toBeGreaterThanOrEqual(1)
		expect(networkFaultsOf(tally)).toBeGreaterThanOrEqual(20)
		expect(tally.told.ok).toBeGreaterThan(0)
	},
)

test('hand-written transactions over a wrapped mysql2 pool are told the truth', { timeout: 120_000 }, async () => {
	const { failures, report } = await verdictOf({
		...mysql2,
		server: 'mariadb',
		client: 'holdfast-client',
		crashes: 1,
		faults: 20,
		seed: 22,
	})
	expect(failures, report).toEqual([])
})

test('the same faults make p-retry apply transactions twice over mysql2: the harness can fail', { timeout: 120_000 }, async () => {
	const only = new Set(['commit-reply'] as const)
	const naive = { client: 'p-retry', crashes: 0, faults: 20, isolations: ['read committed'], only } as const
	const { tally } = await verdictOf({ ...mysql2, server: 'mariadb', ...naive })
	expect(tally.anomalyCounts.get('duplicate')).toBeGreaterThan(0)
})
