/** How long may a call go without an answer before somebody looks? Longer than its kind usually does, within bounds. */

const timesTheUsual = 2
// Each answer makes the longest one before it count for a little less.
const fading = 0.9

/** Learns from the calls that took long enough to be noticed; the quick ones are not timed. */
export class Patience {
	readonly #leastMs: number
	readonly #mostMs: number
	#usualMs = 0

	constructor(leastMs: number, mostMs: number) {
		this.#leastMs = leastMs
		this.#mostMs = mostMs
	}

	get nowMs(): number {
		return Math.min(Math.max(this.#usualMs * timesTheUsual, this.#leastMs), this.#mostMs)
	}

	/** A call that was noticed has been answered after about so long. */
	answered(afterMs: number): void {
		this.#usualMs = Math.max(afterMs, this.#usualMs * fading)
	}
}
