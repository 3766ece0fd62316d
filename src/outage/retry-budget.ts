/** May a failed attempt be made again now, or would retries become too large a share of the traffic? One budget for each endpoint. */
import type { FaultKind, FaultScope } from '../fault.ts'
import type { OptionRule, OptionRules } from '../options.ts'
import { checkOptions } from '../options.ts'

/** How much of the traffic on an endpoint may be retries. */
export interface RetryBudgetOptions {
	/** Retries for each call, at most: 0.2 is one retry for five calls. Default 0.2. */
	ratio?: number
	/** Retries a second that are always allowed, however little traffic there is; of failed connection attempts as many a minute. Default 10. */
	minPerSecond?: number
}

const share: OptionRule = {
	rule: 'a number from 0 to 1',
	accepts: (value) => typeof value === 'number' && value >= 0 && value <= 1,
	range: true,
}
const perSecond: OptionRule = {
	rule: 'a finite number of 0 or more',
	accepts: (value) => typeof value === 'number' && value >= 0 && value < Number.POSITIVE_INFINITY,
	range: true,
}
const rules: OptionRules<RetryBudgetOptions> = { ratio: share, minPerSecond: perSecond }

export const retryBudgetRule: OptionRule = {
	rule: 'false or an object { ratio, minPerSecond }',
	accepts: (value) => value === false || (typeof value === 'object' && value !== null && !Array.isArray(value)),
}

/** Throws TypeError or RangeError. */
export function checkRetryBudget(options: RetryBudgetOptions | false | undefined): void {
	if (typeof options === 'object') checkOptions('retryBudget', options, rules)
}

// Both are those of Finagle's retry budget.
const defaultRatio = 0.2
const defaultMinPerSecond = 10
// What was not used is kept for so long: enough for the work that one crash of the server breaks off, and short enough that over half a
// minute retries stay below a quarter of the traffic, whatever was saved before.
const keptMs = 5_000
// What a connection attempt costs that is made again, in reruns: each is a process and a handshake to the server, as much as many statements.
const connectCost = 3

// The floor of connects is a minute's, not a second's: with more, five calls a second make two attempts each, where half of all attempts fail.
// It is there at once for who comes after a quiet half minute.
const flapsKeptMs = 30_000

// Somebody got through so short a time ago: then it is not an outage, in which all have to wait, but attempts that fail now and then. Calls
// that need a connection more seldom than that are not bounded: two attempts a second do no harm.
const flappingMs = 1_000
// Nobody got through for so long: it was an outage after all.
const outageMs = 200
// Nobody was connecting for so long when work lost its connection: that is a crash.
const quietMs = 300
// Kinds that say nothing of why. A server that is full, or starting, says that waiting helps.
const mayFlap: ReadonlySet<FaultKind> = new Set<FaultKind>(['connection_refused', 'connection_lost', 'connect_timeout', 'dns'])

/**
 * Two accounts that are drawn on together: one earns a share for each call, the other is granted a little for each second. The fuller one counts, so
 * that retries are at most the larger of the two.
 */
class Tokens {
	readonly #ratio: number
	readonly #minPerMs: number
	readonly #mostGranted: number
	#earned = 0
	#granted: number
	#callsSeen = 0
	#seenAtMs: number

	constructor(ratio: number, minPerMs: number, grantedForMs: number, nowMs: number) {
		this.#ratio = ratio
		this.#minPerMs = minPerMs
		// One at least: what never comes together to a whole token is never granted.
		this.#mostGranted = minPerMs === 0 ? 0 : Math.max(1, minPerMs * grantedForMs)
		this.#granted = this.#mostGranted
		this.#seenAtMs = nowMs
	}

