/** What does a wrapped knex instance have for a pool? The same face as tarn's, over a pool of the driver. */
import { EventEmitter } from 'node:events'
import type { PoolOptions, QueryOptions, Stats, TransactionOptions } from '../../src/driver.ts'
import type { Backend, MakeBackend, StatementConnection, TransactionLink } from './backend.ts'
import { acquireError } from './faults.ts'
import { refreshSettings } from './provider.ts'
import type { ClientConfig, KnexClient, KnexConnection } from './shape.ts'

export class KnexPool {
	readonly #client: KnexClient
	readonly #config: ClientConfig
	readonly #options: PoolOptions
	readonly #make: MakeBackend
	readonly #events = new EventEmitter()
	/** What the instance had before it was wrapped: connections that were open then come back to it. */
	readonly #former: FormerPool | undefined
	#backend: Backend | undefined
	#acquires = 0
	#destroyed = false
	#isHeard = false

	constructor(client: KnexClient, config: ClientConfig, options: PoolOptions, make: MakeBackend, former?: FormerPool) {
		this.#client = client
		this.#config = config
		this.#options = options
		this.#make = make
		this.#former = former
		// Where `connection` is a function, the server's address is not known before it was asked.
		if (client.connectionConfigProvider !== undefined && config.connectionPool === undefined) return
		try {
			this.#backend = this.#open()
		} catch (error) {
			// What the driver has against the settings is told to whoever asks for a connection, as it is without Holdfast.
			if (config.connectionPool !== undefined) throw error
		}
	}

	/** As tarn's: `{ promise }` of a connection of the driver's own, to be given back by `release`. */
	acquire(): { readonly promise: Promise<KnexConnection> } {
		return { promise: this.#told(() => this.#ready().then((backend) => backend.borrow())) }
	}

	/** Waits for a connection for one statement, which may move to another one. */
	statement(options: QueryOptions, mayBeAbandoned: boolean): Promise<StatementConnection> {
		const backend = this.#backend
		// The usual case goes without a detour: each promise in between would cost every statement.
		if (backend !== undefined && !this.#isHeard) return backend.statement(options, mayBeAbandoned)
		return this.#told(() => this.#ready().then((ready) => ready.statement(options, mayBeAbandoned)))
	}

	async transact(work: (link: TransactionLink) => Promise<void>, options: TransactionOptions): Promise<void> {
		const backend = this.#backend ?? (await this.#ready())
		await backend.transact(work, options)
	}

	/** True if the connection was one of this pool's and had not been given back. */
	release(connection: KnexConnection): boolean {
		this.#events.emit('release', connection)
		return (this.#backend?.giveBack(connection) ?? false) || (this.#former?.release(connection) ?? false)
	}

	/** Resolves when all connections are closed, those that are lent once they have come back. */
	async destroy(): Promise<void> {
		this.#destroyed = true
		this.#events.emit('poolDestroyRequest', this.#acquires)
		await Promise.all([this.#backend?.end(), this.#former?.destroy()])
		this.#events.emit('poolDestroySuccess', this.#acquires)
		this.#events.removeAllListeners()
	}

	get destroyed(): boolean {
		return this.#destroyed
	}

	get min(): number {
		return this.#settings().min
	}

	get max(): number {
		return this.#settings().max
	}

	numUsed(): number {
		const { total, idle } = this.#counts()
		return total - idle
	}

	numFree(): number {
		return this.#counts().idle
	}

	numPendingAcquires(): number {
		return this.#counts().waiting
	}

	numPendingCreates(): number {
		return 0
	}

	numPendingValidations(): number {
		return 0
	}

	isEmpty(): boolean {
		const { total, waiting } = this.#counts()
		return total + waiting === 0
	}

	/** tarn's events of acquiring, releasing and destroying. */
	on(event: string, listener: (...given: unknown[]) => void): void {
		this.#isHeard = true
		this.#events.on(event, listener)
	}

	removeListener(event: string, listener: (...given: unknown[]) => void): void {
		this.#events.removeListener(event, listener)
	}

	removeAllListeners(event?: string): void {
		this.#events.removeAllListeners(event)
	}

	/** Undefined as long as the server's address is not known. */
	stats(): Stats | undefined {
		return this.#backend?.stats()
	}

	async ready(options: object | undefined): Promise<void> {
		const backend = await this.#ready()
		await backend.ready(options)
	}

	#open(): Backend {
		return this.#make(this.#client, this.#config, this.#options)
	}

	async #ready(): Promise<Backend> {
		if (this.#backend !== undefined) return this.#backend
		await refreshSettings(this.#client)
		this.#backend ??= this.#open()
		return this.#backend
	}

	async #told<C extends KnexConnection>(acquire: () => Promise<C>): Promise<C> {
		this.#acquires += 1
		const id = this.#acquires
		this.#events.emit('acquireRequest', id)
		try {
			const connection = await acquire()
			this.#events.emit('acquireSuccess', id, connection)
			return connection
		} catch (error) {
			const told = acquireError(error)
			this.#events.emit('acquireFail', id, told)
			throw told
		}
	}

	#counts(): ReturnType<Backend['counts']> {
		return this.#backend?.counts() ?? { total: 0, idle: 0, waiting: 0 }
	}

	#settings(): { readonly min: number; readonly max: number } {
		return this.#client.getPoolSettings(this.#config.pool)
	}
}

/** A tarn pool, as far as it is needed to empty it. */
export interface FormerPool {
	release(connection: KnexConnection): boolean
	destroy(): Promise<void>
	isEmpty(): boolean
}
