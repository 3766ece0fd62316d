/** Is the server too slow for everybody, or only for the work that its callers have just given up on? Tells the gate if it is everybody. */
import type { Endpoint } from './endpoint.ts'

// Attempts from one that was cut to the next: the others among them were answered. A slow statement among many leaves it high.
const mostBetween = 16
// Half of all attempts, or more, are cut.
const fewBetween = 2
// Of the last few cuts, not the last: several statements of one kind are often cut in the same moment.
const weight = 1 / 4

/** The attempts of one pool that its own time limits have cut. */
export class CutWork {
	readonly #endpoint: Endpoint
	#between = mostBetween
	#attempts = 0

	constructor(endpoint: Endpoint) {
		this.#endpoint = endpoint
	}

	/** One was cut after so long, in milliseconds. `attempts`: how many the pool has begun by now. */
	cut(attempts: number, afterMs: number): void {
		this.#between += weight * (Math.min(attempts - this.#attempts, mostBetween) - this.#between)
		this.#attempts = attempts
		if (this.#between < fewBetween) this.#endpoint.overloaded(afterMs)
	}
}
