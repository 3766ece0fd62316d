/** How much gets done while the workers are in each other's way? One side on one load, for some seconds at a time. */
import { setTimeout as sleep } from 'node:timers/promises'
import { median, quantile } from '../support/statistics.ts'
import { type Arena, isConflict, type Pair, rows, type Side } from './sides.ts'

export interface Load {
	/** Rows that the workers choose their two from; undefined: each worker has its own, and nobody is in anybody's way. */
	readonly hotRows: number | undefined
	readonly workers: number
}

export interface Outcome extends Pick<Side, 'name' | 'kind'> {
	/** The median of the rounds. */
	readonly perSecond: number
	readonly p50Ms: number
	readonly p99Ms: number
	/** Times the library gave up and left the error to its caller, in all rounds. */
	readonly errors: number
}

/** One side, which keeps its pool and what it has learnt from round to round. */
export class Contender {
	readonly #arena: Arena
	readonly side: Side
	readonly #load: Load
	readonly #perSecond: number[] = []
	#latenciesMs: number[] = []
	#errors = 0

	constructor(arena: Arena, side: Side, load: Load) {
		this.#arena = arena
		this.side = side
		this.#load = load
	}

	async warmUp(ms: number): Promise<void> {
		await this.#work(ms)
		this.#latenciesMs = []
		this.#errors = 0
	}

	/** A round. Resolves with its commits a second. */
	async fight(ms: number): Promise<number> {
		const perSecond = await this.#work(ms)
		this.#perSecond.push(perSecond)
		return perSecond
	}

	get outcome(): Outcome {
		const { name, kind } = this.side
		return {
			name,
			kind,
			perSecond: median(this.#perSecond),
			p50Ms: quantile(this.#latenciesMs, 0.5),
			p99Ms: quantile(this.#latenciesMs, 0.99),
			errors: this.#errors,
		}
	}

	async #work(ms: number): Promise<number> {
		const endsAtMs = performance.now() + ms
		const isOver = () => performance.now() >= endsAtMs
		let commits = 0
		const refuse = (error: unknown) => {
			if (!isOver() && !isConflict(error)) throw error
			return false
		}
		const worker = async (number: number) => {
			while (!isOver()) {
				const pair = choose(this.#load, number)
				const beganAtMs = performance.now()
				while (!(await this.side.transact(pair).then(() => true, refuse)) && !isOver()) this.#errors += 1
				const nowMs = performance.now()
				// What is under way at the end counts with the time it took so far: it is the slowest that would be left out.
				this.#latenciesMs.push(Math.min(nowMs, endsAtMs) - beganAtMs)
				if (nowMs < endsAtMs) commits += 1
			}
		}
		let ended = false
		const all = Promise.all(Array.from({ length: this.#load.workers }, (_, number) => worker(number))).finally(() => {
			ended = true
		})
		// An error before the time is over is thrown when it is.
		all.catch(() => {})
		await sleep(ms)
		// Those that wait for locks in circles would go on for half a minute; the others end by themselves.
		await Promise.race([all, sleep(50)])
		while (!ended) {
			await this.#arena.disentangle()
			await Promise.race([all, sleep(50)])
		}
		await all
		return (commits * 1_000) / ms
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
