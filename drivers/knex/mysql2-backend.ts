/** What stands behind knex's pool on MySQL and MariaDB? A pool of `mysql2`, wrapped by the driver for mysql2. */
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
import { cut } from '../mysql2/client.ts'
import { Mysql2Transaction } from '../mysql2/scope.ts'
import { isMysql2Pool, isMysql2PromisePool, type Mysql2Connection, type Mysql2Pool } from '../mysql2/shape.ts'
import { type Wrapped, wrapPool } from '../mysql2/wrap.ts'
import { Abandoning } from './abandoning.ts'
import type { Backend, StatementConnection, TransactionLink } from './backend.ts'
import { acquireError } from './faults.ts'
import { watchIdle } from './mysql2-idle.ts'
import { makeMysql2Pool } from './mysql2-pool.ts'
import { Mysql2StatementConnection } from './mysql2-statement.ts'
import { idleTimeoutMs } from './options.ts'
import type { ClientConfig, KnexClient, KnexConnection } from './shape.ts'
import { nextUid } from './uid.ts'

export class Mysql2Backend implements Backend {
	readonly pool: Mysql2Pool
	readonly #wrapped: Wrapped
	/** Where `connection` is a function. */
	readonly #refresh: (() => Promise<void>) | undefined
	readonly #host: Host
	readonly #endWatch: () => void = () => {}
	readonly #lent = new WeakSet<KnexConnection>()

	constructor(client: KnexClient, config: ClientConfig, options: PoolOptions) {
		const given = config.connectionPool
		if (given !== undefined) {
			this.pool = poolIn(given)
			this.#wrapped = wrapPool(this.pool, options)
			this.#host = hostOf(this.#wrapped, undefined)
			return
		}
		const { pool, refresh } = makeMysql2Pool(client, config)
		const { min, acquireTimeoutMillis, idleTimeoutMillis = idleTimeoutMs } = client.getPoolSettings(config.pool)
		this.pool = pool
		this.#refresh = client.connectionConfigProvider === undefined ? undefined : refresh
		this.#wrapped = wrapPool(pool, options, acquireTimeoutMillis)
		this.#host = hostOf(this.#wrapped, this.#refresh)
		this.#endWatch = watchIdle(pool, this.#wrapped.core, min, idleTimeoutMillis)
	}

	counts(): { total: number; idle: number; waiting: number } {
		const { _allConnections: all, _freeConnections: free } = this.pool
		return { total: all.length, idle: free.length, waiting: this.#wrapped.core.waiting }
	}

	async borrow(): Promise<KnexConnection> {
		await this.#refresh?.()
		const connection = await new Promise<Mysql2Connection & KnexConnection>((resolve, reject) => {
			this.pool.getConnection((error, lent) => (lent === undefined ? reject(error) : resolve(lent)))
		})
		connection.__knexUid ??= nextUid()
		this.#lent.add(connection)
		return connection
	}

	giveBack(connection: KnexConnection): boolean {
		if (!this.#lent.delete(connection)) return false
		const mine = connection as unknown as Mysql2Connection
		if (connection.__knex__disposed === undefined) mine.release()
		else mine.destroy()
		return true
	}

	async statement(options: QueryOptions, mayBeAbandoned: boolean): Promise<StatementConnection> {
		const { deadlineMs, signal, label, priority } = ownOptions(options)
		if (this.#refresh !== undefined) await this.#refresh()
		const { core } = this.#wrapped
		const abort = mayBeAbandoned ? new Abandoning(signal) : undefined
		const call = core.call({ deadlineMs, signal: abort?.signal ?? signal, label, priority })
		try {
			return new Mysql2StatementConnection(this.pool, core, call, await core.borrowFor(call), abort)
		} catch (error) {
			abort?.end()
			throw acquireError(error)
		}
	}

	async transact(work: (link: TransactionLink) => Promise<void>, options: TransactionOptions): Promise<void> {
		await runTransaction(this.#host, (tx) => work(tx as LinkedTransaction), options)
	}

	stats(): Stats {
		return this.#wrapped.core.stats()
	}

	ready(options?: object): Promise<void> {
		return this.#wrapped.added.holdfast.ready(options)
	}

	async end(): Promise<void> {
		this.#endWatch()
		if (this.pool._closed) return
		await new Promise<void>((resolve, reject) => {
			this.pool.end((error) => (error ? reject(error) : resolve()))
		})
	}
}

function poolIn(given: object): Mysql2Pool {
	if (isMysql2Pool(given)) return given
	// That of mysql2/promise holds a callback pool, which knex takes out as well.
	if (isMysql2PromisePool(given)) return given.pool
	throw new TypeError(`holdfast: connectionPool must be a pool of mysql2 (createPool()), got ${show(given)}`)
}

type Host = Wrapped['transactions']['host'] & { readonly nests: true }

function hostOf({ transactions: { host } }: Wrapped, refresh: (() => Promise<void>) | undefined): Host {
	return {
		...host,
		nests: true,
		async acquire(call: Call) {
			await refresh?.()
			return host.acquire(call).catch((error) => Promise.reject(acquireError(error)))
		},
		scope: (state: AttemptState<Mysql2Connection>): Mysql2Transaction => new LinkedTransaction(state),
	}
}

/** A transaction's handle that also shows its connection, for what knex's users do with that beside queries. */
class LinkedTransaction extends Mysql2Transaction implements TransactionLink {
	get connection(): Mysql2Connection {
		return this.state.connection
	}

	cut(error: Error): void {
		cut(this.state.connection, error)
	}
}
