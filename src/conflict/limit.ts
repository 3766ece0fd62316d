/** How many transactions that conflict may run at once? As many as each still does a third of the work that one does alone. */

/** How an attempt ended: `lost` to a conflict, or in a way that says nothing of conflicts. */
export type End = 'committed' | 'lost' | 'other'

/** One attempt that has ended. */
export interface Ended {
	readonly end: End
	readonly startedAtMs: number
	readonly nowMs: number
	/** Whether somebody waits for a turn, so that a higher limit would be used. */
	readonly wanted: boolean
}

// A span that is judged: long enough to tell rates apart, short enough to react. Slow transactions are judged by the clock.
const leastEnded = 8
const longestSpanMs = 250
// Commits for the time of one place, beside those of a transaction alone. Where each further transaction hinders all others a little more,
// the sum is best at a half; where the processor or the disk is full it stays the same below that. A third is near the best of both.
const worthwhileShare = 1 / 3
// Two together must at least do more than one alone.
const betterThanAlone = 1.1
// Above this share of lost attempts no further transaction is let in, whatever the rates: other processes may suffer that we cannot see.
const mostLostShare = 1 / 3
const steepestRaise = 2
const steepestFall = 0.5
// What an attempt to raise the limit has cost is earned back before the next one: at most a tenth of the time goes into trying.
const holdPerCost = 10
const shortestHoldMs = 1_000
const longestHoldMs = 30_000

export class Limit {
	#limit = 1
	#aloneRate: number | undefined
	#committed = 0
	#lost = 0
	#placeMs = 0
	#spanBeganAtMs: number
	/** The limit was raised for this span. */
	#raised = false
	#holdMs = shortestHoldMs
	#holdUntilMs: number

	/** `hesitates`: it is known that two are too many, so that is not tried at once. */
	constructor(nowMs: number, hesitates: boolean) {
		this.#spanBeganAtMs = nowMs
		this.#holdUntilMs = nowMs + (hesitates ? shortestHoldMs : 0)
	}

	get value(): number {
		return Math.floor(this.#limit)
	}

	/** Takes note of an attempt, and may change the limit. */
	ended({ end, startedAtMs, nowMs, wanted }: Ended): void {
		if (end === 'other') return
		// What began under another limit tells of that one; only a raise is blamed for what it hindered.
		if (startedAtMs < this.#spanBeganAtMs && !this.#raised) return
		if (end === 'committed') this.#committed += 1
		else this.#lost += 1
		this.#placeMs += nowMs - startedAtMs
		const ended = this.#committed + this.#lost
		const enough = ended >= Math.max(leastEnded, 2 * this.value) || (ended > 1 && nowMs - this.#spanBeganAtMs >= longestSpanMs)
		if (this.#isHopeless(ended)) this.#lower(steepestFall, nowMs)
		else if (enough) this.#judge(nowMs, wanted)
	}

	/** A raise that loses from the start is taken back before its losses become deadlocks, which take their second each. */
	#isHopeless(ended: number): boolean {
		return this.#raised && this.#lost >= this.#limit / 2 && this.#lost > ended * mostLostShare
	}

	#judge(nowMs: number, wanted: boolean): void {
		const rate = this.#placeMs > 0 ? this.#committed / this.#placeMs : 0
		const lostShare = this.#lost / (this.#committed + this.#lost)
		if (this.value === 1) {
			if (rate > 0) this.#aloneRate = this.#aloneRate === undefined ? rate : (this.#aloneRate + rate) / 2
			this.#raise(this.#aloneRate !== undefined && lostShare <= mostLostShare ? steepestRaise : 1, nowMs, wanted)
			return
		}
		const worthwhile = (this.#aloneRate ?? 0) * Math.max(worthwhileShare, betterThanAlone / this.value)
		const factor = worthwhile > 0 ? rate / worthwhile : 0
		if (factor < 1) this.#lower(Math.max(factor, steepestFall), nowMs)
		else this.#raise(lostShare <= mostLostShare ? Math.min(factor, steepestRaise) : 1, nowMs, wanted)
	}

	#raise(factor: number, nowMs: number, wanted: boolean): void {
		if (this.#raised) this.#holdMs = Math.max(this.#holdMs / 2, shortestHoldMs)
		const before = this.value
		if (wanted && nowMs >= this.#holdUntilMs) this.#limit *= factor
		this.#begin(nowMs, this.value > before)
	}

	#lower(factor: number, nowMs: number): void {
		const costMs = nowMs - this.#spanBeganAtMs
		const holdMs = Math.max(this.#raised ? this.#holdMs : 0, holdPerCost * costMs)
		this.#holdUntilMs = nowMs + Math.min(holdMs, longestHoldMs)
		if (this.#raised) this.#holdMs = Math.min(2 * this.#holdMs, longestHoldMs)
		this.#limit = Math.max(1, this.#limit * factor)
		this.#begin(nowMs, false)
	}

	#begin(nowMs: number, raised: boolean): void {
		this.#committed = 0
		this.#lost = 0
		this.#placeMs = 0
		this.#spanBeganAtMs = nowMs
		this.#raised = raised
	}
}
