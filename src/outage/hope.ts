/** Can everybody in a line still be served in time? How fast the line gets on, as long as it is long. */
import type { Clock } from '../clock.ts'

/** A line that is shorter is left alone: it gets on in jumps, and who waits in it is served soon. */
export const longLine = 100

const spanMs = 1_000
// One span may be a bad one: a checkpoint, say. The best of the latest is what can be hoped for.
const spansKept = 5
const spansNeeded = 3
// After an outage the pool fills and caches are cold. As long as each span is better than all before by this factor, nothing is known yet.
const stillRising = 1.02
// Looking at the clock for each caller would cost more than it tells.
const servedPerLook = 16

export class Hope {
	readonly #clock: Clock
	#served = 0
	#sinceMs: number | undefined
	#rates: number[] = []

	constructor(clock: Clock) {
		this.#clock = clock
	}

	/** Callers served a millisecond, at best; undefined while that is not known. */
	get perMs(): number | undefined {
		if (this.#rates.length < spansNeeded) return undefined
		const latest = this.#rates.at(-1) as number
		const before = Math.max(...this.#rates.slice(0, -1))
		return latest > before * stillRising ? undefined : Math.max(before, latest)
	}

	/** Somebody in a long line was served. True when it is time to look who is beyond hope. */
	served(): boolean {
		this.#served += 1
		if (this.#sinceMs === undefined) this.#sinceMs = this.#clock.now()
		if (this.#served % servedPerLook !== 0) return false
		const nowMs = this.#clock.now()
		const elapsedMs = nowMs - this.#sinceMs
		if (elapsedMs < spanMs) return false
		this.#rates.push(this.#served / elapsedMs)
		if (this.#rates.length > spansKept) this.#rates.shift()
		this.#served = 0
		this.#sinceMs = nowMs
		return this.perMs !== undefined
	}

	/** The line has become short, or nobody can be served: what was measured says nothing of later. */
	forget(): void {
		if (this.#sinceMs === undefined) return
		this.#sinceMs = undefined
		this.#served = 0
		this.#rates = []
	}
}
