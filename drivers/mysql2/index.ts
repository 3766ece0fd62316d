/** What does a wrapped mysql2 pool do that the bare one does not? `holdfast(pool)` installs the methods; it holds no policy. */
import type { FieldPacket, QueryOptions as MysqlQueryOptions, Pool, QueryResult } from 'mysql2'
import type { Pool as PromisePool } from 'mysql2/promise'
import {
	abortSignal,
	checkOptions,
	checkPoolOptions,
	type OptionRules,
	type PoolOptions,
	positiveMsOrInfinity,
	type Stats,
	show,
	type TransactionOptions,
} from '../../src/driver.ts'
import { commandFor, executeWork, queryWork, rowsWork, snapshot } from './command.ts'
import { Mysql2Core } from './core.ts'
import { lend } from './lend.ts'
import { isOnce, type QueryOptions, Statement } from './query.ts'
import {
	type ConnectionCallback,
	isMysql2Pool,
	isMysql2PromisePool,
	type Mysql2Connection,
	type Mysql2Pool,
	type Mysql2PromisePool,
	type QueryCallback,
} from './shape.ts'
import { Mysql2Source } from './source.ts'
import { type Transactions, tellOnce, transactionsOf } from './transact.ts'

export type { PoolOptions as HoldfastOptions, QueryOptions, Stats, TransactionOptions }

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
	/** As mysql2's, and: `idempotent`, `deadlineMs`, `signal` and `label` in the options object. */
	query<T extends QueryResult>(options: MysqlQueryOptions & QueryOptions, values?: unknown): Promise<[T, FieldPacket[]]>
	execute<T extends QueryResult>(options: MysqlQueryOptions & QueryOptions, values?: unknown): Promise<[T, FieldPacket[]]>
}

export type HoldfastPool<P extends Pool | PromisePool = Pool> = P & HoldfastMethods & (P extends PromisePool ? PromiseStatements : unknown)

type Added = Pick<HoldfastMethods, 'transaction' | 'holdfast'>

const added = new WeakMap<object, Added>()

/**
 * Wraps a pool of `mysql2` or `mysql2/promise`: the same object, whose calls now run through restarts, failovers and conflicts. A promise
 * pool and the callback pool inside it are wrapped together. A pool that is wrapped already is returned as it is.
 * Throws a TypeError for anything else, and for a bad option.
 */
export function holdfast<P extends Pool | PromisePool>(pool: P, options: PoolOptions = {}): HoldfastPool<P> {
	const given: unknown = pool
	checkPoolOptions(options)
	checkCommit(options)
	if (isMysql2PromisePool(given)) addMethods(given, wrapPool(given.pool, options))
	else if (isMysql2Pool(given)) wrapPool(given, options)
	else throw new TypeError(`holdfast: pool must be a pool of mysql2 (createPool() of mysql2 or mysql2/promise), got ${show(given)}`)
	return pool as HoldfastPool<P>
}

function checkCommit({ commit }: PoolOptions): void {
	if (commit !== 'verify') return
	throw new TypeError(
		`commit must be a ledger made by commitLedger or 'off' here: MySQL and MariaDB keep no record to verify a commit by, got ${show(commit)}`,
	)
}

function wrapPool(pool: Mysql2Pool, options: PoolOptions): Added {
	const known = added.get(pool)
	if (known !== undefined) return known
	const methods = install(pool, options)
	addMethods(pool, methods)
	return methods
}

function addMethods(pool: object, methods: Added): void {
	if (added.has(pool)) return
	added.set(pool, methods)
	for (const [name, value] of Object.entries(methods)) Object.defineProperty(pool, name, { value, configurable: true, writable: true })
}

