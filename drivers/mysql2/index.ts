/** What does a wrapped mysql2 pool do that the bare one does not? `holdfast(pool)` installs the methods; it holds no policy. */
import type {
	FieldPacket,
	QueryOptions as MysqlQueryOptions,
	Pool,
	PoolCluster,
	PoolConnection,
	PoolNamespace,
	Query,
	QueryError,
	QueryResult,
} from 'mysql2'
import type {
	PoolCluster as PromiseCluster,
	PoolConnection as PromiseConnection,
	PoolNamespace as PromiseNamespace,
	Pool as PromisePool,
} from 'mysql2/promise'
import { checkPoolOptions, type PoolOptions, type QueryOptions, type Stats, show, type TransactionOptions } from '../../src/driver.ts'
import { wrapCluster } from './cluster.ts'
import type { ReadOptions } from './replica.ts'
import { forPromises } from './session.ts'
import { isMysql2Cluster, isMysql2Pool, isMysql2PromiseCluster, isMysql2PromisePool } from './shape.ts'
import { addMethods, wrapPool } from './wrap.ts'

export type { QueryOptions, ReadOptions, Stats, TransactionOptions }

/** Options of `holdfast(pool, options)`. */
export interface HoldfastOptions<P extends Pool | PromisePool | Cluster = PromisePool> extends PoolOptions {
	/**
	 * Prepares each new connection before anybody gets it, as that of `PoolOptions`. Awaited; it must not release the connection, which is a
	 * promise connection where the wrapped pool is a promise pool, and a callback connection else (`connection.promise()` is its other form).
	 */
	onConnect?: ((connection: P extends PromisePool | PromiseCluster ? PromiseConnection : PoolConnection) => unknown) | undefined
}

/** A transaction's handle, typed as `mysql2/promise` types its connection: what a statement answers is `[rows, fields]`. */
export interface Transaction {
	query: PromisePool['query']
	execute: PromisePool['execute']
	/** Runs `fn` in a savepoint: rolled back to it when `fn` rejects, and the error is thrown on. */
	transaction<R>(fn: (tx: Transaction) => Promise<R>): Promise<R>
	/** Runs `callback` once, after the commit is certain; never for an attempt that was rolled back. */
	onCommit(callback: () => unknown): void
}

/** What `holdfast` adds to a pool. */
export interface HoldfastMethods {
	/**
	 * Runs `fn` in a transaction and resolves with its value once the commit is certain. On a transient fault the whole function runs
	 * again, in a new transaction. Rejects with the error of the function or of the database; with an InDoubtError where a COMMIT was
	 * sent and its answer lost.
	 */
	transaction<R>(fn: (tx: Transaction) => Promise<R>, options?: TransactionOptions): Promise<R>
	readonly holdfast: {
		/** Counts since the pool was wrapped. */
		stats(): Stats
		/** Resolves when the database answers a query. Rejects with a DeadlineError, or at once with an error that waiting does not mend. */
		ready(options?: { deadlineMs?: number; signal?: AbortSignal }): Promise<void>
	}
}

/** What the statements of a wrapped promise pool take beside mysql2's own options. */
interface PromiseStatements {
	/** As mysql2's, and: `idempotent`, `exactlyOnce`, `deadlineMs`, `signal`, `label`, `priority`, `target`, `maxLagMs` and `readYourWrites` in the options object. */
	query<T extends QueryResult>(options: MysqlQueryOptions & QueryOptions & ReadOptions, values?: unknown): Promise<[T, FieldPacket[]]>
	execute<T extends QueryResult>(options: MysqlQueryOptions & QueryOptions & ReadOptions, values?: unknown): Promise<[T, FieldPacket[]]>
}

type Callback<T extends QueryResult> = (error: QueryError | null, result: T, fields: FieldPacket[]) => unknown

