/** What came out of a chaos run? The lines at its end, and whether anything is wrong. */
import { anomalyKinds } from '../history/history.ts'
import { isNaive } from './arguments.ts'
import { faultKinds } from './plan.ts'
import { type ChaosOptions, crashesOf, networkFaultsOf, type Tally } from './run.ts'

/** What makes the run a failure, each as the end of a sentence; empty when all is well. */
export function failures(tally: Tally, { client, commit }: Pick<ChaosOptions, 'client' | 'commit'>): string[] {
	const found = anomalyKinds.filter((kind) => tally.anomalyCounts.has(kind)).map((kind) => `${tally.anomalyCounts.get(kind)} × ${kind}`)
	if (tally.hanging.length > 0) found.push(`${tally.hanging.length} transactions without an answer`)
	if (tally.accidents.length > 0) found.push(`${tally.accidents.length} errors that nobody caught`)
	if (commit === 'ledger' && !isNaive(client) && tally.told['in doubt'] > 0)
		found.push(`${tally.told['in doubt']} in doubt in spite of the ledger`)
	return found
}

export function verdictLines(tally: Tally, options: ChaosOptions): string[] {
	const { told, ran, struck } = tally
	const all = told.ok + told.failed + told['in doubt']
	const share = (part: number) => (all === 0 ? '' : ` (${((part / all) * 100).toFixed(3)} %)`)
	const anomalies = anomalyKinds.map((kind) => `${kind} ${tally.anomalyCounts.get(kind) ?? 0}`)
	const hits = faultKinds.filter(({ kind }) => struck.get(kind)).map(({ kind }) => `${kind} ${struck.get(kind)}`)
	const lines = [
		`transactions  ${count(all)}: ok ${count(told.ok)}, failed ${count(told.failed)}${share(told.failed)}, in doubt ${count(told['in doubt'])}${share(told['in doubt'])}`,
		`time          ${(ran.workMs / 1_000).toFixed(0)} s in ${ran.rounds} rounds; ${count(all / (ran.workMs / 1_000))} transactions/s; the longest took ${count(ran.longestMs)} ms`,
		`crashes       ${crashesOf(tally)}`,
		`network       ${networkFaultsOf(tally)} faults`,
		`by kind       ${hits.join(', ') || 'none'}`,
		`anomalies     ${anomalies.join(', ')}`,
	]
	if (tally.stats) lines.push(`stats         ${JSON.stringify(tally.stats)}`)
	const errors = [...tally.errors].sort(([, a], [, b]) => b - a)
	for (const [error, times] of errors.slice(0, 12)) lines.push(`told          ${String(times).padStart(5)} × ${error}`)
	for (const { anomaly, evidence } of tally.anomalies.slice(0, 5)) lines.push(`anomaly       ${anomaly.kind}: ${anomaly.detail}`, evidence)
	for (const text of tally.hanging.slice(0, 10)) lines.push(`hanging       ${text}`)
	for (const text of tally.accidents.slice(0, 5)) lines.push(`accident      ${text}`)
	const wrong = failures(tally, options)
	lines.push(wrong.length === 0 ? 'verdict       nothing lost, nothing twice, nothing torn' : `verdict       FAILED: ${wrong.join(', ')}`)
	return lines
}

export const count = (value: number): string => Math.round(value).toLocaleString('en-US')
