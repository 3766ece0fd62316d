/** What does the wrapper cost when nothing fails? */
import { commitLedger } from 'holdfast'
import { type Call, compare } from './support/paired-runs.ts'
import { installPeers, peer } from './support/peers.ts'
import { cpuPerCall, type Taken, takenPerCall } from './support/per-call.ts'
import type { Report } from './support/report.ts'
import { median, type Spread, spread } from './support/statistics.ts'
import { openSubject, type ServerName, stubPool } from './support/subject.ts'
import { digits } from './support/table.ts'

const poolSize = 10
const concurrencies = [8, 40]
const allPairs = 200
const runMs = 60
const leastRatio = 0.97
const mostOverheadUs = 1
const stubRuns = 31
const stubCalls = 4_000

/** A quick look instead of the whole: `npm run bench -- overhead --only query --pairs 100`. */
export interface OverheadWish {
	/** Only rows of the first table with this in their name. */
	readonly only?: string | undefined
	/** Default 200; with fewer the median says little. */
	readonly pairs?: number | undefined
}

export async function run(report: Report, on: ServerName, wish: OverheadWish = {}): Promise<void> {
	await throughput(report, on, wish)
	if (wish.only === undefined) await perCall(report, on)
}

async function throughput(report: Report, on: ServerName, { only = '', pairs = allPairs }: OverheadWish): Promise<void> {
	const subject = await openSubject(on)
	const resolver = subject.resolvers[0]!
	const bare = subject.pool({ size: poolSize })
	const wrapped = subject.pool({ size: poolSize, wrap: { commit: 'off' } })
	const resolving = subject.pool({
		size: poolSize,
		wrap: { commit: resolver === 'ledger' ? commitLedger({ create: true }) : resolver },
	})
	try {
		report.say(`- ${subject.title}; pools of ${poolSize}`)
		report.say('')
		report.say(`Throughput, ${pairs} pairs of runs of ${runMs} ms in turn; the ratio is the median of the pairs, with its quartiles.`)
		report.say(
			'By CPU of Node: the same ratio of the processor time that the process took, which other programs on the machine disturb less.',
		)
		const workloads: { name: string; bare: Call; wrapped: Call; limited: boolean }[] = [
			{ name: "pool.query('select 1')", bare: bare.read, wrapped: wrapped.read, limited: true },
			{ name: 'transaction of 3 statements', bare: bare.byHand, wrapped: wrapped.byTransaction, limited: true },
			{ name: `the same, commits by ${resolver}`, bare: bare.byHand, wrapped: resolving.byTransaction, limited: false },
		]
		const rows: (string | number)[][] = []
		for (const { name, limited, ...sides } of workloads.filter(({ name }) => name.includes(only))) {
			for (const concurrency of concurrencies) {
				const { bare, wrapped, ratio, cpuRatio } = await compare(sides, pairs, runMs, concurrency)
				rows.push([
					name,
					concurrency,
					bare,
					wrapped,
					digits(ratio.median),
					`${digits(ratio.lower)} – ${digits(ratio.upper)}`,
					digits(cpuRatio.median),
				])
				report.progress(`${name}, ${concurrency} callers: ${digits(ratio.median)}, by CPU ${digits(cpuRatio.median)}`)
				if (limited) report.atLeast(`${name}, ${concurrency} callers: wrapped / bare`, ratio.median, leastRatio)
			}
		}
		report.table(['work', 'callers', 'bare, calls/s', 'wrapped, calls/s', 'wrapped / bare', 'quartiles', 'by CPU of Node'], rows)
	} finally {
		await Promise.all([bare.end(), wrapped.end(), resolving.end()])
		await subject.server.dispose()
	}
}

async function perCall(report: Report, on: ServerName): Promise<void> {
	const sides = await stubSides(on)
	report.say('Processor time per call on a pool whose client answers at the next tick, one call after the other, nothing fails;')
	report.say(`median of ${stubRuns} runs of ${stubCalls} calls each, in turn. "More than bare" is paired, with its quartiles.`)
	for (const [what, calls] of Object.entries(sides)) {
		const costs = await perCallCosts(Object.entries(calls))
		report.table(
			perCallHeads(what),
			costs.map(({ name, us, over, timers, listeners }) => [
				name,
				digits(us),
				digits(over.median),
				`${digits(over.lower)} – ${digits(over.upper)}`,
				timers,
				listeners,
			]),
		)
		const [bare, mine, ...peers] = costs
		if (bare === undefined || mine === undefined || peers.length === 0) continue
		report.atMost(`${what}: more than bare, µs`, mine.over.median, mostOverheadUs)
		report.atMost(`${what}: more than bare, µs; the cheapest peer`, mine.over.median, Math.min(...peers.map(({ over }) => over.median)))
		report.atMost(`${what}: timers and listeners that the bare call does not have`, beyond(mine, bare), 0)
	}
}

const beyond = (mine: Taken, bare: Taken) => Math.max(0, mine.timers - bare.timers) + Math.max(0, mine.listeners - bare.listeners)

const perCallHeads = (what: string) => [
	what,
	'CPU per call, µs',
	'more than bare, µs',
	'quartiles',
	'timers per call',
	'listeners per call',
]

/** What one side takes a call. */
interface Cost extends Taken {
	readonly name: string
	readonly us: number
	/** Beyond the first side. */
	readonly over: Spread
}

async function perCallCosts(sides: readonly [name: string, call: Call][]): Promise<Cost[]> {
	for (const [, call] of sides) await cpuPerCall(call, 10 * stubCalls)
	const times = sides.map(() => [] as number[])
	for (let run = 0; run < stubRuns; run++) {
		// Each begins as often as the others: who comes behind whom makes a difference.
		for (let turn = 0; turn < sides.length; turn++) {
			const index = (run + turn) % sides.length
			const [, call] = sides[index] as (typeof sides)[number]
			times[index]?.push(await cpuPerCall(call, stubCalls))
		}
	}
	const costs: Cost[] = []
	for (const [index, [name, call]] of sides.entries()) {
		const mine = times[index] ?? []
		const over = spread(mine.map((each, run) => each - (times[0]?.[run] ?? 0)))
		costs.push({ name, us: median(mine), over, ...(await takenPerCall(call, stubCalls)) })
	}
	return costs
}

/** The same pool under each library, with its own way to retry; opossum is a breaker and does not. */
async function stubSides(on: ServerName): Promise<Record<string, Record<string, Call>>> {
	await installPeers()
	const cockatiel = await peer('cockatiel')
	const { default: pRetry } = await peer('p-retry')
	const { default: asyncRetry } = await peer('async-retry')
	const { default: Breaker } = await peer('opossum')
	const bare = stubPool(on, { size: poolSize })
	const { read } = bare
	const wrapped = stubPool(on, { size: poolSize, wrap: { commit: 'off' } })
	const policy = cockatiel.retry(cockatiel.handleAll, { maxAttempts: 5, backoff: new cockatiel.ExponentialBackoff() })
	const breaker = new Breaker(read)
	return {
		'pool.query': {
			'bare pool': read,
			holdfast: wrapped.read,
			'cockatiel (retry)': () => policy.execute(read),
			'p-retry': () => pRetry(read),
			'async-retry': () => asyncRetry(read),
			'opossum (breaker)': () => breaker.fire(),
		},
		'transaction of 3': { 'by hand': bare.byHand, holdfast: wrapped.byTransaction },
	}
}
