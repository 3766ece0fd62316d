/** How does the core get connections out of a pg pool, and back into it? And who may open one? */
import { type ConnectionSource, HoldfastError, type HostAddress, type ServerRole } from '../../src/driver.ts'
import { cut, listen } from './client.ts'
import { openThere } from './hosts.ts'
import type { ConnectCallback, Pending, PgClient, PgPool } from './shape.ts'
import { isUsable } from './state.ts'

type Taken = (error: unknown, client: PgClient | undefined) => void

export interface SourceEvents {
	/** The connection is listened to from now on. */
	heard(client: PgClient): void
	broken(client: PgClient): void
	returned(): void
	discarded(): void
}

export class PgSource implements ConnectionSource<PgClient> {
	readonly #pool: PgPool
	/** The methods of pg's own class: overrides of a subclass are for its callers, not for us. */
	readonly #bare: PgPool
	readonly #on: SourceEvents
	/** The bare pool's rules hold: only borrowed clients are listened to, and the pool opens connections as it likes. */
	readonly #disabled: boolean
	#admitting = false
	#ordered: Pending | undefined
	#taken: PgClient | undefined
	readonly #now: Pending = {
		callback: (_error, client) => {
			this.#taken = client
		},
	}

	constructor(pool: PgPool, bare: PgPool, disabled: boolean, on: SourceEvents) {
		this.#pool = pool
		this.#bare = bare
		this.#disabled = disabled
		this.#on = on
		if (disabled) return
		for (const client of pool._clients) this.#listen(client)
		this.#guardNewClient(pool.newClient)
	}

	get capacity(): number {
		return this.#pool.options.max
	}

	idle(): number {
		return this.#pool.idleCount
	}

	total(): number {
		return this.#pool.totalCount
	}

	take(done: Taken): void {
		this.#bare.connect.call(this.#pool, (error, client) => this.#hand(done, error, client))
	}

	/** What `connect` does a turn later, where nobody else stands in the pool's own queue. */
	takeNow(): PgClient | undefined {
		const { _pendingQueue } = this.#pool
		if (this.#disabled || _pendingQueue.length > 0 || this.#pool._pulseQueue === undefined) return undefined
		// While its listeners hear that a lifetime is over, pg-pool has that connection among the idle ones still: it closes it then.
		const next = this.#pool._idle?.at(-1)?.client
		if (next !== undefined && this.#pool._expired?.has(next)) return undefined
		_pendingQueue.push(this.#now)
		try {
			this.#pool._pulseQueue()
		} catch (thrown) {
			// By a listener of the user's: not the fault of whoever asks, and an uncaught exception as from the bare pool.
			process.nextTick(() => {
				throw thrown
			})
		}
		const taken = this.#taken
		this.#taken = undefined
		return taken
	}

	/** A caller in pg-pool's own queue is served by the `release` of whoever comes first. */
	readonly order = (done: (client: PgClient | undefined) => void): void => {
		const callback: ConnectCallback = (_error, client) => {
			if (client !== undefined && this.#disabled) this.#listenWhileBorrowed(client)
			done(client)
		}
		this.#ordered = { callback }
		this.#pool._pendingQueue.push(this.#ordered)
	}

	recall(): boolean {
		const { _pendingQueue } = this.#pool
		const at = this.#ordered === undefined ? -1 : _pendingQueue.indexOf(this.#ordered)
		if (at >= 0) _pendingQueue.splice(at, 1)
		return at >= 0
	}

	open(done: Taken): () => void {
		return this.#open(done, (make) => make())
	}

	openAt(at: HostAddress | undefined, suits: (role: ServerRole) => boolean, done: Taken): () => void {
		return this.#open(done, (make) => openThere(this.#pool, at, suits, make))
	}

	#open(done: Taken, within: (make: () => void) => void): () => void {
		const before = new Set(this.#pool._clients)
		const opened = () => this.#pool._clients.find((candidate) => !before.has(candidate))
		let told = false
		// An `onConnect` or `verify` hook of the user may hang: the attempt is over all the same when it is given up.
		const tell: Taken = (error, client) => {
			if (told) return client?.release(true)
			told = true
			this.#hand(done, error, client)
		}
		this.#admitting = true
		try {
			within(() => this.#pool.newClient({ callback: tell }))
		} catch (error) {
			// A port out of range, a broken `Client` or `stream` of the user. The pool would count what came of it for ever.
			const failed = opened()
			this.#pool._clients = this.#pool._clients.filter((client) => client !== failed)
			process.nextTick(tell, error, undefined)
			return () => {}
		} finally {
			this.#admitting = false
		}
		const client = opened()
		if (client !== undefined && !this.#disabled) this.#listen(client)
		return () => {
			const error = new Error(connectTimeout)
			if (client !== undefined) cut(client, error)
			tell(error, undefined)
		}
	}

	giveBack(client: PgClient): void {
		client.release()
		this.#on.returned()
	}

	discard(client: PgClient, error: unknown): void {
		this.#on.discarded()
		client.release(error ?? true)
		// `release` asks the server politely; a server that is gone would keep the socket, and the process, for minutes.
		cut(client)
		this.#on.returned()
	}

	isUsable(client: PgClient): boolean {
		return isUsable(client)
	}

	ask(client: PgClient, done: (alive: boolean) => void): () => void {
		let told = false
		const tell = (alive: boolean) => {
			if (told) return
			told = true
			done(alive)
		}
		client.query('SELECT 1', undefined, (error) => tell(error === null || error === undefined))
		return () => tell(false)
	}

	/** The pool opens a connection by itself when an idle one that it was asked for has just gone: that has to wait its turn. */
	#guardNewClient(newClient: PgPool['newClient']): void {
		const value: PgPool['newClient'] = (pending) => {
			if (this.#admitting) return newClient.call(this.#pool, pending)
			process.nextTick(() => pending.timedOut || pending.callback(notAdmitted, undefined, () => {}))
		}
		Object.defineProperty(this.#pool, 'newClient', { value, configurable: true, writable: true })
	}

	#hand(done: Taken, error: unknown, client: PgClient | undefined): void {
		if (client !== undefined && this.#disabled) this.#listenWhileBorrowed(client)
		done(error, client)
	}

	#listen(client: PgClient): void {
		listen(client, this.#on.broken)
		this.#on.heard(client)
	}

	#listenWhileBorrowed(client: PgClient): void {
		const heard = () => this.#on.broken(client)
		const release = client.release
		client.on('error', heard)
		client.release = (error) => {
			release.call(client, error)
			client.removeListener('error', heard)
		}
	}
}

/** For a pool that is about to end: it would forget whom it has not handed an idle connection yet. */
export function refusePending(pool: PgPool): void {
	for (const { callback } of pool._pendingQueue.splice(0)) callback(notAdmitted, undefined, () => {})
}

/** Nobody outside sees it. */
const notAdmitted = new HoldfastError('HOLDFAST_CLOSED', 'The pool opened a connection by itself; it has to wait its turn.')

// The text of pg-pool for the same event, so that it is classified and recognised alike.
const connectTimeout = 'Connection terminated due to connection timeout'
