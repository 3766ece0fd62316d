/** Who waits for a connection and counts against the pool's own limits? Statements themselves, and wishes on behalf of all others. */
import { type PoolCore, type Repeatability, Request } from '../../src/driver.ts'
import type { Mysql2Connection } from './shape.ts'

/** A caller's wish. */
export type Wish = Parameters<PoolCore<Mysql2Connection>['borrow']>[0]

/** The pool that was asked. */
interface Asked {
	/** One that was asked for gets this connection, or none. */
	told(connection: Mysql2Connection | undefined): void
	/** It has left for another pool. */
	left(): void
	/** Where else it has to go, or could go on, now. */
	placeFor(request: CountedRequest): { ask(request: CountedRequest): void } | undefined
}

/** What stands in line for a connection, and counts until it is told. */
export abstract class CountedRequest extends Request<Mysql2Connection> {
	#asked: Asked | undefined

	/** The number of the attempt that it is for. From the second on the call has its place: the pool's limits are for new ones. */
	abstract readonly attempts: number
	/** What may lead it to a pool beside the one that was asked; undefined: it has to be that one. */
	abstract readonly work: Pick<Repeatability, 'reads'> | undefined

	/** The wait for a connection is over. */
	protected abstract served(error: unknown, connection: Mysql2Connection | undefined): void

	/** From now on it counts at this pool. */
	countsAt(pool: Asked): void {
		this.#asked = pool
	}

	done(error: unknown, connection: Mysql2Connection | undefined): void {
		const asked = this.#asked
		this.#asked = undefined
		asked?.told(connection)
		this.served(error, connection)
	}

	override elsewhere(): (() => void) | undefined {
		const from = this.#asked
		const next = from?.placeFor(this)
		if (from === undefined || next === undefined) return undefined
		return () => {
			this.#asked = undefined
			from.left()
			next.ask(this)
		}
	}
}

/** A wish in line. */
export class CountedWish extends CountedRequest {
	readonly work = undefined
	readonly attempts: number
	readonly #wish: Wish

	constructor(wish: Wish, attempts = 1) {
		super()
		this.attempts = attempts
		this.#wish = wish
	}

	get deadlineAtMs(): number {
		return this.#wish.deadlineAtMs
	}

	get signal(): AbortSignal | undefined {
		return this.#wish.signal
	}

	get isBatch(): boolean {
		return this.#wish.isBatch === true
	}

	protected override served(error: unknown, connection: Mysql2Connection | undefined): void {
		this.#wish.done(error, connection)
	}
}
