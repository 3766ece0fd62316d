/** How much gets done when transactions fight for the same rows, beside other libraries and beside every fixed concurrency? */
import { type Fought, fight, fightsOn, hotRowCounts, measureMs, poolSize, rounds, warmUpMs, workers } from './contention/fights.ts'
import type { Outcome } from './contention/run.ts'
import { installPeers } from './support/peers.ts'
import { plot } from './support/plot.ts'
import type { Report } from './support/report.ts'
import type { ServerName } from './support/subject.ts'

// Issue 6, "Must show", 1: commits a second, at least so many times those of the best peer.
const timesBestPeer: Readonly<Record<number, number>> = { 2: 10, 10: 3, 100: 1, 1000: 1 }
// The 99th percentile: at most this share of the best peer's.
const shareOfPeersP99: Readonly<Record<number, number>> = { 2: 0.1, 10: 0.1 }
const leastOfBestFixed = 0.8
const leastWithoutContention = 0.98

export async function run(report: Report, server: ServerName): Promise<void> {
	await installPeers()
	tell(report, server, await fight(server, fightsOn(server), (line) => report.progress(line)))
}

/** Everything that was found. */
export function tell(report: Report, server: ServerName, fought: readonly Fought[]): void {
	report.say(`- ${workers} workers, pools of ${poolSize}. A transaction reads two of the hot rows and writes both, in either order.`)
	report.say(
		`- Each side keeps its pool: ${warmUpMs / 1_000} s to warm up, then ${rounds} times ${measureMs / 1_000} s in turn with the others; medians.`,
	)
	picture(report, server, fought)
	for (const each of fought) {
		const what = `${each.arena}, ${each.hotRows ?? 'no'} hot rows`
		if (each.shareWithoutTurns !== undefined)
			report.atLeast(`${what}: commits/s, of those without turns`, each.shareWithoutTurns, leastWithoutContention)
		else if (each.hotRows !== undefined) contended(report, what, each.hotRows, each.outcomes)
	}
}

function contended(report: Report, what: string, hotRows: number, outcomes: readonly Outcome[]): void {
	report.say('')
	report.say(`## ${what}`)
	report.table(
		['side', 'commits/s', 'p50, ms', 'p99, ms', 'errors left to the caller'],
		outcomes.map(({ name, perSecond, p50Ms, p99Ms, errors }) => [name, perSecond, p50Ms, p99Ms, errors]),
	)
	const mine = best(outcomes, 'holdfast')
	const peer = best(outcomes, 'peer')
	const sweep = best(outcomes, 'fixed')
	report.atLeast(`${what}: commits/s, times those of ${peer.name}`, mine.perSecond / peer.perSecond, timesBestPeer[hotRows] ?? 1)
	report.atLeast(`${what}: commits/s, of those of ${sweep.name}`, mine.perSecond / sweep.perSecond, leastOfBestFixed)
	const share = shareOfPeersP99[hotRows]
	if (share === undefined) return
	const p99Ms = Math.min(...outcomes.filter(({ kind }) => kind === 'peer').map((each) => each.p99Ms))
	report.atMost(`${what}: p99, of the best peer's`, mine.p99Ms / p99Ms, share)
}

const best = (outcomes: readonly Outcome[], kind: Outcome['kind']): Outcome =>
	outcomes.filter((each) => each.kind === kind).reduce((one, other) => (other.perSecond > one.perSecond ? other : one))

/** Of the fixed concurrencies only the best, which is another one from fight to fight. */
const drawn = (outcomes: readonly Outcome[]): readonly Outcome[] => [
	...outcomes.filter(({ kind }) => kind === 'peer'),
	{ ...best(outcomes, 'fixed'), name: 'the best fixed number at a time' },
	...outcomes.filter(({ kind }) => kind === 'holdfast'),
]

/** Goodput and p99 against the number of hot rows, a row of panels for each isolation level. */
function picture(report: Report, server: ServerName, fought: readonly Fought[]): void {
	const arenas = [...new Set(fought.map(({ arena }) => arena))]
	const lines = (arena: string, figure: (outcome: Outcome) => number) => {
		const points = new Map<string, [number, number][]>()
		for (const { arena: where, hotRows, outcomes } of fought) {
			if (where !== arena || hotRows === undefined) continue
			for (const outcome of drawn(outcomes)) points.set(outcome.name, [...(points.get(outcome.name) ?? []), [hotRows, figure(outcome)]])
		}
		return [...points].map(([name, at]) => ({ name, points: at }))
	}
	const title = `${workers} workers that fight for rows`
	report.picture(
		server === 'postgres' ? '' : server,
		`${title}: commits a second and p99 against the number of hot rows`,
		plot({
			title,
			description: `Commits a second, and the 99th percentile of the time that a transaction takes, against the number of hot rows: ${arenas.join('; ')}.`,
			setting: `Each reads two of the hot rows and writes both, in either order; medians of ${rounds} rounds. Both scales are logarithmic.`,
			xTitle: 'hot rows',
			xLog: true,
			xTicks: hotRowCounts,
			columns: 2,
			main: 'Holdfast',
			panels: arenas.flatMap((arena) => [
				{ title: `${arena}: commits a second`, yLog: true, lines: lines(arena, ({ perSecond }) => perSecond) },
				{ title: `${arena}: p99, ms`, yLog: true, lines: lines(arena, ({ p99Ms }) => p99Ms) },
			]),
		}),
	)
}
