/** May this pooled connection be handed out as it is? What has happened to the endpoint since each connection was last seen alive, and how long ago that was. */
import type { Endpoint } from './endpoint.ts'

/** How the endpoint stood when a connection was last seen alive. */
export interface Sighting {
	readonly generation: number
	readonly losses: number
}

/** `fresh`: nothing has happened since. `doubtful`: connections were lost since, or it lay idle, so it is asked. `stale`: it is of before an outage. */
export type Verdict = 'fresh' | 'doubtful' | 'stale'

interface Known extends Sighting {
	/** When it was last handed out, or asked. Not when it came back: that would cost every call once more. */
	usedAtMs: number
}

export class Freshness<C extends object> {
	readonly #endpoint: Endpoint
	readonly #now: () => number
	readonly #checkIdleAfterMs: number
	readonly #sightings = new WeakMap<C, Known>()

	/** A connection that was used so long ago, or longer, by this time, is asked; Infinity for never. */
	constructor(endpoint: Endpoint, now: () => number, checkIdleAfterMs: number) {
		this.#endpoint = endpoint
		this.#now = now
		this.#checkIdleAfterMs = checkIdleAfterMs
	}

	/** How the endpoint stands: taken before a question is sent, for the answer proves nothing of what happened since. */
	now(): Sighting {
		const { generation, losses } = this.#endpoint
		return { generation, losses }
	}

	/** The connection was seen alive. */
	seen(connection: C, when: Sighting): void {
		this.#sightings.set(connection, { ...when, usedAtMs: this.#now() })
	}

	/** The connection is handed out if it is fresh. */
	judge(connection: C): Verdict {
		const sighting = this.#sightings.get(connection)
		// It was made before the pool was wrapped.
		if (sighting === undefined) return 'doubtful'
		if (sighting.losses === this.#endpoint.losses) return this.#layIdle(sighting) ? 'doubtful' : 'fresh'
		return sighting.generation === this.#endpoint.generation ? 'doubtful' : 'stale'
	}

	/** The generation in which it was last seen alive; undefined where it never was. */
	generationOf(connection: C): number | undefined {
		return this.#sightings.get(connection)?.generation
	}

	/** Whether it is of a generation that is over. */
	isStale(connection: C): boolean {
		const generation = this.generationOf(connection)
		return generation !== undefined && generation !== this.#endpoint.generation
	}

	#layIdle(sighting: Known): boolean {
		if (this.#checkIdleAfterMs === Number.POSITIVE_INFINITY) return false
		const nowMs = this.#now()
		if (nowMs - sighting.usedAtMs >= this.#checkIdleAfterMs) return true
		sighting.usedAtMs = nowMs
		return false
	}

	/** The connection was lost, whoever held it. Told as often as its driver likes; it counts once. */
	lost(connection: C): void {
		const sighting = this.#sightings.get(connection)
		if (sighting === undefined) return
		this.#sightings.delete(connection)
		this.#endpoint.lost(sighting.generation)
	}
}