	/** Takes tokens if there are as many. `calls` is how many there were since the beginning. */
	take(tokens: number, nowMs: number, calls: number): boolean {
		this.#refill(nowMs, calls)
		// Those who wait for a token come first.
		if (this.#granted < 0 || Math.max(this.#earned, this.#granted) < tokens) return false
		this.#earned = Math.max(0, this.#earned - tokens)
		this.#granted = Math.max(0, this.#granted - tokens)
		return true
	}

	/** The wait until there is one, where there is none now, in milliseconds. Undefined where it would end too late. */
	owe(nowMs: number, latestAtMs: number): number | undefined {
		const waitMs = (1 - this.#granted) / this.#minPerMs
		if (!(nowMs + waitMs < latestAtMs)) return undefined
		this.#granted -= 1
		return waitMs
	}

	/** Gives one back that was waited for. */
	forgive(): void {
		this.#granted = Math.min(this.#granted + 1, this.#mostGranted)
	}

	#refill(nowMs: number, calls: number): void {
		const elapsedMs = nowMs - this.#seenAtMs
		const kept = Math.max(0, 1 - elapsedMs / keptMs)
		const fresh = calls - this.#callsSeen
		this.#earned = this.#earned * kept + (fresh === 0 ? 0 : this.#ratio * fresh * Math.min(1, keptMs / elapsedMs))
		this.#granted = Math.min(this.#granted + this.#minPerMs * elapsedMs, this.#mostGranted)
		if (this.#granted < 0) {
			const paid = Math.min(this.#earned, -this.#granted)
			this.#earned -= paid
			this.#granted += paid
		}
		this.#callsSeen = calls
		this.#seenAtMs = nowMs
	}
}

/** What all pools on one endpoint may spend on retries. */
export class RetryBudget {
	/** Calls that have begun. Callers count themselves in: it must cost next to nothing. */
	calls = 0
	/** Calls that got their error for want of a token. */
	refusals = 0
	readonly #isOff: boolean
	readonly #reruns: Tokens
	// Of their own: a crash breaks off so much work that its reruns owe tokens for seconds, and a second crash meets who connects then.
	readonly #connects: Tokens
	readonly #refused = new WeakSet<object>()
	#openedAtMs = Number.NEGATIVE_INFINITY
	/** There was a failure since somebody got through last, and it is paid for. */
	#isPaid = false
	#paidAtMs = 0
	/** A connection that had been made was lost since then: a crash. */
	#isCrash = false

	constructor(options: RetryBudgetOptions | false | undefined, nowMs: number) {
		const { ratio = defaultRatio, minPerSecond = defaultMinPerSecond } = options || {}
		this.#isOff = options === false
		this.#reruns = new Tokens(ratio, minPerSecond / 1_000, keptMs, nowMs)
		this.#connects = new Tokens(ratio / connectCost, minPerSecond / 60_000, flapsKeptMs, nowMs)
	}

	/** Takes the token of one rerun if there is one. */
	take(nowMs: number): boolean {
		return this.#isOff || this.#reruns.take(1, nowMs, this.calls)
	}

	/**
	 * The wait until there is a token for this rerun, in milliseconds; those who ask wait in order. Undefined where it would end after
	 * `latestAtMs`: then nothing was taken. Work that was lost with its connection while nobody was connecting needs none: that is a crash,
	 * and the pace at which connections are made again bounds its reruns.
	 */
	reserve(scope: FaultScope, nowMs: number, latestAtMs: number): number | undefined {
		const tookConnection = scope === 'connection' || scope === 'endpoint'
		if (tookConnection && nowMs - this.#openedAtMs > quietMs) return 0
		return this.take(nowMs) ? 0 : this.#reruns.owe(nowMs, latestAtMs)
	}

	/** The rerun that was to wait for its token is not made. */
	giveBack(): void {
		this.#reruns.forgive()
	}

	/** A connection attempt has succeeded. */
	opened(nowMs: number): void {
		if (this.#isPaid && nowMs - this.#paidAtMs >= outageMs) this.#connects.forgive()
		this.#openedAtMs = nowMs
		this.#isPaid = false
		this.#isCrash = false
	}

	/** A connection that had been made was lost. */
	lost(): void {
		this.#isCrash = true
	}

	/**
	 * Whether a caller whose connection attempt has failed may wait for another one. In an outage all may: the probes have a pace of their
	 * own. While others get through, each further attempt is a retry. What fails before somebody gets through again is one outage, and paid
	 * for once: a server that dies takes all attempts with it that are under way. One that lasts gets its token back, and one that has also
	 * taken connections with it costs none.
	 */
	mayConnectAgain(kind: FaultKind, nowMs: number): boolean {
		if (this.#isOff || this.#isPaid || this.#isCrash || !mayFlap.has(kind) || nowMs - this.#openedAtMs > flappingMs) return true
		this.#isPaid = this.#connects.take(1, nowMs, this.calls)
		this.#paidAtMs = nowMs
		return this.#isPaid
	}

	/** The caller who gets this error would have been served by one more retry. */
	refuse(error: unknown): void {
		this.refusals += 1
		if (typeof error === 'object' && error !== null) this.#refused.add(error)
	}

	wasRefused(error: unknown): boolean {
		return typeof error === 'object' && error !== null && this.#refused.has(error)
	}
}
