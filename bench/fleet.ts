/** What does a whole fleet do to a server that comes back, and what becomes of its calls? Simulated, with the scheduler of `src/`. */
import type { Kind } from './fleet/client.ts'
import { type Finding, measure } from './fleet/measure.ts'
import { type Played, picture } from './fleet/picture.ts'
import { type Scenario, simulate } from './fleet/run.ts'
import { abrupt, crash, metastable } from './fleet/scenarios.ts'
import { leastPossible, ours, patient, theirs } from './fleet/sides.ts'
import type { Report } from './support/report.ts'
import type { Cell } from './support/table.ts'

/** What can be asked for on the command line. */
export interface FleetWish {
	/** One size instead of all. */
	readonly processes?: number | undefined
	readonly seed: number
}

const sizes = [10, 100, 1_000, 10_000]
// The size at which Holdfast has to prove itself: issue 6, "Must show", 3.
const judgedSize = 10_000
// On a server of a tenth of the size, with ten connections for each of its queries that could run at a time.
const metastableSize = 100
const mostOfAccepted = 1.5
const mostOfLeastPossible = 1.3
const collapsedShare = 0.5
const goodShare = 0.95

export async function run(report: Report, _server: unknown, wish: FleetWish = { seed: 1 }): Promise<void> {
	report.simulated()
	const { connectsPerSecond, backlog, sessions, queriesPerSecond, coldShare, coldMs } = crash.capacity
	report.say(
		`- Simulated, seed ${wish.seed}: ${connectsPerSecond} logins/s from a backlog of ${backlog}, ${sessions} sessions, ${queriesPerSecond} queries/s,`,
	)
	report.say(
		`  ${100 * coldShare} % of that with a cold cache, all of it after ${coldMs / 1_000} s. Pools of ${crash.poolSize}; calls come in at a steady rate after a slow beginning,`,
	)
	report.say(`  and wait ${crash.deadlineMs / 1_000} s at most. Holdfast here is the scheduler in src/, unchanged, on the simulated clock.`)
	report.say('')
	for (const { name, what } of [leastPossible(crash), ...theirs, ours]) report.say(`- ${name}: ${what}`)
	for (const size of wish.processes === undefined ? sizes : [wish.processes]) await crashOf(report, size, wish.seed)
	await abruptStart(report, wish.processes ?? judgedSize, wish.seed)
	await stuck(report, metastableSize, wish.seed)
}

interface Result extends Played {
	readonly finding: Finding
}

async function play(report: Report, scenario: Scenario, kinds: readonly Kind[], processes: number, seed: number): Promise<Result[]> {
	const results: Result[] = []
	for (const kind of kinds) {
		const series = await simulate(scenario, kind, processes, seed)
		results.push({ name: kind.name, series, finding: measure(series, scenario) })
		report.progress(`${scenario.name}, ${processes} processes, ${kind.name}`)
	}
	return results
}

const seconds = (ms: number) => (Number.isFinite(ms) ? ms / 1_000 : 'never')

async function crashOf(report: Report, processes: number, seed: number): Promise<void> {
	const results = await play(report, crash, [leastPossible(crash), ...theirs, ours], processes, seed)
	report.say('')
	report.say(`## A crash under ${processes.toLocaleString('en')} processes, ${crash.callsPerSecond.toLocaleString('en')} calls/s`)
	table(report, results)
	const setting = `${processes.toLocaleString('en')} processes, ${crash.callsPerSecond.toLocaleString('en')} calls a second; simulated, seed ${seed}`
	report.picture(
		`${processes}`,
		`Connection attempts, goodput and queues of ${processes} processes`,
		picture(crash, results, 'A crash, and what the fleet makes of it', setting, describe(results)),
	)
	if (processes !== judgedSize) return
	const mine = findingOf(results, ours.name)
	const least = findingOf(results, 'told')
	report.atMost(
		`${processes} processes: most attempts/s after the recovery, of what the server accepts`,
		mine.peakAfter / crash.capacity.connectsPerSecond,
		mostOfAccepted,
	)
	report.atMost(`${processes} processes: time to 95 % goodput, of the least possible`, mine.backMs / least.backMs, mostOfLeastPossible)
	report.atMost(
		`${processes} processes: time until nobody waits, of the least possible`,
		mine.drainedMs / least.drainedMs,
		mostOfLeastPossible,
	)
	report.atMost(`${processes} processes: calls that failed`, mine.failed, least.failed)
}

