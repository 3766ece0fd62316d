/** Is anything lost or repeated when the primary is killed and its replica promoted, 20 times each way? */
import { FailoverCourse, type FailoverRecord, type Replication } from '../test/chaos/failover/trial.ts'
import { accidentMark } from '../test/support/leaks.ts'
import type { Report } from './support/report.ts'
import { spread } from './support/statistics.ts'

const trials = 20
// A second, and the longest pause between two probes.
const firstWriteWithinMs = 1_500

export async function run(report: Report): Promise<void> {
	const accidents = accidentMark()
	report.say('- PostgreSQL, a primary and one streaming replica, 12 workers on one pool of 8 with `hosts`; replies 2 ms late')
	report.say('- asynchronous: the replica gets nothing more for the last 20 to 120 ms, so that it lacks what was acknowledged then')
	report.say(
		'- killed by SIGKILL, promoted 0 to 0.4 s later by `pg_promote`; the killed server comes back as the replica for the next seed',
	)
	const rows: (string | number)[][] = []
	for (const [replication, commit] of [
		['synchronous', 'verify'],
		['asynchronous', 'verify'],
		['asynchronous', 'ledger'],
		['synchronous', 'ledger'],
	] as const) {
		const records = await runAll(replication, commit, report)
		const what = `${replication}, ${commit}`
		const anomalies = records.flatMap((record) => record.anomalies)
		const sum = (of: (record: FailoverRecord) => number) => records.reduce((total, record) => total + of(record), 0)
		const firstWrites = records.map(({ firstWriteMs }) => firstWriteMs)
		const slowest = Math.max(...firstWrites)
		const lostBefore = sum((record) => record.lostBefore)
		rows.push([
			what,
			records.length,
			sum(({ told }) => told.ok),
			sum(({ told }) => told['in doubt']),
			sum(({ told }) => told.failed),
			lostBefore,
			spread(firstWrites).median,
			Math.round(slowest),
		])
		for (const { kind, detail } of anomalies.slice(0, 5)) report.say(`Anomaly (${what}): ${kind}, ${detail}`)
		for (const error of records.flatMap(({ errors }) => errors).slice(0, 5)) report.say(`Error (${what}): ${error}`)
		const count = (kind: string) => anomalies.filter((anomaly) => anomaly.kind === kind).length
		const since = replication === 'synchronous' ? '' : ' after the promotion'
		report.atMost(`${what}: acknowledged writes lost${since}`, count('lost'), 0)
		if (replication === 'asynchronous')
			report.atLeast(`${what}: acknowledged before the promotion and not replicated (else nothing is shown)`, lostBefore, trials)
		report.atMost(`${what}: applied twice`, count('duplicate'), 0)
		report.atMost(`${what}: other anomalies`, anomalies.length - count('lost') - count('duplicate'), 0)
		report.atMost(
			`${what}: errors that reached a worker, beside commits in doubt`,
			sum(({ told }) => told.failed),
			0,
		)
		report.atMost(`${what}: ms from the promotion to the first write, slowest`, slowest, firstWriteWithinMs)
		if (commit === 'ledger')
			report.atMost(
				`${what}: commits left in doubt`,
				sum(({ told }) => told['in doubt']),
				0,
			)
	}
	report.table(
		[
			'replication, commit',
			'failovers',
			'acknowledged',
			'in doubt',
			'failed',
			'acknowledged before the promotion and not replicated',
			'promotion to first write, median ms',
			'slowest',
		],
		rows,
	)
	report.atMost('accidents in the process', accidents.accidents.length, 0)
	for (const accident of accidents.accidents.slice(0, 5)) report.say(`Accident: ${accident}`)
	accidents.stop()
}

async function runAll(replication: Replication, commit: 'verify' | 'ledger', report: Report): Promise<FailoverRecord[]> {
	const course = await FailoverCourse.open(replication)
	try {
		const records: FailoverRecord[] = []
		for (let seed = 1; seed <= trials; seed++) {
			const record = await course.run(seed, commit)
			records.push(record)
			const { told, anomalies, firstWriteMs } = record
			report.progress(
				`${replication}, ${commit}, seed ${seed}: ${told.ok} ok, ${told['in doubt']} in doubt, ${told.failed} failed, ${anomalies.length} anomalies, first write after ${Math.round(firstWriteMs)} ms`,
			)
			if (seed < trials) await course.swap()
		}
		return records
	} finally {
		await course.close()
	}
}
