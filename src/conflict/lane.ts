/** Do the transactions of this lane conflict so much that they must take turns, and how many may run? */
import { type End, Limit } from './limit.ts'
import { Line } from './line.ts'

// Losses that make turns worth their while, each halved by every 64 attempts after it: five of a row, or one in twenty for a while.
const manyLosses = 5
const halfLife = 64
// A deadlock costs everybody PostgreSQL's deadlock_timeout, by default a second.
const deadlockWeight = manyLosses
// Where no more than these ran at once when one lost, more will lose more.
const fewAtOnce = 4
// Attempts in a row that neither lost nor kept anybody waiting, after which turns are given up; twice as many each time they turn out to
// be needed again. That nobody loses while few may run proves nothing.
const quietAttempts = 256
const mostQuietAttempts = 16_384

export class Lane {
	readonly line = new Line()
	/** Attempts under way. */
	running = 0
	/**
	 * How many may run at once. While nobody takes turns: twice as many as ever did without a loss. Thirty transactions that begin at the
	 * same moment on two rows take PostgreSQL half a minute to disentangle, a deadlock a second; of two, one is lost in milliseconds.
	 */
	limit = 1
	#turns: Limit | undefined
	#proofs = 0
	#ended = 0
	#endedAtLoss = 0
	#endedAtWait = 0
	#losses = 0
	#quiet = quietAttempts / 2

	/** Whether transactions take turns. */
	get narrow(): boolean {
		return this.#turns !== undefined
	}

	/** An attempt has ended, while nobody takes turns. True if more may run from now on. */
	left(committed: boolean): boolean {
		const atLimit = this.running >= this.limit
		this.running -= 1
		this.#ended += 1
		if (!atLimit || !committed || this.#turns !== undefined) return false
		this.#proofs += 1
		if (this.#proofs < this.limit) return false
		this.widen()
		return true
	}

	/** More may run, unless turns are taken. */
	widen(): void {
		if (this.#turns !== undefined) return
		this.limit *= 2
		this.#proofs = 0
	}

	/** An attempt was lost. From some number on, transactions take turns. */
	lost(isDeadlock: boolean, nowMs: number): void {
		const since = this.#ended - this.#endedAtLoss
		this.#endedAtLoss = this.#ended
		this.#losses = this.#losses * 2 ** (-since / halfLife) + (isDeadlock ? deadlockWeight : 1)
		const early = this.limit <= fewAtOnce
		if (this.#turns !== undefined || (this.#losses < manyLosses && !early)) return
		// Needed again soon after it was given up: then it was given up too soon.
		this.#quiet = since > mostQuietAttempts ? quietAttempts : Math.min(2 * this.#quiet, mostQuietAttempts)
		this.#turns = new Limit(nowMs, early)
		this.limit = 1
	}

	/** An attempt that began while turns were taken has ended. */
	learn(end: End, startedAtMs: number, nowMs: number): void {
		if (this.#turns === undefined) return
		const wanted = this.line.size > 0
		if (wanted) this.#endedAtWait = this.#ended
		this.#turns.ended({ end, startedAtMs, nowMs, wanted })
		this.limit = this.#turns.value
		if (this.#ended - Math.max(this.#endedAtLoss, this.#endedAtWait) >= this.#quiet) this.stopTurns()
	}

	/** Nobody takes turns any more. */
	stopTurns(): void {
		this.#turns = undefined
		this.#losses = 0
		this.limit = Math.max(this.limit, 2 * this.running)
	}
}
