/** How much gets done when transactions fight for the same rows, beside other libraries and beside every fixed concurrency? */
import { type PostgresServer, startPostgres } from '../test/support/postgres.ts'
import { measure, type Outcome, rows } from './contention/run.ts'
import { atDatabases, fixed, type Open, ours, pRetry, slonik } from './contention/sides.ts'
import { installPeers } from './support/peers.ts'
import type { Report } from './support/report.ts'
import { median } from './support/statistics.ts'

const workers = 32
const poolSize = 32
// What is learnt in the first seconds is not what a server does all day. Nobody is ahead by it: every side has the same time.
const warmUpMs = 2_500
const measureMs = 2_500
// All sides in turn, several times: other programs on the machine come and go.
const rounds = 3
const pairsWithoutContention = 5

const sides: readonly Open[] = [pRetry(10), pRetry(100), slonik, atDatabases, ...[1, 2, 4, 8, 16].map(fixed), ours]

interface Workload {
	readonly isolation: 'serializable' | 'read committed'
	readonly hotRows: number
	/** Commits a second: at least so many times those of the best peer. */
	readonly timesBestPeer?: number
	/** The 99th percentile: at most this share of the best peer's. */
	readonly shareOfPeersP99?: number
}

// Issue 6, "Must show", 1.
const workloads: readonly Workload[] = [
	{ isolation: 'serializable', hotRows: 2, timesBestPeer: 10, shareOfPeersP99: 0.1 },
	{ isolation: 'serializable', hotRows: 10, timesBestPeer: 3, shareOfPeersP99: 0.1 },
	{ isolation: 'serializable', hotRows: 100, timesBestPeer: 1 },
	{ isolation: 'serializable', hotRows: 1_000, timesBestPeer: 1 },
	{ isolation: 'read committed', hotRows: 2, timesBestPeer: 10, shareOfPeersP99: 0.1 },
	{ isolation: 'read committed', hotRows: 10, timesBestPeer: 3, shareOfPeersP99: 0.1 },
	{ isolation: 'read committed', hotRows: 100, timesBestPeer: 1 },
]
const leastOfBestFixed = 0.8
const leastWithoutContention = 0.98

export async function run(report: Report): Promise<void> {
	await installPeers()
	const server = await startPostgres({ settings: { max_connections: '100' } })
	try {
		report.say(`- PostgreSQL ${server.major} (${server.source}); ${workers} workers, pools of ${poolSize}`)
		report.say(
			`- A transaction reads two of the hot rows and writes both, in either order; each side ${rounds} times ${measureMs / 1_000} s after ${warmUpMs / 1_000} s of warm-up, a fresh table each; medians.`,
		)
		for (const isolation of ['serializable', 'read committed'] as const) {
			await server.query(`CREATE DATABASE ${databaseOf(isolation)}`)
			await server.query(`ALTER DATABASE ${databaseOf(isolation)} SET default_transaction_isolation = '${isolation}'`)
		}
		for (const workload of workloads) await contended(report, server, workload)
		await uncontended(report, server)
	} finally {
		await server.dispose()
	}
}

async function contended(report: Report, server: PostgresServer, workload: Workload): Promise<void> {
	const { isolation, hotRows, timesBestPeer, shareOfPeersP99 } = workload
	const what = `${isolation.toUpperCase()}, ${hotRows} hot rows`
	const outcomes = sides.map((): Outcome[] => [])
	for (let round = 0; round < rounds; round++) {
		for (const [index, open] of sides.entries()) {
			const outcome = await one(server, isolation, open, hotRows)
			outcomes[index]?.push(outcome)
			report.progress(`${what}, ${outcome.name}: ${Math.round(outcome.perSecond)}/s, p99 ${Math.round(outcome.p99Ms)} ms`)
		}
	}
	const results = outcomes.map(middle)
	report.say('')
	report.say(`## ${what}`)
	report.table(
		['side', 'commits/s', 'p50, ms', 'p99, ms', 'errors left to the caller'],
		results.map(({ name, perSecond, p50Ms, p99Ms, errors }) => [name, perSecond, p50Ms, p99Ms, errors]),
	)
	const mine = best(results, 'holdfast')
	const peer = best(results, 'peer')
	const sweep = best(results, 'fixed')
	if (timesBestPeer !== undefined) report.atLeast(`${what}: commits/s, of ${peer.name}'s`, mine.perSecond / peer.perSecond, timesBestPeer)
	report.atLeast(`${what}: commits/s, of those of ${sweep.name}`, mine.perSecond / sweep.perSecond, leastOfBestFixed)
	if (shareOfPeersP99 !== undefined) {
		const p99Ms = Math.min(...results.filter(({ kind }) => kind === 'peer').map((each) => each.p99Ms))
		report.atMost(`${what}: p99, of the best peer's`, mine.p99Ms / p99Ms, shareOfPeersP99)
	}
}

/** The middle of each figure. */
function middle(outcomes: readonly Outcome[]): Outcome {
	const of = (figure: (outcome: Outcome) => number) => median(outcomes.map(figure))
	const { name = '', kind = 'fixed' } = outcomes[0] ?? {}
	return {
		name,
		kind,
		perSecond: of((each) => each.perSecond),
		p50Ms: of((each) => each.p50Ms),
		p99Ms: of((each) => each.p99Ms),
		errors: of((each) => each.errors),
	}
}

const best = (results: readonly Outcome[], kind: Outcome['kind']): Outcome =>
	results.filter((each) => each.kind === kind).reduce((one, other) => (other.perSecond > one.perSecond ? other : one))

/** Each worker has rows of its own: turns with nothing to do, beside a pool of the same size that takes none. */
async function uncontended(report: Report, server: PostgresServer): Promise<void> {
	const ratios: number[] = []
	for (let pair = 0; pair < pairsWithoutContention; pair++) {
		const [first, second] = pair % 2 === 0 ? ([ours, fixed(workers)] as const) : ([fixed(workers), ours] as const)
		const results = [await one(server, 'serializable', first, undefined), await one(server, 'serializable', second, undefined)]
		ratios.push(best(results, 'holdfast').perSecond / best(results, 'fixed').perSecond)
		report.progress(`no contention, pair ${pair + 1}: ${(ratios.at(-1) ?? 0).toFixed(3)}`)
	}
	report.atLeast(
		`no contention: commits/s, of those without turns (median of ${ratios.length} pairs)`,
		median(ratios),
		leastWithoutContention,
	)
}

const databaseOf = (isolation: Workload['isolation']): string => `contention_${isolation.replace(' ', '_')}`

async function one(server: PostgresServer, isolation: Workload['isolation'], open: Open, hotRows: number | undefined): Promise<Outcome> {
	const database = databaseOf(isolation)
	await server.query(
		`DROP TABLE IF EXISTS hot; CREATE TABLE hot (id int PRIMARY KEY, n bigint NOT NULL DEFAULT 0) WITH (fillfactor = 50);
		INSERT INTO hot SELECT id FROM generate_series(1, ${rows}) id; ANALYZE hot; CHECKPOINT`,
		database,
	)
	return measure(server, database, open, { hotRows, workers, poolSize, warmUpMs, measureMs })
}
