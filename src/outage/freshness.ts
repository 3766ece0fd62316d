/** May this pooled connection be handed out as it is? What has happened to the endpoint since each connection was last seen alive. */
import type { Endpoint } from './endpoint.ts'

/** How the endpoint stood when a connection was last seen alive. */
export interface Sighting {
	readonly generation: number
	readonly losses: number
}

/** `fresh`: nothing has happened since. `doubtful`: connections were lost since, so it is asked. `stale`: it is of before an outage. */
export type Verdict = 'fresh' | 'doubtful' | 'stale'

export class Freshness<C extends object> {
	readonly #endpoint: Endpoint
	readonly #sightings = new WeakMap<C, Sighting>()

	constructor(endpoint: Endpoint) {
		this.#endpoint = endpoint
	}

	/** How the endpoint stands: taken before a question is sent, for the answer proves nothing of what happened since. */
	now(): Sighting {
		const { generation, losses } = this.#endpoint
		return { generation, losses }
	}

	/** The connection was seen alive. */
	seen(connection: C, when: Sighting): void {
		this.#sightings.set(connection, when)
	}

	judge(connection: C): Verdict {
		const sighting = this.#sightings.get(connection)
		// It was made before the pool was wrapped.
		if (sighting === undefined) return 'doubtful'
		if (sighting.losses === this.#endpoint.losses) return 'fresh'
		return sighting.generation === this.#endpoint.generation ? 'doubtful' : 'stale'
	}

	/** The generation in which it was last seen alive; undefined where it never was. */
	generationOf(connection: C): number | undefined {
		return this.#sightings.get(connection)?.generation
	}

	/** The connection was lost, whoever held it. Told as often as its driver likes; it counts once. */
	lost(connection: C): void {
		const sighting = this.#sightings.get(connection)
		if (sighting === undefined) return
		this.#sightings.delete(connection)
		this.#endpoint.lost(sighting.generation)
	}
}
