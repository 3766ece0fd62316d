/** How many transactions that conflict may run at once? As many as get the most done: doubled and halved on trial, and kept where it pays. */

/** How an attempt ended: `lost` to a conflict, or in a way that says nothing of conflicts. */
export type End = 'committed' | 'lost' | 'other'

/** One attempt that has ended. */
export interface Ended {
	readonly end: End
	readonly startedAtMs: number
	readonly nowMs: number
	/** Whether more run than half as many as may, or somebody waits: what is not used cannot be judged. */
	readonly used: boolean
	/** Whether somebody waits for a turn, so that a higher limit would be used. */
	readonly wanted: boolean
}

// A span that is judged: long enough to tell rates apart though somebody may have waited for a lock in vain, short enough to react. Of slow
// transactions each place has to end one.
const leastEnded = 24
const leastEndedPerPlace = 4
const shortestSpanMs = 40
const longestSpanMs = 250
// A trial that is neither clearly better nor clearly worse goes on for so many times the shortest span: so long is the noise of a shared machine.
const patience = 4
const clearGain = 1.25
const clearLoss = 0.85
// Twice as many have to do this much more, and half as many may do this much less: where it is all the same, fewer are in nobody's way.
const worthwhileGain = 1.05
const harmlessLoss = 0.97
// One trial is one look at a noisy machine: so many are remembered. What differs from them more than noise does speaks for itself.
const trialsRemembered = 4
const surprising = 1.5
// Nothing at all is no number to reckon with.
const mostGain = 16
// Above this share of lost attempts no more are let in, whatever the rates: other processes may suffer that we cannot see.
const mostLostShare = 1 / 3
// A rate that falls below this share of what it was is no noise: something has changed.
const collapsed = 0.5
const otherWork = 1 / 8
// How long until a trial that has failed is made again: twice as long each time, and many times what it has cost.
const shortestHoldMs = 250
const longestHoldMs = 8_000
const holdPerCost = 20
const longestHoldForCostMs = 30_000
// How long one may wait for a lock, in transactions. A power of two, so that there are few such limits.
const lockWaitTurns = 4
const shortestLockWaitMs = 16

export class Limit {
	#value = 1
	/** Commits a millisecond, with the limit that is not on trial; undefined until it was measured. */
	#rate: number | undefined
	/** The limit before this one, while this one is on trial. */
	#before: number | undefined
	/** From so many places to twice as many. */
	readonly #doublings = new Map<number, Doubling>()
	readonly #up = new Hold()
	readonly #down = new Hold()
	/** Attempts that began before this were partly under another limit, or in a time when it was not used. */
	#fromMs: number
	/** Since when the span that is judged goes on without a pause. */
	#beganAtMs: number | undefined
	/** What it had before its last pause: bursts may each be too short to be judged. */
	#spentMs = 0
	/** Time in which the limit was used, in all: a trial is put off in such time, for in an idle one nothing is earned back. */
	#workedMs = 0
	#usedAtMs: number | undefined
	#committed = 0
	#lost = 0
	#wanted = false
	/** Whether too many lost at the limit that is not on trial. */
	#manyLost = false

	constructor(nowMs: number) {
		this.#fromMs = nowMs
	}

	get value(): number {
		return this.#value
	}

	/** How long one transaction takes, in milliseconds; undefined while that is unknown. */
	get takesMs(): number | undefined {
		return this.#rate ? (this.#before ?? this.#value) / this.#rate : undefined
	}

	/** How long one of those that run may wait for a lock before it is more likely a deadlock than a queue. */
	get lockWaitMs(): number {
		const wishMs = lockWaitTurns * (this.takesMs ?? 0)
		return Math.max(shortestLockWaitMs, 2 ** Math.ceil(Math.log2(wishMs)))
	}

