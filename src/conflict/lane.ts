/** Do the transactions of this lane conflict so much that they must take turns, how many may run, and how long may one wait for a lock? */
import type { FaultKind } from '../fault.ts'
import { type End, Limit } from './limit.ts'
import { Line } from './line.ts'

// Losses, each halved by every 64 attempts after it, above which turns are worth their while: five in a row, or one in twenty for a while.
const manyLosses = 4
const halfLife = 64
// Below a limit that is not used nothing can be judged. So many losses there, and more than one in three, are a fight that it does not see.
const lossesUnseen = 8
const mostLostUnseen = 1 / 3
// A deadlock costs everybody PostgreSQL's deadlock_timeout, by default a second.
const deadlockWeight = 2
// Attempts in a row that neither lost nor kept anybody waiting, after which turns are given up; twice as many each time they turn out to
// be needed again. That nobody loses while few may run proves nothing.
const quietAttempts = 256
const mostQuietAttempts = 16_384

// More than ever ran together without a loss may be a crowd that is about to stop itself dead: each waits for a row that another one has, and
// PostgreSQL finds out about one of them a second. So they do not wait for a lock longer than this, but one of them. Two get by.
const harmlessAtOnce = 2
const crowdLockWaitMs = 100
// So many attempts in a row that were limited and committed prove that so many at once do no harm, and where somebody has lost before, so many;
// so many at once, that any number does none.
const provingAttempts = 1_024
const provingAttemptsAfterLoss = 16_384
const provenAtOnce = 64
// Each time that it was too short the limit is four times as long. From deadlock_timeout on the server looks after itself.
const lockWaitGrowth = 4
const longestLockWaitMs = 1_000

export class Lane {
	readonly line = new Line()
	/** Attempts under way. */
	running = 0
	/** How many may run at once. */
	limit = Number.POSITIVE_INFINITY
	/** When one of its attempts ended last, or the first one began to wait. */
	progressAtMs = 0
	/** Of those that run, so many take so long that they keep no place from the others; they began before then. */
	#overdue = 0
	#overdueFromMs = 0
	/** What the limit is to become. */
	#target = Number.POSITIVE_INFINITY
	#turns: Limit | undefined
	/** Attempts under way that may wait for a lock for as long as it takes. */
	#patient = 0
	#proven = harmlessAtOnce
	#proving = { committed: 0, atOnce: 0 }
	#ended = 0
	#hasLost = false
	#endedAtLoss = 0
	#endedAtWait = 0
	#losses = 0
	/** Attempts in a row that ended while fewer ran than half as many as may, and those of them that were lost. */
	#unseen = 0
	#unseenLost = 0
	#quiet = quietAttempts / 2

	/** Whether transactions take turns. */
	get narrow(): boolean {
		return this.#turns !== undefined
	}

	/** Whether no more may run now. */
	get isFull(): boolean {
		return this.running >= this.limit + this.#overdue
	}

