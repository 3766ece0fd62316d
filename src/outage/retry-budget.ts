/** May a failed attempt be made again now, or would retries become too large a share of the traffic? One budget for each endpoint. */
import type { FaultKind } from '../fault.ts'
import type { OptionRule, OptionRules } from '../options.ts'
import { checkOptions } from '../options.ts'

/** How much of the traffic on an endpoint may be retries. */
export interface RetryBudgetOptions {
	/** Retries for each call, at most: 0.2 is one retry for five calls. Default 0.2. */
	ratio?: number
	/** Retries a second that are always allowed, however little traffic there is. Default 10. */
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
// What a connection attempt costs that is made again: each is a process and a handshake to the server, as much as many statements are.
const connectCost = 3

// Somebody got through so short a time ago: then it is not an outage, in which all have to wait, but attempts that fail now and then.
const flappingMs = 300
// Kinds that say nothing of why. A server that is full, or starting, says that waiting helps.
const mayFlap: ReadonlySet<FaultKind> = new Set<FaultKind>(['connection_refused', 'connection_lost', 'connect_timeout', 'dns'])

/**
 * Two accounts that are drawn on together: one earns a share for each call, the other a little for each second. The fuller one counts, so
 * that retries are at most the larger of the two.
 */
export class RetryBudget {
	/** Calls that have begun since it was last looked at. Callers count themselves in: it must cost next to nothing. */
	calls = 0
	/** Calls that got their error for want of a token. */
	refusals = 0
	readonly #ratio: number
	readonly #minPerMs: number
	readonly #isOff: boolean
	#earned = 0
	#granted: number
	#seenAtMs: number
	readonly #refused = new WeakSet<object>()
	#openedAtMs = Number.NEGATIVE_INFINITY

	constructor(options: RetryBudgetOptions | false | undefined, nowMs: number) {
		const { ratio = defaultRatio, minPerSecond = defaultMinPerSecond } = options || {}
		this.#isOff = options === false
		this.#ratio = ratio
		this.#minPerMs = minPerSecond / 1_000
		this.#granted = this.#minPerMs * keptMs
		this.#seenAtMs = nowMs
	}

	/** Takes tokens if there are as many. */
	take(tokens: number, nowMs: number): boolean {
		if (this.#isOff) return true
		this.#refill(nowMs)
		// Those who wait for a token come first.
		if (this.#granted < 0 || Math.max(this.#earned, this.#granted) < tokens) return false
		this.#earned = Math.max(0, this.#earned - tokens)
		this.#granted = Math.max(0, this.#granted - tokens)
		return true
	}

	/**
	 * The wait until there is a token for this retry, in milliseconds; those who ask wait in order. Undefined where it would end after
	 * `latestAtMs`: then nothing was taken.
	 */
	reserve(nowMs: number, latestAtMs: number): number | undefined {
		if (this.take(1, nowMs)) return 0
		const waitMs = (1 - this.#granted) / this.#minPerMs
		if (!(nowMs + waitMs < latestAtMs)) return undefined
		this.#granted -= 1
		return waitMs
	}

	/** A connection attempt has succeeded. */
	opened(nowMs: number): void {
		this.#openedAtMs = nowMs
	}

	/**
	 * Whether a caller whose connection attempt has failed may wait for another one. In an outage all may: the probes have a pace of their
	 * own. While others get through, each further attempt is a retry.
	 */
	mayConnectAgain(kind: FaultKind, nowMs: number): boolean {
		if (!mayFlap.has(kind) || nowMs - this.#openedAtMs > flappingMs) return true
		return this.take(connectCost, nowMs)
	}

	/** The caller who gets this error would have been served by one more retry. */
	refuse(error: unknown): void {
		this.refusals += 1
		if (typeof error === 'object' && error !== null) this.#refused.add(error)
	}

	wasRefused(error: unknown): boolean {
		return typeof error === 'object' && error !== null && this.#refused.has(error)
	}

	#refill(nowMs: number): void {
		const elapsedMs = nowMs - this.#seenAtMs
		const kept = Math.max(0, 1 - elapsedMs / keptMs)
		const fresh = this.#ratio * this.calls * Math.min(1, keptMs / elapsedMs)
		this.#earned = this.#earned * kept + (this.calls === 0 ? 0 : fresh)
		this.#granted = Math.min(this.#granted + this.#minPerMs * elapsedMs, this.#minPerMs * keptMs)
		if (this.#granted < 0) {
			const paid = Math.min(this.#earned, -this.#granted)
			this.#earned -= paid
			this.#granted += paid
		}
		this.calls = 0
		this.#seenAtMs = nowMs
	}
}