	/** Takes note of an attempt, and may change the limit. */
	ended({ end, startedAtMs, nowMs, used, wanted }: Ended): void {
		this.#wanted = wanted
		// However it ended: it may be the last one for long.
		if (!used) return this.#pause(nowMs)
		if (end === 'other') return
		this.#workedMs += nowMs - (this.#usedAtMs ?? startedAtMs)
		this.#usedAtMs = nowMs
		if (startedAtMs < this.#fromMs && this.#beganAtMs === undefined) return
		this.#beganAtMs ??= startedAtMs
		const share = startedAtMs >= this.#fromMs ? 1 : (nowMs - this.#fromMs) / (nowMs - startedAtMs)
		if (end === 'committed') this.#committed += share
		else this.#lost += share
		const ms = this.#spentMs + nowMs - this.#beganAtMs
		const ended = this.#committed + this.#lost
		const enough = Math.max(leastEnded, leastEndedPerPlace * this.#value)
		const isLong = ms >= shortestSpanMs && ended >= enough
		// What does less than half of what was done before need not be counted out.
		const isLate = ms >= longestSpanMs || (ms >= shortestSpanMs && ms * (this.#rate ?? 0) * collapsed >= enough)
		if (!isLong && !(isLate && ended >= this.#value)) return
		// The others have half of an attempt behind them that has not ended yet; in the place of this one nothing is done yet.
		const committed = this.#committed * (1 + (this.#value - 1) / 2 / ended)
		this.#judge(committed / ms, ms, nowMs)
	}

	#judge(rate: number, spanMs: number, nowMs: number): void {
		const known = this.#rate
		if (this.#before !== undefined && known !== undefined) this.#decide(this.#before, rate, known, spanMs, nowMs)
		else this.#watch(rate, nowMs)
	}

	/** A trial has been measured. */
	#decide(before: number, rate: number, known: number, spanMs: number, nowMs: number): void {
		// Nothing is as much as nothing.
		const gain = rate === known ? 1 : rate / known
		const isRaise = before < this.#value
		const isClear = gain > clearGain || gain < clearLoss
		if (!isClear && spanMs < patience * shortestSpanMs) return
		const tried = isRaise ? this.#up : this.#down
		const doubling = this.#doubling(Math.min(before, this.#value))
		doubling.measured(isRaise ? gain : 1 / gain)
		// Among a few attempts of which most lose, one commit more or less is no measure.
		const isGuess = this.#manyLost && this.#committed + this.#lost < leastEnded
		const least = isGuess ? collapsed : harmlessLoss
		if (isRaise ? doubling.gain >= worthwhileGain : 1 / doubling.gain >= least) {
			tried.forget()
			// The next step in the other direction is the one that was just left.
			const other = isRaise ? this.#down : this.#up
			other.rest(this.#workedMs)
			this.#rate = rate
			this.#before = undefined
			return this.#watch(rate, nowMs)
		}
		tried.failed(this.#workedMs, spanMs * (1 - gain))
		this.#before = undefined
		this.#set(before, nowMs)
	}

	/** The limit has been measured that is not on trial. */
	#watch(rate: number, nowMs: number): void {
		const lostShare = this.#lost / (this.#committed + this.#lost)
		if (this.#rate !== undefined && lostShare === 0 && rate < this.#rate * otherWork) {
			// Transactions that take so much longer are others: what was learnt is not about them.
			this.#rate = rate
			this.#up.forget()
			this.#down.forget()
			this.#doublings.clear()
		}
		const hasCollapsed = this.#rate !== undefined && rate < this.#rate * collapsed
		// Where many lose it is a fight that has broken out, and no noise: half as many have to be better than that, not than it was before.
		this.#manyLost = lostShare > mostLostShare
		const isFight = hasCollapsed && this.#manyLost
		if (hasCollapsed) this.#doublings.clear()
		this.#rate = this.#rate === undefined || isFight ? rate : 0.7 * this.#rate + 0.3 * rate
		if (this.#value > 1 && (hasCollapsed || this.#workedMs >= this.#down.untilMs)) this.#try(this.#value / 2, nowMs)
		else if (this.#wanted && this.#workedMs >= this.#up.untilMs && rate > 0 && !this.#manyLost) this.#try(this.#value * 2, nowMs)
		else this.#measureAnew(nowMs)
	}

	#doubling(from: number): Doubling {
		const known = this.#doublings.get(from)
		if (known !== undefined) return known
		const doubling = new Doubling()
		this.#doublings.set(from, doubling)
		return doubling
	}

	#try(value: number, nowMs: number): void {
		this.#before = this.#value
		this.#set(value, nowMs)
	}

	#set(value: number, nowMs: number): void {
		this.#value = value
		this.#measureAnew(nowMs)
	}

	#pause(nowMs: number): void {
		if (this.#beganAtMs !== undefined) this.#spentMs += (this.#usedAtMs ?? nowMs) - this.#beganAtMs
		this.#beganAtMs = undefined
		this.#usedAtMs = undefined
		this.#fromMs = nowMs
	}

	#measureAnew(nowMs: number): void {
		this.#fromMs = nowMs
		this.#beganAtMs = nowMs
		this.#spentMs = 0
		this.#committed = 0
		this.#lost = 0
	}
}

/** How many times as much twice as many get done: what the last trials, in either direction, have found. */
class Doubling {
	#gain = 1
	#trials = 0

	get gain(): number {
		return this.#gain
	}

	measured(found: number): void {
		const gain = Math.min(Math.max(found, 1 / mostGain), mostGain)
		const isSurprise = gain > this.#gain * surprising || gain * surprising < this.#gain
		this.#trials = isSurprise ? 1 : Math.min(this.#trials + 1, trialsRemembered)
		this.#gain = this.#trials === 1 ? gain : this.#gain * (gain / this.#gain) ** (1 / this.#trials)
	}
}

/** When may a step be tried again that did not pay? In time that was worked. */
class Hold {
	untilMs = 0
	#nextMs = shortestHoldMs

	/** Not yet: the first attempt is made in a while. */
	rest(nowMs: number): void {
		this.untilMs = nowMs + shortestHoldMs
		this.#nextMs = shortestHoldMs
	}

	failed(nowMs: number, costMs: number): void {
		this.untilMs = nowMs + Math.min(Math.max(this.#nextMs, holdPerCost * costMs), longestHoldForCostMs)
		this.#nextMs = Math.min(2 * this.#nextMs, longestHoldMs)
	}

	/** At once. */
	forget(): void {
		this.untilMs = 0
		this.#nextMs = shortestHoldMs
	}
}