function install(pool: Mysql2Pool, options: PoolOptions): Added {
	const bare = Object.getPrototypeOf(pool) as Mysql2Pool
	const disabled = options.enabled === false
	const source = new Mysql2Source(pool, bare, disabled, {
		broken: (connection) => core.lost(connection),
		returned: () => core.returned(),
		discarded: () => {
			core.policy.counters.discarded += 1
		},
	})
	const { host, port, socketPath } = pool.config.connectionConfig
	const core: Mysql2Core = new Mysql2Core(
		pool,
		bare,
		{ source, address: socketPath ?? `${host}:${port}`, busyTimeoutMs: undefined, busyTimeoutError: () => new Error('unused') },
		options,
	)
	// After a `resetOnRelease` it comes later than the call.
	pool.on('release', () => {
		if (core.waiting > 0) process.nextTick(() => core.returned())
	})
	const transactions = transactionsOf(core, options)
	const methods = addedMethods(core, transactions)
	if (!disabled) {
		for (const [name, value] of Object.entries(replacedMethods(pool, core, source, bare, methods, transactions)))
			Object.defineProperty(pool, name, { value, configurable: true, writable: true })
	}
	return methods
}

/** What a wrapped pool has beside the methods of mysql2. */
function addedMethods(core: Mysql2Core, { transaction }: Transactions): Added {
	return {
		transaction: transaction as Added['transaction'],
		holdfast: {
			stats: () => core.stats(),
			ready: async (options: object = {}) => {
				checkOptions<ReadyOptions>('ready', options, readyRules)
				await new Promise((resolve, reject) => {
					const done: QueryCallback = (error) => (error === null || error === undefined ? resolve(undefined) : reject(error))
					const sql = { sql: 'SELECT 1', ...options }
					new Statement(core, executeWork(sql, undefined, done)).run()
				})
			},
		},
	}
}

/** The methods of mysql2 that a wrapped pool answers itself. */
function replacedMethods(
	pool: Mysql2Pool,
	core: Mysql2Core,
	source: Mysql2Source,
	bare: Mysql2Pool,
	methods: Added,
	{ once, forBorrowers }: Transactions,
): Partial<Mysql2Pool> {
	return {
		getConnection(callback: ConnectionCallback) {
			if (source.isOrder(callback)) return callback(null)
			if (pool._closed || typeof callback !== 'function') return bare.getConnection.call(pool, callback)
			// The text of mysql2.
			if (core.ending) return process.nextTick(callback, new Error('Pool is closed.'))
			lend(core, forBorrowers, callback)
		},
		releaseConnection(connection: Mysql2Connection) {
			core.takeBack(connection)
		},
		query(sql: unknown, values?: unknown, callback?: QueryCallback) {
			if (core.ending) return bare.query.call(pool, sql, values, callback)
			const done = typeof values === 'function' ? (values as QueryCallback) : callback
			const given = typeof values === 'function' ? undefined : values
			const command = commandFor(pool, bare, sql, given, done)
			const said = snapshot(sql)
			if (isOnce(said)) return tellOnce(once('query', said, given), command, done)
			new Statement(core, done === undefined ? rowsWork(command, said, given) : queryWork(command, said, given, done)).run()
			return command
		},
		execute(sql: unknown, values?: unknown, callback?: QueryCallback) {
			if (core.ending) return bare.execute.call(pool, sql, values, callback)
			const done = typeof values === 'function' ? (values as QueryCallback) : callback
			const given = typeof values === 'function' ? [] : values
			const said = snapshot(sql)
			if (isOnce(said)) return tellOnce(once('execute', said, given), undefined, done)
			new Statement(core, executeWork(said, given, done as QueryCallback)).run()
			return undefined
		},
		promise(Kind?: PromiseConstructor): Mysql2PromisePool {
			const promisePool = bare.promise.call(pool, Kind)
			addMethods(promisePool, methods)
			return promisePool
		},
		end(callback?: (error?: unknown) => void) {
			core.endThen(() => bare.end.call(pool, callback))
		},
	}
}

interface ReadyOptions {
	deadlineMs?: number
	signal?: AbortSignal
}

const readyRules: OptionRules<ReadyOptions> = { deadlineMs: positiveMsOrInfinity, signal: abortSignal }