/** What no pacing in a process can help: nobody is told that it starts, and everybody finds the door open within half a second. */
async function abruptStart(report: Report, processes: number, seed: number): Promise<void> {
	const results = await play(report, abrupt, [leastPossible(abrupt), ours, patient], processes, seed)
	report.say('')
	report.say(`## The same, but refused for 8 s and then accepted at once: ${processes.toLocaleString('en')} processes`)
	report.say('')
	report.say(
		'A refusal tells a process nothing of the others. Each of them asks at least every half second, so within half a second of the',
	)
	report.say(
		'recovery each has one attempt in the backlog. `probeMaxDelayMs` spreads them, at the price of a later notice. Not limited here.',
	)
	report.say('')
	report.say(`- ${patient.name}: ${patient.what}`)
	table(report, results)
}

async function stuck(report: Report, processes: number, seed: number): Promise<void> {
	const results = await play(report, metastable, [...theirs, ours], processes, seed)
	const { callsPerSecond, queryTimeoutMs, fate } = metastable
	report.say('')
	report.say(
		`## Slow for ${(fate.slow?.toMs ?? 0) / 1_000} s, and then? ${processes.toLocaleString('en')} processes, ${callsPerSecond.toLocaleString('en')} calls/s`,
	)
	report.say('')
	report.say(`A query may take ${queryTimeoutMs} ms; then its client hangs up. Logins and queries share the processors of the server.`)
	table(report, results)
	const setting = `${processes.toLocaleString('en')} processes, ${callsPerSecond.toLocaleString('en')} calls a second, time limit of ${queryTimeoutMs} ms; simulated, seed ${seed}`
	report.picture(
		'metastable',
		'Who recovers after five slow seconds',
		picture(metastable, results, 'Five slow seconds, and who recovers from them', setting, describe(results)),
	)
	const collapsed = results.filter(({ name, finding }) => name !== ours.name && finding.atTheEnd < collapsedShare)
	report.atLeast('metastable: goodput of Holdfast at the end, of the calls that come in', findingOf(results, ours.name).atTheEnd, goodShare)
	report.atLeast(`metastable: others that stay below ${collapsedShare} for good`, collapsed.length, 1)
}

function table(report: Report, results: readonly Result[]): void {
	report.table(
		[
			'side',
			'most attempts/s',
			'after the recovery',
			'longest backlog',
			'attempts',
			'95 % goodput after, s',
			'nobody waits after, s',
			'calls failed',
			'goodput at the end',
			'worked for nobody',
		],
		results.map(({ name, finding }): Cell[] => [
			name,
			finding.peak,
			finding.peakAfter,
			finding.mostKnocking,
			finding.attempts,
			seconds(finding.backMs),
			seconds(finding.drainedMs),
			finding.failed,
			finding.atTheEnd,
			finding.wasted,
		]),
	)
}

const findingOf = (results: readonly Result[], name: string): Finding => (results.find((result) => result.name === name) as Result).finding

const when = (ms: number) => (Number.isFinite(ms) ? `after ${ms / 1_000} s` : 'never again')

const describe = (results: readonly Result[]): string =>
	results
		.map(
			({ name, finding }) =>
				`${name}: at most ${Math.round(finding.peakAfter)} attempts a second after the recovery, 95 % goodput ${when(finding.backMs)}, ${finding.failed} calls failed.`,
		)
		.join(' ')
