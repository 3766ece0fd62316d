/** How does the core get connections out of a mysql2 pool, and back into it? */
import { tracingChannel } from 'node:diagnostics_channel'
import { errorMonitor } from 'node:events'
import type { ConnectionSource, HostAddress, ServerRole } from '../../src/driver.ts'
import { cut, giveBack } from './client.ts'
import { askRole, beforehand, nameAgain, openThere } from './hosts.ts'
import { readOnlyServer, refusesWrites } from './read-only.ts'
import type { ConnectionCallback, Mysql2Connection, Mysql2Pool, Queue } from './shape.ts'
import { hearSession, isAlive, isBusy, isHeard, isUsable, type SessionEvents } from './state.ts'

type Taken = (error: unknown, connection: Mysql2Connection | undefined) => void

export interface SourceEvents {
	broken(connection: Mysql2Connection): void
	/** The server has refused a write on it because it takes none. */
	refused(connection: Mysql2Connection, error: Error): void
	returned(): void
	discarded(): void
	/** A connection attempt has failed. */
	failed(error: unknown): void
}

const none = () => undefined
const noneIdle: Queue<Mysql2Connection> = { length: 0, get: none, push: none, pop: none, shift: none }

/** Who traces what `getConnection` does. */
const tracers = tracingChannel('mysql2:pool:connect')

/** Whether somebody has an idea of his own of handing out, in front of mysql2's: a subclass of the pool, or knex, which asks `validate` first. */
function isOverridden(bare: Mysql2Pool): boolean {
	if (bare.handsOutIdleAsIs === true) return false
	let owner: object = bare
	while (!Object.hasOwn(owner, 'getConnection')) owner = Object.getPrototypeOf(owner)
	return 'getConnection' in Object.getPrototypeOf(owner)
}

export class Mysql2Source implements ConnectionSource<Mysql2Connection> {
	readonly #pool: Mysql2Pool
	readonly #bare: Mysql2Pool
	readonly #on: SourceEvents
	readonly #session: SessionEvents
	// Taken out by mysql2 already, and handed over in the next tick only.
	#taking = 0
	#writes = false
	readonly #isOverridden: boolean
	#ordered: ((connection: Mysql2Connection | undefined) => void) | undefined

	constructor(pool: Mysql2Pool, bare: Mysql2Pool, disabled: boolean, on: SourceEvents) {
		this.#pool = pool
		this.#bare = bare
		this.#on = on
		this.#isOverridden = isOverridden(bare)
		if (!this.#isOverridden) {
			this.order = (done) => {
				this.#ordered = done
				pool._connectionQueue.push(this.#serve)
			}
		}
		this.#session = {
			wrote: () => {
				this.#writes = true
			},
			refused: (connection, error) => on.refused(connection, error),
			cutShort: (connection) => cut(connection),
		}
		if (disabled) return
		const all = pool._allConnections
		for (let at = 0; at < all.length; at++) this.#listen(all.get(at), false)
	}

	get capacity(): number {
		return this.#pool.config.connectionLimit || Number.POSITIVE_INFINITY
	}

	idle(): number {
		return this.#pool._freeConnections.length + this.#taking
	}

	total(): number {
		return this.#pool._allConnections.length
	}

	/** As bare mysql2 hands out an idle one, but at once: it puts a turn of the event loop between. */
	take(done: Taken): void {
		if (this.#pool._freeConnections.length === 0 || this.#isOverridden || tracers.hasSubscribers) return this.#takeLater(done)
		const connection = this.#pool._freeConnections.pop() as Mysql2Connection
		this.#pool.emit('acquire', connection)
		this.#listen(connection, false)
		done(undefined, connection)
	}

	#takeLater(done: Taken): void {
		this.#taking += 1
		const taken: Taken = (error, connection) => {
			this.#taking -= 1
			this.#listen(connection, false)
			done(error, connection)
		}
		if (this.#pool._freeConnections.length === 0) process.nextTick(taken, undefined, undefined)
		else this.#bare.getConnection.call(this.#pool, taken as Parameters<Mysql2Pool['getConnection']>[0])
	}

	/** As bare mysql2 serves a caller who waits: without the events of a release and a new loan, and past a `getConnection` in front of it. */
	readonly order: ((done: (connection: Mysql2Connection | undefined) => void) => void) | undefined

	/** One for all orders: there is one at a time. */
	readonly #serve: ConnectionCallback = (_error, connection) => {
		const done = this.#ordered
		this.#ordered = undefined
		done?.(connection)
	}