	/** None has ended for long: one of those that run keeps no place any more until it ends. */
	giveUpAPlace(nowMs: number): void {
		this.progressAtMs = nowMs
		if (this.#turns === undefined || this.#overdue >= this.running) return
		this.#overdue += 1
		this.#overdueFromMs = nowMs
	}

	/** Whether more may run than do, once `raise` is called. */
	get canRaise(): boolean {
		return this.#target > this.limit
	}

	/**
	 * An attempt begins: how long may its statements wait for a lock? Undefined: for as long as it takes, which one of them always may.
	 * `cutShort`: attempts of this transaction for which it was not long enough. `mayWaitLong`: this one must not be cut short.
	 */
	begin(cutShort: number, mayWaitLong: boolean): number | undefined {
		const isCrowd = this.running > this.#proven
		const lockWaitMs = (this.#turns?.lockWaitMs ?? crowdLockWaitMs) * lockWaitGrowth ** cutShort
		if (mayWaitLong || !isCrowd || lockWaitMs >= longestLockWaitMs || this.#patient === 0) {
			this.#patient += 1
			return undefined
		}
		this.#proving.atOnce = Math.max(this.#proving.atOnce, this.running)
		return lockWaitMs
	}

	/** An attempt that had begun with this has ended. */
	end(lockWaitMs: number | undefined, committed: boolean, startedAtMs = Number.NEGATIVE_INFINITY): void {
		this.running -= 1
		this.#ended += 1
		if (this.#overdue > 0 && startedAtMs < this.#overdueFromMs) this.#overdue -= 1
		if (lockWaitMs === undefined) this.#patient -= 1
		else if (committed) this.#prove()
	}

	#prove(): void {
		const proving = this.#proving
		proving.committed += 1
		if (proving.committed < (this.#hasLost ? provingAttemptsAfterLoss : provingAttempts)) return
		this.#proven = proving.atOnce < provenAtOnce ? Math.max(this.#proven, proving.atOnce) : Number.POSITIVE_INFINITY
		this.#proving = { committed: 0, atOnce: 0 }
	}

	/**
	 * How long to wait before the limit is raised, at random up to the length of a transaction: two that begin at the same moment, and take
	 * their locks in opposite order, are a deadlock; when one is ahead they rarely are.
	 */
	staggerMs(random: number): number {
		return random * (this.#turns?.takesMs ?? 0)
	}

	/** Lets the limit rise to what was found. */
	raise(): void {
		this.limit = Math.max(this.limit, this.#target)
	}

	/** An attempt was lost. From some number on, transactions take turns. */
	lost(how: FaultKind, nowMs: number): void {
		const since = this.#ended - this.#endedAtLoss
		const isDeadlock = how === 'deadlock'
		this.#hasLost = true
		this.#endedAtLoss = this.#ended
		// Who loses to a snapshot has not waited in a circle.
		if (how !== 'serialization_failure') this.#proving = { committed: 0, atOnce: 0 }
		if (isDeadlock) this.#proven = this.#turns === undefined ? harmlessAtOnce : 0
		this.#losses = this.#losses * 2 ** (-since / halfLife) + (isDeadlock ? deadlockWeight : 1)
		if (this.#turns !== undefined || this.#losses < manyLosses) return
		// Needed again soon after it was given up: then it was given up too soon.
		this.#quiet = since > mostQuietAttempts ? quietAttempts : Math.min(2 * this.#quiet, mostQuietAttempts)
		this.#beginTurns(nowMs)
	}

	/** An attempt that began while turns were taken has ended. */
	learn(end: End, startedAtMs: number, nowMs: number): void {
		if (this.#turns === undefined) return
		const wanted = this.line.size > 0
		if (wanted) this.#endedAtWait = this.#ended
		const used = wanted || this.running - this.#overdue >= this.limit / 2
		this.#turns.ended({ end, startedAtMs, nowMs, used, wanted })
		if (this.#isUnseenFight(end, used)) return this.#beginTurns(nowMs)
		this.#target = this.#turns.value
		this.limit = Math.min(this.limit, this.#target)
		if (this.#ended - Math.max(this.#endedAtLoss, this.#endedAtWait) >= this.#quiet) this.#stopTurns()
	}

	#isUnseenFight(end: End, used: boolean): boolean {
		this.#unseen = used ? 0 : this.#unseen + 1
		this.#unseenLost = used ? 0 : this.#unseenLost + (end === 'lost' ? 1 : 0)
		return this.#unseenLost >= lossesUnseen && this.#unseenLost > mostLostUnseen * this.#unseen
	}

	/** From now on transactions take turns, at first one at a time. */
	#beginTurns(nowMs: number): void {
		this.#turns = new Limit(nowMs)
		this.limit = 1
		this.#target = 1
		this.#proven = 0
		this.#unseen = 0
		this.#unseenLost = 0
	}

	/** Nobody takes turns any more. */
	#stopTurns(): void {
		this.#turns = undefined
		this.#proven = Math.max(this.#proven, harmlessAtOnce)
		this.#overdue = 0
		this.#losses = 0
		this.limit = Number.POSITIVE_INFINITY
		this.#target = this.limit
	}
}
