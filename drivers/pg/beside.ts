/** Which connections does a pool have beside its own? Pools like it, made when first needed: for reads on replicas, say, or for writes. */
import type { Wanted } from '../../src/driver.ts'
import type { PgCore, Places } from './core.ts'
import type { PgPool } from './shape.ts'
import { refusePending } from './source.ts'

/** Makes a pool like the user's for connections of that kind, and wraps it. */
export type MakeBeside = (wanted: Wanted) => { readonly core: PgCore; readonly pool: PgPool }

export class Beside implements Places {
	readonly #make: MakeBeside
	readonly #own: Wanted | undefined
	readonly #core: PgCore
	readonly #made = new Map<Wanted, ReturnType<MakeBeside>>()
	#ended = false

	/** `own`: what the pool's own connections are; undefined where it has one address. */
	constructor(core: PgCore, own: Wanted | undefined, make: MakeBeside) {
		this.#core = core
		this.#own = own
		this.#make = make
	}

	/** Whether it can make a difference now what somebody wants a connection for. */
	get matters(): boolean {
		if (this.#own === undefined) return this.#core.policy.endpoint.state === 'down'
		return this.#own !== 'primary'
	}

	get hasHosts(): boolean {
		return this.#own !== undefined
	}

	/** The connections of that kind. Once the pool has ended none are made: the pool itself says so. */
	of(wanted: Wanted): PgCore {
		if (wanted === this.#own) return this.#core
		let found = this.#made.get(wanted)
		if (found === undefined) {
			if (this.#ended) return this.#core
			found = this.#make(wanted)
			this.#made.set(wanted, found)
		}
		return found.core
	}

	/** Where a write, or what may be one, has to go. */
	get forWriting(): PgCore {
		return this.#own === undefined || this.#own === 'primary' ? this.#core : this.of('primary')
	}

	/**
	 * Where a declared read may go now. While the one address takes no writes, reads go on there over connections of their own. With hosts
	 * they wait for the next primary: a replica may not have what was written last, and nobody has said that this does not matter.
	 */
	get forReading(): PgCore {
		const { endpoint } = this.#core.policy
		if (this.#own !== undefined || endpoint.state === 'up') return this.#core
		const isReadOnly = endpoint.lastError !== undefined && endpoint.lastFault?.kind === 'read_only'
		return isReadOnly ? this.of('any') : this.#core
	}

	/** Whether there are any. */
	get isEmpty(): boolean {
		return this.#made.size === 0
	}

	/** Ends them; resolves when their connections are closed. */
	async end(): Promise<void> {
		this.#ended = true
		const ended = [...this.#made.values()].map(async ({ core, pool }) => {
			core.end()
			refusePending(pool)
			await pool.end()
		})
		await Promise.all(ended)
	}
}

/** A pool of pg's own class with the settings of this one, and limits of its own, whose new connections its listeners hear of. */
export function poolLike(pool: PgPool, bare: PgPool, limits: object = {}): PgPool {
	const Pool = bare.constructor as new (options: object) => PgPool
	const { password } = pool.options as { password?: unknown }
	const like = new Pool({ ...pool.options, ...(password !== undefined && { password }), min: 0, ...limits, Client: pool.Client })
	like.on('connect', (client) => pool.emit('connect', client))
	return like
}

type Ended = (error?: unknown) => void

/** Ends the pool, and those beside it: it is told when all their connections are closed. */
export function endWith(beside: Places | undefined, end: (done?: Ended) => unknown, done: Ended | undefined): unknown {
	if (beside === undefined) return end(done)
	const isAlone = beside.isEmpty
	const others = beside.end()
	if (isAlone) return end(done)
	if (done !== undefined) return end((error) => void others.then(() => done(error)))
	return Promise.all([end(), others]).then(() => undefined)
}
