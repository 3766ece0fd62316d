/** Is anything lost or repeated when the primary is killed under load and its replica promoted? The short form of `npm run bench -- failover`. */
import { expect, test } from 'vitest'
import { FailoverCourse, type Replication } from './trial.ts'

const seeds = [1, 2]

async function runAll(replication: Replication, commit: 'verify' | 'ledger') {
	const course = await FailoverCourse.open(replication)
	try {
		const records = []
		for (const seed of seeds) {
			records.push(await course.run(seed, commit))
			if (seed !== seeds.at(-1)) await course.swap()
		}
		return records
	} finally {
		await course.close()
	}
}

test('synchronous replica promoted under load: nothing acknowledged is lost, nothing is there twice, no write error', {
	timeout: 120_000,
}, async () => {
	for (const { anomalies, errors, told, lostBefore } of await runAll('synchronous', 'verify')) {
		expect(anomalies).toEqual([])
		expect(errors).toEqual([])
		expect(lostBefore).toBe(0)
		expect(told.ok).toBeGreaterThan(0)
	}
})

test.each(['verify', 'ledger'] as const)(
	'%s: a replica that is behind is promoted under load: what was acknowledged since is there, what was before is missing and not made up, and nothing is there twice',
	{ timeout: 120_000 },
	async (commit) => {
		const records = await runAll('asynchronous', commit)
		for (const { anomalies, errors, told } of records) {
			expect(anomalies).toEqual([])
			expect(errors).toEqual([])
			expect(told.ok).toBeGreaterThan(0)
			if (commit === 'ledger') expect(told['in doubt']).toBe(0)
		}
		// Otherwise the replica was not behind, and nothing was shown.
		expect(records.reduce((sum, { lostBefore }) => sum + lostBefore, 0)).toBeGreaterThan(0)
	},
)
