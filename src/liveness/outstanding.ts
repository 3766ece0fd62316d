/** Which connections wait for an answer, since when, and when was the server last heard over any of them? Found by looking through them now and then. */
import type { Links } from './links.ts'
import type { Finding } from './proof.ts'

/** A connection that waits for an answer. */
export interface Wait<C extends object> {
	readonly connection: C
	readonly awaited: object
	/** When it was first found to wait for this, without a byte since. */
	sinceMs: number
	/** When the server was last asked after it; `sinceMs` while it was not. */
	askedAtMs: number
	/** What was found when the server was last asked, if that speaks against the link. */
	finding: Finding | undefined
}

interface Known {
	/** Undefined while nothing has come: the server may not have taken the connection yet. */
	firstHeardMs: number | undefined
	bytes: number
	heardAtMs: number
}

export class Outstanding<C extends object> {
	/** The latest moment at which the server was heard over any connection of the pool. */
	heardAtMs = Number.NEGATIVE_INFINITY
	readonly #links: Links<C>
	readonly #answered: (wait: Wait<C>, nowMs: number) => void
	readonly #known = new WeakMap<C, Known>()
	#waits = new Map<C, Wait<C>>()

	/** `answered` hears of each wait that was noticed and is over. */
	constructor(links: Links<C>, answered: (wait: Wait<C>, nowMs: number) => void) {
		this.#links = links
		this.#answered = answered
	}

	/** Looks through all connections. `missedMs`: the process was too busy for so long to read what came; it does not count. */
	update(nowMs: number, missedMs: number): void {
		const before = this.#waits
		this.#waits = new Map()
		for (const connection of this.#links.connections()) {
			const isSilent = this.#listen(connection, nowMs)
			const awaited = this.#links.awaited(connection)
			if (awaited === undefined) continue
			const known = before.get(connection)
			if (isSilent && known?.awaited === awaited) {
				before.delete(connection)
				known.sinceMs += missedMs
				known.askedAtMs += missedMs
				this.#waits.set(connection, known)
			} else this.#waits.set(connection, { connection, awaited, sinceMs: nowMs, askedAtMs: nowMs, finding: undefined })
		}
		for (const wait of before.values()) this.#answered(wait, nowMs)
	}

	/** Those that wait now. */
	waits(): Iterable<Wait<C>> {
		return this.#waits.values()
	}

	/** When the server was last heard over this connection. */
	heardOverAtMs(connection: C): number {
		return this.#known.get(connection)?.heardAtMs ?? Number.NEGATIVE_INFINITY
	}

	/** How old its session is at least: a server speaks first, or answers, once it has one. */
	ageMs(connection: C, nowMs: number): number {
		return nowMs - (this.#known.get(connection)?.firstHeardMs ?? nowMs)
	}

	/** Forgets the wait: its connection was cut. */
	forget(wait: Wait<C>): void {
		this.#waits.delete(wait.connection)
	}

	/** False if anything came over it since the last time. */
	#listen(connection: C, nowMs: number): boolean {
		const bytes = this.#links.bytesRead(connection)
		const known = this.#known.get(connection)
		if (known?.bytes === bytes) return true
		// One that is only being made has said nothing yet.
		const isHeard = bytes > 0
		const heardAtMs = isHeard ? nowMs : Number.NEGATIVE_INFINITY
		const firstHeardMs = known?.firstHeardMs ?? (isHeard ? nowMs : undefined)
		this.#known.set(connection, { firstHeardMs, bytes, heardAtMs })
		if (isHeard) this.heardAtMs = nowMs
		return false
	}
}
