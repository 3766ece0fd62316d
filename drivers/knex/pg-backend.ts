/** What stands behind knex's pool on PostgreSQL? A pool of `pg`, wrapped by the driver for pg. */
import {
	type AttemptState,
	type Call,
	ownOptions,
	type PoolOptions,
	type QueryOptions,
	runTransaction,
	type Stats,
	show,
	type TransactionOptions,
} from '../../src/driver.ts'
import { cut } from '../pg/client.ts'
import type { PgCore } from '../pg/core.ts'
import { type HoldfastPool, holdfast } from '../pg/index.ts'
import { type Inside, insideOf } from '../pg/inside.ts'
import { isPgPool, type PgClient, type PgPool } from '../pg/shape.ts'
import { PgTransaction } from '../pg/transaction.ts'
import { Abandoning } from './abandoning.ts'
import type { Backend, StatementConnection, TransactionLink } from './backend.ts'
import { acquireError } from './faults.ts'
import { makePgPool } from './pg-pool.ts'
import { PgStatementConnection } from './pg-statement.ts'
import type { ClientConfig, KnexClient, KnexConnection } from './shape.ts'
import { nextUid } from './uid.ts'

export class PgBackend implements Backend {
	readonly pool: PgPool
	readonly #wrapped: HoldfastPool
	readonly #core: PgCore
	readonly #host: Inside['host'] & { readonly nests: true }
	readonly #lent = new WeakSet<KnexConnection>()
	readonly #client: KnexClient

	constructor(client: KnexClient, config: ClientConfig, options: PoolOptions) {
		this.#client = client
		const given = config.connectionPool
		if (given !== undefined && !isPgPool(given))
			throw new TypeError(`holdfast: connectionPool must be a pool of pg (new pg.Pool()), got ${show(given)}`)
		this.pool = given ?? makePgPool(client, config)
		this.#wrapped = holdfast(this.pool as unknown as Parameters<typeof holdfast>[0], options)
		const inside = insideOf(this.pool) as Inside
		this.#core = inside.core
		this.#host = {
			...inside.host,
			nests: true,
			acquire: (call: Call) => inside.host.acquire(call).catch((error) => Promise.reject(acquireError(error))),
			scope: (state: AttemptState<PgClient>): PgTransaction => new LinkedTransaction(state, inside.core),
		}
	}

	counts(): { total: number; idle: number; waiting: number } {
		const { totalCount: total, idleCount: idle, waitingCount: waiting } = this.pool
		return { total, idle, waiting }
	}

	async borrow(): Promise<KnexConnection> {
		const client = (await this.pool.connect()) as PgClient
		await this.#welcome(client)
		this.#lent.add(client)
		return client
	}

	giveBack(connection: KnexConnection): boolean {
		if (!this.#lent.delete(connection)) return false
		;(connection as unknown as PgClient).release(connection.__knex__disposed ? true : undefined)
		return true
	}

	statement(options: QueryOptions, mayBeAbandoned: boolean): Promise<StatementConnection> {
		const { deadlineMs, signal, label, priority } = ownOptions(options)
		const abort = mayBeAbandoned ? new Abandoning(signal) : undefined
		const call = this.#core.call({ deadlineMs, signal: abort?.signal ?? signal, label, priority })
		return new Promise((resolve, reject) => {
			call.waiting()
			this.#core.borrow({
				deadlineAtMs: call.deadlineAtMs,
				signal: call.signal,
				isBatch: call.isBatch,
				done: (error, client) => {
					call.served()
					if (client === undefined) {
						abort?.end()
						return reject(acquireError(call.waitFailed(error)))
					}
					const connection = new PgStatementConnection(this.pool, this.#core, call, client, abort)
					if (this.#client.version) resolve(connection)
					else this.#welcome(client).then(() => resolve(connection), reject)
				},
			})
		})
	}

	async transact(work: (link: TransactionLink) => Promise<void>, options: TransactionOptions): Promise<void> {
		await runTransaction(this.#host, (tx) => work(tx as LinkedTransaction), options)
	}

	/** A pool that was given as `connectionPool` has prepared its connections without knex. */
	async #welcome(client: PgClient): Promise<void> {
		const connection: KnexConnection = client
		connection.__knexUid ??= nextUid()
		if (!this.#client.version) this.#client.version = await this.#client.checkVersion(client).catch(() => undefined)
	}

	stats(): Stats {
		return this.#wrapped.holdfast.stats()
	}

	ready(options?: object): Promise<void> {
		return this.#wrapped.holdfast.ready(options)
	}

	async end(): Promise<void> {
		if (!this.pool.ending) await this.pool.end()
	}
}

/** A transaction's handle that also shows its connection, for what knex's users do with that beside queries. */
class LinkedTransaction extends PgTransaction implements TransactionLink {
	get connection(): PgClient {
		return this.state.connection
	}

	cut(error: Error): void {
		cut(this.state.connection, error)
	}
}
