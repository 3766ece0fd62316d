/** How much slower is one side than the other on a noisy machine? Short runs in turn, and the median of the ratios of neighbours. */
import { median, type Spread, spread } from './statistics.ts'

/** One call of a side; the runs make many. */
export type Call = () => Promise<unknown>

/** What a run took, in milliseconds: on the clock, and of this process's processor time. */
interface Run {
	readonly ms: number
	readonly cpuMs: number
}

/** Makes `calls` calls, `concurrency` at a time. */
async function runOf(call: Call, calls: number, concurrency: number): Promise<Run> {
	let left = calls
	const caller = async () => {
		while (left > 0) {
			left -= 1
			await call()
		}
	}
	const cpuBefore = process.cpuUsage()
	const startedAtMs = performance.now()
	await Promise.all(Array.from({ length: concurrency }, caller))
	const ms = performance.now() - startedAtMs
	const { user, system } = process.cpuUsage(cpuBefore)
	return { ms, cpuMs: (user + system) / 1_000 }
}

export interface Comparison {
	/** Calls a second, median of the runs. */
	readonly bare: number
	readonly wrapped: number
	/** Throughput wrapped / bare, of each pair of neighbouring runs. */
	readonly ratio: Spread
	/** The same of processor time, bare / wrapped: what other programs do on the machine disturbs it less. */
	readonly cpuRatio: Spread
}

const warmUpCalls = 4_000
const gaugeCalls = 1_000

/** Runs both sides in turn, bare first in every other pair, so that drift and the cost of going second hit both alike. */
export async function compare(
	sides: { bare: Call; wrapped: Call },
	pairs: number,
	runMs: number,
	concurrency: number,
): Promise<Comparison> {
	await runOf(sides.wrapped, warmUpCalls, concurrency)
	await runOf(sides.bare, warmUpCalls, concurrency)
	const gauge = await runOf(sides.bare, gaugeCalls, concurrency)
	const calls = Math.ceil((gaugeCalls * runMs) / gauge.ms)
	const bare: Run[] = []
	const wrapped: Run[] = []
	for (let pair = 0; pair < pairs; pair++) {
		const order = pair % 2 === 0 ? (['bare', 'wrapped'] as const) : (['wrapped', 'bare'] as const)
		for (const side of order) (side === 'bare' ? bare : wrapped).push(await runOf(sides[side], calls, concurrency))
	}
	const perSecond = (runs: readonly Run[]) => (1_000 * calls) / median(runs.map(({ ms }) => ms))
	const ratio = (what: keyof Run) => spread(bare.map((run, pair) => run[what] / (wrapped[pair]?.[what] ?? Number.NaN)))
	return { bare: perSecond(bare), wrapped: perSecond(wrapped), ratio: ratio('ms'), cpuRatio: ratio('cpuMs') }
}
