/** How does a pool fare that backs off as postgres.js does? The pool waits, not the call: one attempt fails one caller. */
import type { Client, Kind, World } from './client.ts'
import { Idle } from './idle.ts'
import { Line } from './line.ts'
import { read } from './retrying.ts'
import type { Session } from './server.ts'

// postgres.js 3.4: between half and all of 3^failures / 100 seconds, at most 20, and all connections of a pool share the count.
const waitMs = (failures: number, random: () => number) => (0.5 + random() / 2) * Math.min(3 ** failures / 100, 20) * 1_000

type Caller = (answered: boolean) => void

class PostgresJsClient implements Client {
	readonly #world: World
	/** postgres.js keeps idle connections, unless it is told otherwise. */
	readonly #idle: Idle
	/** When each connection that is closed may be opened again. */
	readonly #closed: number[]
	readonly #waiting = new Line<Caller>()
	#failures = 0

	constructor(world: World) {
		this.#world = world
		this.#idle = new Idle(world.clock, Number.POSITIVE_INFINITY, () => {})
		this.#closed = new Array<number>(world.poolSize).fill(Number.NEGATIVE_INFINITY)
	}

	call(done: Caller): void {
		const session = this.#idle.pop()
		if (session !== undefined) return this.#run(session, done)
		const opensAtMs = this.#closed.shift()
		if (opensAtMs === undefined) this.#waiting.push(done)
		else this.#openLater(opensAtMs, done)
	}

	#openLater(opensAtMs: number, caller: Caller): void {
		const { clock } = this.#world
		const delayMs = opensAtMs - clock.now()
		if (delayMs > 0) clock.setTimer(() => this.#open(caller), delayMs)
		else this.#open(caller)
	}

	#open(caller: Caller): void {
		const { clock, server, connectTimeoutMs } = this.#world
		const failed = () => {
			this.#failures += 1
			caller(false)
			this.#closeFor(waitMs(this.#failures, clock.random))
		}
		const giveUp = server.connect((_failure, session) => {
			clock.clearTimer(limit)
			if (session === undefined) return failed()
			this.#failures = 0
			session.onLost = () => this.#lost(session)
			this.#run(session, caller)
		})
		const limit = clock.setTimer(() => {
			giveUp()
			failed()
		}, connectTimeoutMs)
	}

	#run(session: Session, caller: Caller): void {
		read(this.#world, session, (answered) => {
			caller(answered)
			if (!session.alive) this.#closeFor(0)
			else {
				const next = this.#waiting.shift()
				if (next === undefined) this.#idle.push(session)
				else this.#run(session, next)
			}
		})
	}

	#lost(session: Session): void {
		if (this.#idle.remove(session)) this.#closeFor(0)
	}

	#closeFor(delayMs: number): void {
		const opensAtMs = this.#world.clock.now() + delayMs
		const next = this.#waiting.shift()
		if (next === undefined) this.#closed.push(opensAtMs)
		else this.#openLater(opensAtMs, next)
	}
}

export const postgresJsLike: Kind = {
	name: 'postgres.js-like',
	what: 'a failed attempt fails its caller; the pool waits 10 ms × 3^failures with jitter, up to 20 s, before the next; no call is retried',
	fleet: (world, processes) => Array.from({ length: processes }, () => new PostgresJsClient(world)),
}
