/** How much gets done while the workers are in each other's way? One side on one load, for some seconds. */
import { setTimeout as sleep } from 'node:timers/promises'
import { quantile } from '../support/statistics.ts'
import { type Arena, isConflict, type Open, type Pair, rows, type Side } from './sides.ts'

export interface Load {
	/** Rows that the workers choose their two from; undefined: each worker has its own, and nobody is in anybody's way. */
	readonly hotRows: number | undefined
	readonly workers: number
	readonly warmUpMs: number
	readonly measureMs: number
}

export interface Outcome extends Pick<Side, 'name' | 'kind'> {
	readonly perSecond: number
	readonly p50Ms: number
	readonly p99Ms: number
	/** Times the library gave up and left the error to its caller. */
	readonly errors: number
}

export async function measure(arena: Arena, open: Open, load: Load): Promise<Outcome> {
	const side = await open()
	const startsAtMs = performance.now() + load.warmUpMs
	const endsAtMs = startsAtMs + load.measureMs
	const latenciesMs: number[] = []
	let commits = 0
	let errors = 0
	const isOver = () => performance.now() >= endsAtMs
	const worker = async (number: number) => {
		while (!isOver()) {
			const pair = choose(load, number)
			const beganAtMs = performance.now()
			while (!(await side.transact(pair).then(() => true, refuse)) && !isOver()) errors += 1
			const nowMs = performance.now()
			// What is under way at the end counts with the time it took so far: it is the slowest that would be left out.
			if (nowMs >= startsAtMs) latenciesMs.push(Math.min(nowMs, endsAtMs) - beganAtMs)
			if (nowMs >= startsAtMs && nowMs < endsAtMs) commits += 1
		}
	}
	const refuse = (error: unknown) => {
		if (!isOver() && !isConflict(error)) throw error
		return false
	}
	try {
		let ended = false
		const all = Promise.all(Array.from({ length: load.workers }, (_, number) => worker(number))).finally(() => {
			ended = true
		})
		// An error before the time is over is thrown when it is.
		all.catch(() => {})
		await sleep(load.warmUpMs + load.measureMs)
		side.stop()
		while (!ended) {
			await arena.disentangle()
			await sleep(50)
		}
		await all
	} finally {
		await side.end()
	}
	return {
		name: side.name,
		kind: side.kind,
		perSecond: (commits * 1_000) / load.measureMs,
		p50Ms: quantile(latenciesMs, 0.5),
		p99Ms: quantile(latenciesMs, 0.99),
		errors,
	}
}

/** Two different rows, in either order: so two transactions may each have the row that the other one wants next. */
function choose({ hotRows, workers }: Load, worker: number): Pair {
	if (hotRows === undefined) return [rowOf(2 * worker, 2 * workers), rowOf(2 * worker + 1, 2 * workers)]
	const first = Math.floor(Math.random() * hotRows)
	const second = (first + 1 + Math.floor(Math.random() * (hotRows - 1))) % hotRows
	return [rowOf(first, hotRows), rowOf(second, hotRows)]
}

const rowOf = (number: number, among: number): number => 1 + number * Math.floor(rows / among)