	/** Hands over a connection that comes back, if it was ordered and nobody stands before the order in the pool's own queue. */
	serveOrder(connection: Mysql2Connection): boolean {
		const queue = this.#pool._connectionQueue
		if (this.#ordered === undefined || queue.get(0) !== this.#serve) return false
		queue.shift()
		this.#serve(null, connection)
		return true
	}

	/** mysql2 asks anew for whoever stands in its queue when a connection has left the pool. */
	isOrder(callback: ConnectionCallback): boolean {
		return callback === this.#serve
	}

	/** A pool that writes needs a server that takes writes: after a failover the address may lead to one that does not. */
	open(done: Taken): () => void {
		const make = (open: () => void) => open()
		if (!this.#writes) return this.#open(done, make)
		return this.#open(done, make, (connection, refuse) =>
			beforehand(connection, refuse, async () => {
				if (await refusesWrites(connection)) throw readOnlyServer()
			}),
		)
	}

	openAt(at: HostAddress | undefined, suits: (role: ServerRole) => boolean, done: Taken): () => void {
		const within = (make: () => void) => (at === undefined ? make() : openThere(this.#pool, at, make))
		return this.#open(done, within, (connection, refuse) => {
			if (at !== undefined) nameAgain(connection, at)
			beforehand(connection, refuse, async () => {
				const role = await askRole(connection, true)
				if (!suits(role)) throw new Error(`The server is not what is wanted: ${role}`)
			})
		})
	}

	#open(
		done: Taken,
		within: (make: () => void) => void,
		made: (connection: Mysql2Connection, refuse: (error: unknown) => void) => void = () => {},
	): () => void {
		const all = this.#pool._allConnections
		const before = all.length
		let connection: Mysql2Connection | undefined
		let told = false
		const tell: Taken = (error, opened) => {
			if (told) return
			told = true
			if (opened === undefined) connection?.stream.destroy()
			done(error, opened)
			if (opened === undefined) this.#on.failed(error)
		}
		const giveUp = (error: unknown) => {
			if (connection !== undefined) close(connection, error)
			tell(error, undefined)
		}
		try {
			// mysql2 calls back while it is still at work on the packet that ended the handshake.
			const answered: ConnectionCallback = (error, opened) => process.nextTick(tell, error, opened)
			this.#pastIdle(() => within(() => this.#bare.getConnection.call(this.#pool, answered)))
			const begun = all.length > before ? all.get(all.length - 1) : undefined
			connection = begun
			this.#listen(begun, true)
			if (begun !== undefined) made(begun, giveUp)
		} catch (error) {
			// A port out of range, a `stream` function of the user that fails.
			process.nextTick(tell, error, undefined)
		}
		return () => giveUp(connectTimeout())
	}

	giveBack(connection: Mysql2Connection): void {
		giveBack(connection)
	}

	discard(connection: Mysql2Connection, error: unknown): void {
		this.#on.discarded()
		close(connection, error)
		this.#on.returned()
	}

	isUsable(connection: Mysql2Connection): boolean {
		return isUsable(connection)
	}

	/** The same of a connection that is there: after a failover the old server may still answer. */
	ask(connection: Mysql2Connection, done: (alive: boolean) => void): () => void {
		let told = false
		const tell = (alive: boolean) => {
			if (told) return
			told = true
			done(alive)
		}
		if (this.#writes) {
			refusesWrites(connection).then(
				(refuses) => tell(!refuses),
				() => tell(false),
			)
		} else {
			// Told in the same turn in which the connection becomes quiet.
			connection.ping((error) => tell(error === null || error === undefined))
		}
		return () => tell(false)
	}

	/** mysql2 opens a connection only where it sees no idle one. */
	#pastIdle(open: () => void): void {
		const idle = this.#pool._freeConnections
		this.#pool._freeConnections = noneIdle
		try {
			open()
		} finally {
			this.#pool._freeConnections = idle
		}
	}

	/** One listener for the connection's whole life, so that none of its errors ends the process. */
	#listen(connection: Mysql2Connection | undefined, isNew: boolean): void {
		if (connection === undefined || isHeard(connection)) return
		const broken = () => {
			// Not where it was closed on this side: an idle one that the pool no longer needs, say.
			if (connection._closing !== true) this.#on.broken(connection)
		}
		// Not a listener of 'error' itself: mysql2's own is there for the first, and its users count them.
		connection.on(errorMonitor, () => {
			if (connection.listenerCount('error') === 0) connection.on('error', () => {})
			broken()
		})
		connection.on('end', broken)
		hearSession(connection, isNew, this.#session)
	}
}

/** Takes the connection out of the pool and cuts it: `destroy` alone waits for a server that may be gone, and forgets what runs. */
function close(connection: Mysql2Connection, error: unknown): void {
	const busy = isAlive(connection) && isBusy(connection)
	connection.destroy()
	if (busy) cut(connection, error instanceof Error ? error : undefined)
	else connection.stream.destroy()
}

/** As mysql2 words its own time limit, so that it is classified and recognised alike. */
function connectTimeout(): Error {
	return Object.assign(new Error('connect ETIMEDOUT'), { errorno: 'ETIMEDOUT', code: 'ETIMEDOUT', syscall: 'connect' })
}
