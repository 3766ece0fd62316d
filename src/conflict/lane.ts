/** Do the transactions of this lane conflict so much that they must take turns, and how many may run? */
import { type End, Limit } from './limit.ts'
import { Line } from './line.ts'

// Losses, each halved by every 64 attempts after it, above which turns are worth their while: five in a row, or one in twenty for a while.
const manyLosses = 4
const halfLife = 64
// A deadlock costs everybody PostgreSQL's deadlock_timeout, by default a second.
const deadlockWeight = manyLosses
// Where no more than these ran at once when one lost, more will lose more.
const fewAtOnce = 4
// Attempts in a row that neither lost nor kept anybody waiting, after which turns are given up; twice as many each time they turn out to
// be needed again. That nobody loses while few may run proves nothing.
const quietAttempts = 256
const mostQuietAttempts = 16_384

// While nobody has lost, a limit stands for so long at most; and only until the next look where the last raise has brought at least this share
// of what it could: where it brings nothing (the processor is full, or they wait for one another's rows) there is no haste.
const longestLevelMs = 1_000
const goodGainShare = 0.4
// When so many have run at once without a loss, any number may.
const provenAtOnce = 64
// How long a transaction takes about which nothing is known.
const usualMs = 2

export class Lane {
	readonly line = new Line()
	/** Attempts under way. */
	running = 0
	/**
	 * How many may run at once. While nobody takes turns: more than ever did without a loss. Thirty transactions that begin at the
	 * same moment on two rows take PostgreSQL half a minute to disentangle, a deadlock a second; of two, one is lost in milliseconds.
	 */
	limit = 1
	/** What the limit is to become. */
	#target = 1
	#turns: Limit | undefined
	#level = { beganAtMs: 0, beganAtEnded: 0, limitBefore: 1, rateBefore: 0 }
	#ended = 0
	#endedAtLoss = 0
	#endedAtWait = 0
	#endedAtLook = 0
	#losses = 0
	#quiet = quietAttempts / 2

	/** Whether transactions take turns. */
	get narrow(): boolean {
		return this.#turns !== undefined
	}

	/** Whether more may run than do, once `raise` is called. */
	get canRaise(): boolean {
		return this.#target > this.limit
	}

	/**
	 * How long to wait before the limit is raised, at random up to the length of a transaction: two that begin at the same moment, and take
	 * their locks in opposite order, are a deadlock; when one is ahead they rarely are.
	 */
	staggerMs(random: number): number {
		return random * (this.#turns?.aloneMs ?? usualMs)
	}

	/** Lets the limit rise to what was found. */
	raise(): void {
		this.limit = Math.max(this.limit, this.#target)
	}

	/** An attempt has ended. */
	left(committed: boolean): void {
		this.running -= 1
		this.#ended += 1
		// That one alone does no harm needs no proof.
		if (committed && this.limit === 1 && this.#turns === undefined) this.#target = 2
	}

	/** Somebody begins to wait. */
	beginLooking(nowMs: number): void {
		this.#endedAtLook = this.#ended
		this.#level = { beganAtMs: nowMs, beganAtEnded: this.#ended, limitBefore: this.limit, rateBefore: 0 }
	}

	/**
	 * Somebody waits although nobody has lost: more may run, if that may be worth its while. If none has ended for so long that a deadlock
	 * would have been found (`isStuck`), these are just slow, and any number may run.
	 */
	loosen(isStuck: boolean, nowMs: number): void {
		const { beganAtMs, beganAtEnded, limitBefore, rateBefore } = this.#level
		const moves = this.#ended > this.#endedAtLook
		this.#endedAtLook = this.#ended
		const rate = (this.#ended - beganAtEnded) / (nowMs - beganAtMs)
		const hasGained = rate >= rateBefore * (1 + goodGainShare * (this.limit / limitBefore - 1))
		if (isStuck) this.#target = Number.POSITIVE_INFINITY
		else if (this.#ended === 0 || (moves && (hasGained || nowMs - beganAtMs >= longestLevelMs))) {
			this.#level = { beganAtMs: nowMs, beganAtEnded: this.#ended, limitBefore: this.limit, rateBefore: rate }
			const next = this.limit < fewAtOnce ? this.limit + 1 : 2 * this.limit
			this.#target = this.limit < provenAtOnce ? next : Number.POSITIVE_INFINITY
		}
		this.raise()
	}

	/** An attempt was lost. From some number on, transactions take turns. */
	lost(isDeadlock: boolean, nowMs: number): void {
		const since = this.#ended - this.#endedAtLoss
		this.#endedAtLoss = this.#ended
		this.#losses = this.#losses * 2 ** (-since / halfLife) + (isDeadlock ? deadlockWeight : 1)
		if (this.#turns !== undefined || (this.#losses < manyLosses && this.limit > fewAtOnce)) return
		// Needed again soon after it was given up: then it was given up too soon.
		this.#quiet = since > mostQuietAttempts ? quietAttempts : Math.min(2 * this.#quiet, mostQuietAttempts)
		this.#turns = new Limit(nowMs)
		this.limit = 1
		this.#target = 1
	}

	/** An attempt that began while turns were taken has ended. */
	learn(end: End, startedAtMs: number, nowMs: number): void {
		if (this.#turns === undefined) return
		const wanted = this.line.size > 0
		if (wanted) this.#endedAtWait = this.#ended
		this.#turns.ended({ end, startedAtMs, nowMs, wanted })
		this.#target = this.#turns.value
		this.limit = Math.min(this.limit, this.#target)
		if (this.#ended - Math.max(this.#endedAtLoss, this.#endedAtWait) >= this.#quiet) this.#stopTurns()
	}

	/** Nobody takes turns any more. */
	#stopTurns(): void {
		this.#turns = undefined
		this.#losses = 0
	}
}
