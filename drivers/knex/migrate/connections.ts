/** Through which connections does a run talk to the database? Through its own, opened one at a time through the process's gate. */
import { type Call, PoolCore } from '../../../src/driver.ts'
import { addressOf, build, dialectOf, type KnexInstance, OneSession, refuseSmallPool, share, watched } from './dialect.ts'
import type { Settings } from './options.ts'
import type { Ask } from './server.ts'
import type { Connection, Dialect, DialectClient, KnexConfig, KnexPool, StatementWatcher } from './shape.ts'

const defaultPoolMax = 10
// The session of the run, the one that watches locks, and one to look for a pooler.
const ownSessions = 3
const connectTimeoutMs = 10_000
const closeWithinMs = 2_000

export class Connections {
	readonly core: PoolCore<Connection>
	/** What migrations outside a transaction get: a knex with a pool of its own, like the user's. */
	readonly pooled: KnexInstance
	readonly #settings: Settings
	readonly #dialect: Dialect
	readonly #config: KnexConfig
	readonly #external: boolean
	readonly #openRaw: () => Promise<Connection>
	readonly #ofPool = new Set<Connection>()
	#open = 0

	constructor(knex: KnexInstance, settings: Settings, statements: StatementWatcher) {
		this.#settings = settings
		const { config } = knex.client
		this.#dialect = dialectOf(knex.client)
		this.#config = config
		this.#external = config.connectionPool !== undefined
		const patientMs = Math.min(settings.deadlineMs * 2, 2_147_483_647)
		const pool = { ...config.pool, min: 0, max: config.pool?.max ?? defaultPoolMax }
		this.pooled = build({
			...config,
			client: watched(this.#dialect, statements),
			// The pool waits while the gate does; its own limits must not end that earlier.
			...(this.#external ? {} : { pool: { ...pool, acquireTimeoutMillis: patientMs, createTimeoutMillis: patientMs } }),
			acquireConnectionTimeout: patientMs,
		})
		share(knex, this.pooled)
		const { client } = this.pooled
		// A connection attempt that the network swallows has to end some time; a limit of the user's is kept.
		if (client.driverName === 'pg' && client.connectionSettings !== undefined)
			client.connectionSettings.connectionTimeoutMillis ??= connectTimeoutMs
		const capacity = ownSessions + (this.#external ? 0 : pool.max)
		this.core = new PoolCore<Connection>(
			{
				address: addressOf(client),
				source: {
					capacity,
					idle: () => 0,
					total: () => this.#open,
					take: (done) => done(undefined, undefined),
					open: (done) => this.#attempt(done),
					giveBack: (connection) => this.close(connection),
					discard: (connection) => this.close(connection),
					isUsable: () => true,
					ask: (_connection, done) => {
						done(true)
						return () => {}
					},
				},
				busyTimeoutMs: undefined,
				busyTimeoutError: () => new Error('timeout'),
			},
			{ deadlineMs: settings.deadlineMs, signal: settings.signal, scheduler: settings.scheduler },
		)
		if (this.#external) {
			const native = client.pool as KnexPool
			refuseSmallPool(config.connectionPool, ownSessions)
			this.#openRaw = () => native.acquire().promise
			// The run has changed settings of its session, which the user's next borrower must not meet.
			const release = client.releaseConnection.bind(client)
			client.releaseConnection = (connection) => {
				dispose(connection)
				return release(connection)
			}
		} else {
			const bare = client.acquireRawConnection.bind(client)
			this.#openRaw = async () => {
				if (client.connectionConfigProvider !== undefined) client.connectionSettings = await client.connectionConfigProvider()
				return bare()
			}
			client.acquireRawConnection = async () => {
				const connection = await this.#acquire()
				this.#ofPool.add(connection)
				return connection
			}
			client.destroyRawConnection = async (connection) => {
				this.#ofPool.delete(connection)
				this.close(connection)
			}
		}
	}

	get server(): DialectClient {
		return this.pooled.client
	}

	/** Runs a statement past every hook of knex. */
	readonly ask: Ask = async (connection, sql, values = []) => {
		const { response } = await this.#dialect.prototype._query.call(this.pooled.client, connection, { sql, bindings: values, options: {} })
		return (this.server.driverName === 'pg' ? (response as { rows: [] }).rows : (response as [[]])[0]) ?? []
	}

	/** A connection outside of any pool, set up as the user's `afterCreate` does it. Waits for the database, up to the deadline. */
	async session(): Promise<Connection> {
		const connection = await this.#acquire()
		const { afterCreate } = this.#config.pool ?? {}
		if (this.#external || afterCreate === undefined) return connection
		try {
			await new Promise<void>((resolve, reject) => {
				afterCreate(connection, (error) => (error === null || error === undefined ? resolve() : reject(error)))
			})
		} catch (error) {
			this.close(connection)
			throw error
		}
		return connection
	}

	isAlive(connection: Connection): boolean {
		return !connection.__knex__disposed && this.server.validateConnection(connection) !== false
	}

	/** Closes it: politely where it answers, else by cutting it. */
	close(connection: Connection): void {
		this.#gone(connection)
		if (this.#external) {
			dispose(connection)
			this.server.pool?.release(connection)
			return
		}
		const { wakeUps, clock } = this.core.policy.scheduler
		const limit = wakeUps.at(clock.now() + (this.isAlive(connection) ? closeWithinMs : 0), () => cut(connection))
		Promise.resolve(this.#dialect.prototype.destroyRawConnection.call(this.server, connection))
			.catch(() => {})
			.finally(() => wakeUps.cancel(limit))
	}

	/** A knex over one session: whatever it runs, runs there. Without `statements` nobody watches it, and nothing of the user's changes its names. */
	bound(session: Connection, statements: StatementWatcher | undefined, like: KnexInstance): KnexInstance {
		const config: KnexConfig = {
			...this.#config,
			client: statements === undefined ? this.#dialect : watched(this.#dialect, statements),
			connection: undefined,
			connectionPool: new OneSession(session),
			// Which migrations there are is decided elsewhere.
			migrations: {},
		}
		if (statements === undefined) {
			config.wrapIdentifier = undefined
			config.postProcessResponse = undefined
		}
		const { version } = this.server
		if (version !== undefined) config.version = version
		const bound = build(config)
		// What migrations may look up.
		bound.client.config.connection = this.server.config.connection
		bound.client.connectionSettings = this.server.connectionSettings ?? {}
		if (statements !== undefined) share(like, bound)
		return bound
	}

	async end(): Promise<void> {
		const { wakeUps, clock } = this.core.policy.scheduler
		// A transaction that a migration has left open is given back by nobody, and the pool would wait for it for ever.
		const giveBack = () => {
			for (const connection of this.#ofPool) this.server.pool?.release(connection)
		}
		const limit = wakeUps.at(clock.now() + closeWithinMs, giveBack)
		try {
			if (!this.#external) await this.pooled.destroy()
		} finally {
			wakeUps.cancel(limit)
		}
		this.core.end()
	}

	/** Through the gate: one attempt at a time in the whole process while the server is not up. */
	#acquire(): Promise<Connection> {
		const call: Call = this.core.call({ deadlineMs: this.#settings.deadlineMs, signal: this.#settings.signal })
		return this.core.acquire(call)
	}

	#attempt(done: (error: unknown, connection: Connection | undefined) => void): () => void {
		let over = false
		this.#open += 1
		const tell = (error: unknown, connection: Connection | undefined) => {
			if (over) return connection && this.close(connection)
			over = true
			if (connection === undefined) this.#open -= 1
			done(error, connection)
		}
		this.#openRaw().then(
			(connection) => {
				// Without a listener the error of a lost connection would end the process; knex adds none to those of a native pool.
				connection.on?.('error', (error) => {
					;(connection as { __knex__disposed?: unknown }).__knex__disposed ??= error
					this.core.lost(connection)
				})
				this.#counted.add(connection)
				tell(undefined, connection)
			},
			(error) => tell(error, undefined),
		)
		return () => tell(new Error('Connection terminated due to connection timeout'), undefined)
	}

	readonly #counted = new WeakSet<Connection>()

	#gone(connection: Connection): void {
		if (!this.#counted.delete(connection)) return
		this.#open -= 1
		if (!this.isAlive(connection)) this.core.lost(connection)
		this.core.returned()
	}
}

/** knex has the pool close it instead of keeping it. */
function dispose(connection: { __knex__disposed?: unknown }): void {
	connection.__knex__disposed ??= 'the migration run has ended its session'
}

function cut({ connection, stream }: Connection): void {
	;(connection?.stream ?? stream)?.destroy()
}
