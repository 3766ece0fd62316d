/** What did one side do, and when? Counted where a worker gets its answer and where a socket starts to connect. */
import { Socket } from 'node:net'

/** A span of time, in milliseconds since the start of the run. */
export interface Span {
	readonly fromMs: number
	readonly toMs: number
}

/** The record of one side. All times are in milliseconds since the start of the run. */
export class Tally {
	readonly commitTimes: number[] = []
	readonly errorTimes: number[] = []
	readonly connectTimes: number[] = []
	/** How often each error reached the application, by its code, or by its text where it has none. */
	readonly errors = new Map<string, number>()
	/** The transfers that the application was told are done. */
	readonly done = new Set<number>()
	/** Those that it was told have failed. */
	readonly failed = new Set<number>()
	/** Errors of connections that nobody would have listened to: each would have ended the process. */
	wouldHaveCrashed = 0
	/** Transfers that were asked for, and how many of them have no answer yet. */
	asked = 0
	pending = 0
	readonly #now: () => number

	constructor(now: () => number) {
		this.#now = now
	}

	started(): void {
		this.asked++
		this.pending++
	}

	committed(id: number): void {
		this.pending--
		this.commitTimes.push(this.#now())
		this.done.add(id)
	}

	failedWith(id: number, error: unknown): void {
		this.pending--
		this.errorTimes.push(this.#now())
		this.failed.add(id)
		const name = nameOf(error)
		this.errors.set(name, (this.errors.get(name) ?? 0) + 1)
	}

	/** For the `stream` option of pg and mysql2: a plain socket whose attempts to connect are counted, those that are refused too. */
	socket = (): Socket => new Socket().on('connectionAttempt', () => this.connectTimes.push(this.#now()))

	/** Attempts to connect within the spans. */
	connectsIn(spans: readonly Span[]): number {
		return this.connectTimes.filter((at) => spans.some(({ fromMs, toMs }) => at >= fromMs && at <= toMs)).length
	}

	/** The longest time without a commit, in milliseconds, up to the end of the run. */
	longestPauseMs(endMs: number): number {
		let longest = 0
		let last = this.commitTimes[0] ?? 0
		for (const at of [...this.commitTimes, endMs]) {
			longest = Math.max(longest, at - last)
			last = at
		}
		return longest
	}
}

function nameOf(error: unknown): string {
	if (!(error instanceof Error)) return String(error)
	return (error as NodeJS.ErrnoException).code ?? error.message
}
