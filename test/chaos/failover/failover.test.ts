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

test('asynchronous replica promoted under load: nothing acknowledged after the promotion is lost, and what is not known is said to be in doubt', {
	timeout: 120_000,
}, async () => {
	for (const { anomalies, errors, told } of await runAll('asynchronous', 'verify')) {
		expect(anomalies).toEqual([])
		expect(errors).toEqual([])
		expect(told.ok).toBeGreaterThan(0)
	}
})

test('with the ledger no commit stays in doubt across a failover to a synchronous replica', { timeout: 120_000 }, async () => {
	for (const { anomalies, errors, told } of await runAll('synchronous', 'ledger')) {
		expect(anomalies).toEqual([])
		expect(errors).toEqual([])
		expect(told['in doubt']).toBe(0)
	}
})
