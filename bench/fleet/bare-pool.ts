/** How does a pool without Holdfast hand out connections? As pg-pool does: whoever finds none opens one, while there is room. */
import type { World } from './client.ts'
import { Idle } from './idle.ts'
import { Line } from './line.ts'
import type { Failure, Session } from './server.ts'

export type Served = (failure: Failure | undefined, session: Session | undefined) => void

interface Caller {
	served: Served
	waits: boolean
	limit: unknown
}

export class BarePool {
	readonly #world: World
	readonly #idle: Idle
	readonly #waiting = new Line<Caller>()
	#total = 0

	constructor(world: World) {
		this.#world = world
		this.#idle = new Idle(world.clock, world.idleTimeoutMs, (session) => this.discard(session))
	}

	/** A connection, or the error of the attempt to open one. The time limit covers the wait in the line as well. */
	acquire(served: Served): void {
		const { clock, connectTimeoutMs } = this.#world
		const session = this.#idle.pop()
		if (session !== undefined) return served(undefined, session)
		const caller: Caller = { served, waits: true, limit: undefined }
		caller.limit = clock.setTimer(() => this.#tell(caller, 'timeout', undefined), connectTimeoutMs)
		if (this.#total < this.#world.poolSize) this.#open(caller)
		else this.#waiting.push(caller)
	}

	release(session: Session): void {
		const caller = this.#nextCaller()
		if (caller === undefined) this.#idle.push(session)
		else this.#tell(caller, undefined, session)
	}

	discard(session: Session): void {
		session.close()
		this.#forget()
	}

	#open(caller: Caller): void {
		const { server, clock, connectTimeoutMs } = this.#world
		this.#total += 1
		const giveUp = server.connect((failure, session) => {
			clock.clearTimer(limit)
			if (session === undefined) {
				this.#tell(caller, failure, undefined)
				this.#forget()
				return
			}
			session.onLost = () => this.#lost(session)
			if (caller.waits) this.#tell(caller, undefined, session)
			else this.release(session)
		})
		const limit = clock.setTimer(() => {
			giveUp()
			this.#tell(caller, 'timeout', undefined)
			this.#forget()
		}, connectTimeoutMs)
	}

	#tell(caller: Caller, failure: Failure | undefined, session: Session | undefined): void {
		if (!caller.waits) return
		caller.waits = false
		this.#world.clock.clearTimer(caller.limit)
		caller.served(failure, session)
	}

	/** An idle connection goes at once; whoever has borrowed one brings it to `discard` with its error. */
	#lost(session: Session): void {
		if (this.#idle.remove(session)) this.#forget()
	}

	/** There is room for one more. */
	#forget(): void {
		this.#total -= 1
		const caller = this.#nextCaller()
		if (caller !== undefined) this.#open(caller)
	}

	#nextCaller(): Caller | undefined {
		for (let caller = this.#waiting.shift(); caller !== undefined; caller = this.#waiting.shift()) if (caller.waits) return caller
		return undefined
	}
}
