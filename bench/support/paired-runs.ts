/** How much slower is one side than the other on a noisy machine? Short runs in turn, and the median of the ratios of neighbours. */
import { type Spread, spread } from './statistics.ts'

/** One call of a side; the runs make many. */
export type Call = () => Promise<unknown>

/** Makes `calls` calls, `concurrency` at a time. Resolves with the milliseconds that they took together. */
export async function timeOf(call: Call, calls: number, concurrency: number): Promise<number> {
	let left = calls
	const caller = async () => {
		while (left > 0) {
			left -= 1
			await call()
		}
	}
	const startedAtMs = performance.now()
	await Promise.all(Array.from({ length: concurrency }, caller))
	return performance.now() - startedAtMs
}

export interface Comparison {
	/** Calls a second, median of the runs. */
	readonly bare: number
	readonly wrapped: number
	/** Throughput wrapped / bare, of each pair of neighbouring runs. */
	readonly ratio: Spread
}

/** Runs both sides in turn, bare first in every other pair, so that drift and the cost of going second hit both alike. */
export async function compare(
	sides: { bare: Call; wrapped: Call },
	pairs: number,
	runMs: number,
	concurrency: number,
): Promise<Comparison> {
	await timeOf(sides.bare, 4_000, concurrency)
	await timeOf(sides.wrapped, 4_000, concurrency)
	const calls = Math.ceil((1_000 * runMs) / (await timeOf(sides.bare, 1_000, concurrency)))
	const bareMs: number[] = []
	const wrappedMs: number[] = []
	for (let pair = 0; pair < pairs; pair++) {
		const order = pair % 2 === 0 ? (['bare', 'wrapped'] as const) : (['wrapped', 'bare'] as const)
		for (const side of order) (side === 'bare' ? bareMs : wrappedMs).push(await timeOf(sides[side], calls, concurrency))
	}
	const perSecond = (times: readonly number[]) => (1_000 * calls) / spread(times).median
	return { bare: perSecond(bareMs), wrapped: perSecond(wrappedMs), ratio: spread(bareMs.map((ms, pair) => ms / (wrappedMs[pair] ?? 0))) }
}
