/** How does the core get connections out of a pg pool, and back into it? */
import type { ConnectionSource } from '../../src/driver.ts'
import { cut, type Gate, isUsable, listen } from './client.ts'
import type { PgClient, PgPool } from './shape.ts'

export class PgSource implements ConnectionSource<PgClient>, Gate {
	readonly #pool: PgPool
	readonly #connect: PgPool['connect']
	readonly #onBroken: (client: PgClient) => void
	readonly #onReturned: () => void
	readonly #onDiscarded: () => void
	readonly #heard = new WeakSet<PgClient>()
	#admitting = false
	#opened: PgClient | undefined

	/** `connect` is the bare pool's own. */
	constructor(pool: PgPool, connect: PgPool['connect'], on: { broken(client: PgClient): void; returned(): void; discarded(): void }) {
		this.#pool = pool
		this.#connect = connect
		this.#onBroken = on.broken
		this.#onReturned = on.returned
		this.#onDiscarded = on.discarded
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

	take(done: (error: unknown, client: PgClient | undefined) => void): void {
		this.#connect.call(this.#pool, (error, client) => {
			// A client that the pool had before it was wrapped has nobody who hears its errors while it is borrowed.
			if (client !== undefined && !(client instanceof this.#pool.Client) && !this.#heard.has(client)) {
				this.#heard.add(client)
				listen(client, this)
			}
			done(error, client)
		})
	}

	open(done: (error: unknown, client: PgClient | undefined) => void): () => void {
		this.#admitting = true
		this.#opened = undefined
		try {
			this.#pool.newClient({ callback: (error, client) => done(error, client) })
		} finally {
			this.#admitting = false
		}
		const client: PgClient | undefined = this.#opened
		return () => client && cut(client, new Error(connectTimeout))
	}

	giveBack(client: PgClient): void {
		client.release()
		this.#onReturned()
	}

	discard(client: PgClient, error: unknown): void {
		this.#onDiscarded()
		client.release(error ?? true)
		// `release` asks the server politely; a server that is gone would keep the socket, and the process, for minutes.
		cut(client)
		this.#onReturned()
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

	admits(client: PgClient): boolean {
		if (this.#admitting) this.#opened = client
		return this.#admitting
	}

	broken(client: PgClient): void {
		this.#onBroken(client)
	}
}

// The text of pg-pool for the same event, so that it is classified and recognised alike.
const connectTimeout = 'Connection terminated due to connection timeout'
