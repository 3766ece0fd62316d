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
const leastEnded = 16
const longestSpanMs = 250
// A span that is short of what is worthwhile, and not by losses, may have met a pause of the process or the machine: it goes on for so long.
const patience = 4
// Commits for the time of one place, beside those of a transaction alone. Where each further transaction hinders all others a little more,
// the sum is best at a half; where the processor or the disk is full it stays the same below that. A third is near the best of both.
const worthwhileShare = 1 / 3
// Two or three together must do as much as one alone, less what noise makes of it; and the more, the more of them lose, for what they gain
// the first deadlock takes away.
const asGoodAsAlone = 1
const betterPerLost = 2.5
// Above this share of lost attempts no further transaction is let in, whatever the rates: other processes may suffer that we cannot see.
const mostLostShare = 1 / 3
// What was gained longer ago excuses no deadlock of today.
const longestStintMs = 20_000
const steepestRaise = 2
// Alone a transaction waits for nobody: one that takes so many times as long as others did does other work.
const otherWork = 8
const steepestFall = 0.5
// What a limit has cost that was too high is earned back before more is tried: five times as long after a fall to 1, and twice that each
// time it turns out in vain again; less at a higher limit, where more is given up meanwhile.
const holdPerCost = 5
const leastHoldPerCost = 2
const mostFalls = 3
const shortestHoldMs = 500
const holdGrowth = 3
const longestHoldMs = 30_000
// How long one may wait for a lock, in transactions: all others that run, several times over. A power of two, so that there are few such limits.
const lockWaitTurns = 4
const shortestLockWaitMs = 16

export class Limit {
	#limit = 1
	#aloneRate: number | undefined
	#committed = 0
	#lost = 0
	#placeMs = 0
	#spanBeganAtMs: number
	/** Since the limit was last raised from 1: what came of letting more than one run. */
	#stintBeganAtMs: number
	#stintCommits = 0
	/** Stints in a row that were in vain. */
	#falls = 0
	/** The limit was raised for this span. */
	#raised = false
	#holdMs = shortestHoldMs
	#holdUntilMs: number

	constructor(nowMs: number) {
		this.#spanBeganAtMs = nowMs
		this.#stintBeganAtMs = nowMs
		this.#holdUntilMs = nowMs
	}

	get value(): number {
		return Math.floor(this.#limit)
	}

	/** How long one transaction takes that is alone, in milliseconds; undefined while none was. */
	get aloneMs(): number | undefined {
		return this.#aloneRate === undefined ? undefined : 1 / this.#aloneRate
	}

	/** How long one of those that run may wait for a lock before it is more likely a deadlock than a queue. */
	get lockWaitMs(): number {
		const wishMs = lockWaitTurns * this.value * (this.aloneMs ?? 0)
		return Math.max(shortestLockWaitMs, 2 ** Math.ceil(Math.log2(wishMs)))
	}

	/** Takes note of an attempt, and may change the limit. */
	ended({ end, startedAtMs, nowMs, wanted }: Ended): void {
		if (end === 'other') return
		if (end === 'committed') this.#stintCommits += 1
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
		if (nowMs - this.#stintBeganAtMs > longestStintMs) {
			this.#stintBeganAtMs = (this.#stintBeganAtMs + nowMs) / 2
			this.#stintCommits /= 2
		}
		const rate = this.#placeMs > 0 ? this.#committed / this.#placeMs : 0
		const lostShare = this.#lost / (this.#committed + this.#lost)
		if (this.value === 1) {
			if (this.#aloneRate !== undefined && rate > 0 && lostShare === 0 && rate < this.#aloneRate / otherWork) this.#forget(rate, nowMs)
			else if (rate > 0) this.#aloneRate = this.#aloneRate === undefined ? rate : 0.7 * this.#aloneRate + 0.3 * rate
			this.#raise(this.#aloneRate !== undefined && lostShare <= mostLostShare ? steepestRaise : 1, nowMs, wanted)
			return
		}
		const worthwhile = (this.#aloneRate ?? 0) * Math.max(worthwhileShare, (asGoodAsAlone + betterPerLost * lostShare) / this.value)
		const factor = worthwhile > 0 ? rate / worthwhile : 0
		const isSure = lostShare > mostLostShare / 2 || nowMs - this.#spanBeganAtMs >= longestSpanMs
		if (factor < 1 && !isSure && this.#committed + this.#lost < patience * Math.max(leastEnded, 2 * this.value)) return
		if (factor < 1) this.#lower(Math.max(factor, steepestFall), nowMs)
		else this.#raise(lostShare <= mostLostShare ? Math.min(factor, steepestRaise) : 1, nowMs, wanted)
	}

	/** Transactions that take so much longer than those before are others: what was learnt is not about them. */
	#forget(rate: number, nowMs: number): void {
		this.#aloneRate = rate
		this.#falls = 0
		this.#holdMs = shortestHoldMs
		this.#holdUntilMs = nowMs
	}

	#raise(factor: number, nowMs: number, wanted: boolean): void {
		if (this.#raised) this.#holdMs = Math.max(this.#holdMs / holdGrowth, shortestHoldMs)
		const before = this.value
		if (before === 1) this.#beginStint(nowMs)
		if (wanted && nowMs >= this.#holdUntilMs) this.#limit *= factor
		this.#begin(nowMs, this.value > before)
	}

	#lower(factor: number, nowMs: number): void {
		// Deadlocks included, more than one did less than one alone would have done in that time.
		const inVain = this.#stintCommits < (this.#aloneRate ?? 0) * (nowMs - this.#stintBeganAtMs)
		this.#limit = inVain ? 1 : Math.max(1, this.#limit * factor)
		const costMs = nowMs - this.#spanBeganAtMs
		const perCost = Math.max((holdPerCost * 2 ** this.#falls) / this.#limit, leastHoldPerCost)
		this.#falls = inVain ? Math.min(this.#falls + 1, mostFalls) : 0
		const holdMs = Math.max(this.#raised ? this.#holdMs : 0, perCost * costMs)
		this.#holdUntilMs = nowMs + Math.min(holdMs, longestHoldMs)
		// Where few lose there is no harm in trying again soon.
		if (this.#raised && this.#lost > (this.#committed + this.#lost) * (mostLostShare / 2))
			this.#holdMs = Math.min(holdGrowth * this.#holdMs, longestHoldMs)
		this.#begin(nowMs, false)
	}

	#beginStint(nowMs: number): void {
		this.#stintBeganAtMs = nowMs
		this.#stintCommits = 0
	}

	#begin(nowMs: number, raised: boolean): void {
		this.#committed = 0
		this.#lost = 0
		this.#placeMs = 0
		this.#spanBeganAtMs = nowMs
		this.#raised = raised
	}
}