/** What a wrapped callback pool takes, and gives, beside what mysql2 has. */
interface CallbackStatements {
	/** As mysql2's, and: `idempotent`, `exactlyOnce`, `deadlineMs`, `signal`, `label`, `priority`, `target`, `maxLagMs` and `readYourWrites` in the options object. */
	query<T extends QueryResult>(options: MysqlQueryOptions & QueryOptions & ReadOptions, callback?: Callback<T>): Query
	query<T extends QueryResult>(options: MysqlQueryOptions & QueryOptions & ReadOptions, values: unknown, callback?: Callback<T>): Query
	execute<T extends QueryResult>(options: MysqlQueryOptions & QueryOptions & ReadOptions, callback?: Callback<T>): Query
	execute<T extends QueryResult>(options: MysqlQueryOptions & QueryOptions & ReadOptions, values: unknown, callback?: Callback<T>): Query
}

/** The promise pool of a wrapped pool is wrapped as well. */
interface WrappedPromise {
	promise(promiseImpl?: PromiseConstructor): HoldfastPool<PromisePool>
}

/** What `holdfast` adds to a cluster. */
export interface HoldfastClusterMethods {
	/** As that of a pool, on one node: the next of those that can be reached. */
	transaction: HoldfastMethods['transaction']
	readonly holdfast: {
		/** Counts of each node since it was wrapped, by its name. */
		stats(): Readonly<Record<string, Stats>>
		/** Resolves when any node answers a query. Rejects as that of a pool. */
		ready: HoldfastMethods['holdfast']['ready']
	}
}

type Cluster = PoolCluster | PromiseCluster

/** The nodes of a wrapped cluster take what a wrapped pool takes. */
interface CallbackNodes {
	of(pattern: string, selector?: string): PoolNamespace & CallbackStatements
}
interface PromiseNodes {
	of(pattern: string, selector?: string): PromiseNamespace & PromiseStatements
}

// Of overloads the first that fits counts: `promise` and `of` come before mysql2's, statements after.
export type HoldfastPool<P extends Pool | PromisePool | Cluster = Pool> = (P extends Pool
	? WrappedPromise
	: P extends PoolCluster
		? CallbackNodes
		: P extends PromiseCluster
			? PromiseNodes
			: unknown) &
	P &
	(P extends Cluster ? HoldfastClusterMethods : HoldfastMethods) &
	(P extends PromisePool ? PromiseStatements : P extends Pool ? CallbackStatements : unknown)

/**
 * Wraps a pool or a cluster of `mysql2` or `mysql2/promise`: the same object, whose calls now run through restarts, failovers and
 * conflicts. A promise pool and the callback pool inside it are wrapped together, and a cluster with all its nodes: there a node that is
 * down is passed over until it is back. A pool that is wrapped already is returned as it is.
 * Throws a TypeError for anything else, and for a bad option.
 */
export function holdfast<P extends Pool | PromisePool | Cluster>(pool: P, options: HoldfastOptions<NoInfer<P>> = {}): HoldfastPool<P> {
	const given: unknown = pool
	checkPoolOptions(options)
	checkCommit(options)
	if (options.hosts !== undefined && (isMysql2Cluster(given) || isMysql2PromiseCluster(given)))
		throw new TypeError('hosts is for a pool: a cluster has its own nodes, add them by cluster.add()')
	if (isMysql2Cluster(given)) wrapCluster(given, options)
	else if (isMysql2PromiseCluster(given)) addMethods(given, wrapCluster(given.poolCluster, forPromises(options)))
	else if (isMysql2Pool(given)) wrapPool(given, options)
	else if (isMysql2PromisePool(given)) wrapPool(given.pool, forPromises(options)).wrapPromise(given)
	else throw new TypeError(`holdfast: pool must be a pool of mysql2 (createPool() or createPoolCluster()), got ${show(given)}`)
	return pool as HoldfastPool<P>
}

function checkCommit({ commit }: PoolOptions): void {
	if (commit !== 'verify') return
	throw new TypeError(
		`commit must be a ledger made by commitLedger or 'off' here: MySQL and MariaDB keep no record to verify a commit by, got ${show(commit)}`,
	)
}
