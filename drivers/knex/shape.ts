/** Which parts of knex does the wrapper rely on? Only these; `knex-drift.test.ts` notices when they change. */
import type { EventEmitter } from 'node:events'

/** What knex sends its statements on: the driver's own connection, or what stands for it. */
export interface KnexConnection {
	query(...given: unknown[]): unknown
	/** Names of the connection and of the transaction on it, for knex's events. */
	__knexUid?: string | undefined
	__knexTxId?: string | undefined
	/** Set by knex where a statement has exceeded its `timeout`: the connection must not be used again. */
	__knex__disposed?: unknown
}

/** What `getPoolSettings` makes of the `pool` option: tarn's settings. */
export interface PoolSettings {
	readonly min: number
	readonly max: number
	readonly acquireTimeoutMillis: number
	readonly createTimeoutMillis?: number
	readonly idleTimeoutMillis?: number
	/** Asks the user's `validate`, the connection's lifetime, and whether its settings have expired. */
	validate(connection: KnexConnection): Promise<boolean>
}

/** The `pool` option as its user wrote it. */
export interface PoolConfig {
	readonly max?: number
	readonly afterCreate?: (connection: unknown, done: (error?: unknown, connection?: unknown) => void) => void
	readonly validate?: unknown
	readonly maxConnectionLifetimeMillis?: unknown
}

export interface ClientConfig {
	readonly connection?: unknown
	/** A pool that was given instead of `connection`. */
	readonly connectionPool?: object
	readonly pool?: PoolConfig
}

/** What runs the statements of one builder. */
export interface Runner {
	readonly client: KnexClient
	readonly builder: Builder
	connection: KnexConnection | undefined
	ensureConnection(callback: (runner: Runner, given: unknown) => unknown, given: unknown): Promise<unknown>
	queryArray(queries: readonly unknown[]): Promise<unknown>
}

export type RunnerClass = new (client: KnexClient, builder: unknown) => Runner

export interface Builder {
	/** A connection that the user has chosen. */
	readonly _connection?: unknown
	/** What the user has passed to `options`. */
	readonly _options?: readonly object[]
	/** Milliseconds, from `timeout`. */
	readonly _timeout?: number
	readonly sql?: unknown
	readonly bindings?: unknown
}

/** A transaction of knex: a promise, and the source of its events. */
export interface KnexTransaction extends EventEmitter, PromiseLike<unknown> {
	readonly txid: string
	isCompleted(): boolean
}

export interface TransactionConfig {
	readonly isolationLevel?: string
	readonly readOnly?: boolean
	readonly connection?: unknown
}

/** What the user's function gets: a knex of its own, with an end. */
export interface Transactor {
	commit(value?: unknown): unknown
	rollback(error?: unknown): unknown
}

export type Container = (transactor: Transactor) => unknown

/** The dialect's client behind a knex instance. */
export interface KnexClient extends EventEmitter {
	readonly driverName: string
	readonly driver: object
	readonly config: ClientConfig
	connectionSettings: object
	/** The user's function where `connection` is one, and his word that what it gave has expired. */
	readonly connectionConfigProvider?: () => object | Promise<object>
	connectionConfigExpirationChecker: (() => boolean) | null
	version?: unknown
	pool?: object | undefined
	/** False where the pool was given by the user. */
	_ownsPool?: boolean
	/** On the client of a transaction. */
	readonly transacting?: boolean
	readonly logger: { warn(text: string): void }
	getPoolSettings(config: PoolConfig | undefined): PoolSettings
	initializePool(config?: ClientConfig): void
	acquireConnection(): Promise<KnexConnection>
	releaseConnection(connection: KnexConnection): Promise<void>
	runner(builder: unknown): Runner
	transaction(container: Container, config: TransactionConfig, outer?: unknown): KnexTransaction
	cancelQuery(connection: KnexConnection): Promise<unknown>
	checkVersion(connection: unknown): Promise<unknown>
	/** PostgreSQL only. */
	setSchemaSearchPath?(connection: unknown): Promise<unknown>
}

/** What the methods of a knex instance are called on. */
export interface KnexContext {
	readonly client: KnexClient
	_transaction(container: Container | null | undefined, config: TransactionConfig, outer?: unknown): unknown
	withUserParams(params: unknown): KnexInstance
}

export interface KnexInstance {
	readonly client: KnexClient
	readonly context: KnexContext
	readonly isTransaction?: boolean
}

/** Whether it is an instance of knex, by the parts that are used. */
export function isKnex(value: unknown): value is KnexInstance {
	if (typeof value !== 'function') return false
	const { client, context } = value as Partial<KnexInstance>
	if (typeof client !== 'object' || client === null || typeof context !== 'object' || context === null) return false
	return (
		typeof context._transaction === 'function' &&
		typeof context.withUserParams === 'function' &&
		(['getPoolSettings', 'initializePool', 'runner', 'transaction', 'acquireConnection', 'releaseConnection'] as const).every(
			(name) => typeof client[name] === 'function',
		)
	)
}
