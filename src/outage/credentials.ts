/** Would everybody else be refused in the same way? Then one attempt to connect is enough to know it, and the next one can wait. */
import type { Fault } from '../fault.ts'
import type { Endpoint } from './endpoint.ts'
import type { Scheduler } from './scheduler.ts'
import type { WakeUp } from './wakeups.ts'

// As classification gives them: PostgreSQL's SQLSTATEs (class 28, "invalid authorization specification") and MySQL's names of 1045, 1044 and 3118.
const refusals: ReadonlySet<string | undefined> = new Set([
	'28P01',
	'28000',
	'ER_ACCESS_DENIED_ERROR',
	'ER_DBACCESS_DENIED_ERROR',
	'ER_ACCOUNT_HAS_BEEN_LOCKED',
])

/** Wrong credentials: more attempts change nothing, and may lock the account. */
export const areCredentials = ({ code }: Fault): boolean => refusals.has(code)

// Somebody has been told. The next one is told in a second, and if the operator has not mended it in some minutes, once a minute.
const firstPauseMs = 1_000
const longestPauseMs = 60_000

/** A pool whose credentials do not hold any more, while it still has connections that were made with them. */
export class Refusals {
	readonly #scheduler: Scheduler
	readonly #endpoint: Endpoint
	readonly #whenOver: () => void
	/** The generation of the connection that was opened last. Those of an older one are handed to nobody. */
	#openedIn = -1
	#pauseMs = 0
	#untilMs = Number.NEGATIVE_INFINITY
	#wakeUp: WakeUp | undefined

	/** `whenOver` is called at the end of a pause for which somebody waits. */
	constructor(scheduler: Scheduler, endpoint: Endpoint, whenOver: () => void) {
		this.#scheduler = scheduler
		this.#endpoint = endpoint
		this.#whenOver = whenOver
	}

	/** A connection attempt has failed, while there are so many connections: does that hit everybody who waits? */
	hitAll(fault: Fault, connections: number): boolean {
		if (!areCredentials(fault)) return false
		const nowMs = this.#scheduler.clock.now()
		// Those that were under way together count once.
		if (nowMs >= this.#untilMs) {
			this.#pauseMs = Math.min(Math.max(2 * this.#pauseMs, firstPauseMs), longestPauseMs)
			this.#untilMs = nowMs + this.#pauseMs
		}
		return !this.#canServe(connections)
	}

	/** A connection was made. */
	opened(): void {
		this.#openedIn = this.#endpoint.generation
		this.#pauseMs = 0
		this.#untilMs = Number.NEGATIVE_INFINITY
		this.rest()
	}

	/** Whether callers had better wait for the connections that there are. */
	holdBack(connections: number): boolean {
		if (this.#untilMs === Number.NEGATIVE_INFINITY || !this.#canServe(connections)) return false
		if (this.#scheduler.clock.now() >= this.#untilMs) return false
		this.#wakeUp ??= this.#scheduler.wakeUps.at(this.#untilMs, () => {
			this.#wakeUp = undefined
			this.#whenOver()
		})
		return true
	}

	/** Nobody waits any more. */
	rest(): void {
		if (this.#wakeUp === undefined) return
		this.#scheduler.wakeUps.cancel(this.#wakeUp)
		this.#wakeUp = undefined
	}

	#canServe(connections: number): boolean {
		return connections > 0 && this.#openedIn === this.#endpoint.generation
	}
}
