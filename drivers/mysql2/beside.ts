/** Which connections does a pool have beside its own? Pools like it, made when first needed: for reads on replicas, say, or for writes. */
import type { Repeatability, Wanted } from '../../src/driver.ts'
import type { Mysql2Core } from './core.ts'
import type { Mysql2Pool } from './shape.ts'
import type { Transactions } from './transact.ts'

/** A pool beside the user's. */
interface Neighbour {
	readonly core: Mysql2Core
	readonly transactions: Transactions
	readonly pool: Mysql2Pool
}

export class Beside {
	readonly #core: Mysql2Core
	readonly #pool: Mysql2Pool
	readonly #bare: Mysql2Pool
	readonly #own: Wanted | undefined
	readonly #wrap: (pool: Mysql2Pool, wanted: Wanted) => Omit<Neighbour, 'pool'>
	readonly #made = new Map<Wanted, Neighbour>()
	#ended = false

	/** `own`: what the pool's own connections are; undefined where it has one address. */
	constructor(
		core: Mysql2Core,
		pool: Mysql2Pool,
		bare: Mysql2Pool,
		own: Wanted | undefined,
		wrap: (pool: Mysql2Pool, wanted: Wanted) => Omit<Neighbour, 'pool'>,
	) {
		this.#core = core
		this.#pool = pool
		this.#bare = bare
		this.#own = own
		this.#wrap = wrap
	}

	get hasHosts(): boolean {
		return this.#own !== undefined
	}

	/** Where a statement has to go, or can go on; undefined: it has its place in the pool itself. */
	placeOf(work: Pick<Repeatability, 'reads'>): Mysql2Core | undefined {
		return this.#whereTo(() => work.reads())?.core
	}

	/** The same of a transaction. */
	transactionsFor(readOnly: boolean): Transactions | undefined {
		return this.#whereTo(() => readOnly)?.transactions
	}

	/**
	 * While the one address takes no writes, declared reads go on there over connections of their own. With hosts they wait for the next
	 * primary: a replica may not have what was written last, and nobody has said that this does not matter.
	 */
	#whereTo(reads: () => boolean): Neighbour | undefined {
		if (this.#ended) return undefined
		if (this.#own === undefined) return this.#isReadOnly && reads() ? this.of('any') : undefined
		return this.#own === 'primary' || reads() ? undefined : this.of('primary')
	}

	get #isReadOnly(): boolean {
		const { state, lastError, lastFault } = this.#core.policy.endpoint
		return state === 'down' && lastError !== undefined && lastFault?.kind === 'read_only'
	}

	/** The connections of that kind; those of the pool itself are not among them. */
	of(wanted: Wanted): Neighbour {
		let found = this.#made.get(wanted)
		if (found === undefined) {
			const pool = poolLike(this.#pool, this.#bare)
			found = { ...this.#wrap(pool, wanted), pool }
			this.#made.set(wanted, found)
		}
		return found
	}

	/** Ends them, and then calls `then`. */
	end(then: (error?: unknown) => void): void {
		this.#ended = true
		let left = this.#made.size
		if (left === 0) return then()
		for (const { pool } of this.#made.values()) {
			pool.end(() => {
				left -= 1
				if (left === 0) then()
			})
		}
	}
}

/** A pool of mysql2's own class with the settings of this one, whose new connections its listeners hear of. */
function poolLike(pool: Mysql2Pool, bare: Mysql2Pool): Mysql2Pool {
	const Pool = bare.constructor as new (options: { config: object }) => Mysql2Pool
	const config = copyOf(pool.config) as { connectionConfig: object }
	config.connectionConfig = copyOf(pool.config.connectionConfig)
	const like = new Pool({ config })
	like.on('connection', (connection) => pool.emit('connection', connection))
	return like
}

const copyOf = (object: object): object => Object.create(Object.getPrototypeOf(object), Object.getOwnPropertyDescriptors(object))
