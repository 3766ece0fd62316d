/** What does a wrapped pg pool do that the bare one does not? `holdfast(pool)` installs the methods; it holds no policy. */
import type { Pool, QueryConfig, QueryResult, QueryResultRow } from 'pg'
import {
	type AttemptState,
	abortSignal,
	type Call,
	checkOptions,
	checkPoolOptions,
	type OptionRules,
	PoolCore,
	type PoolOptions,
	positiveMsOrInfinity,
	runTransaction,
	type Stats,
	show,
	type TransactionOptions,
} from '../../src/driver.ts'
import { gatedClass } from './client.ts'
import { lend } from './lend.ts'
import { type QueryOptions, Statement } from './query.ts'
import { type ConnectCallback, isPgPool, type PgClient, type PgPool, type QueryCallback, type Submittable } from './shape.ts'
import { PgSource } from './source.ts'
import { runSubmittable } from './submittable.ts'
import { PgTransaction, PgTransactionDriver, rewriteStack } from './transaction.ts'

export type { PoolOptions as HoldfastOptions, QueryOptions, Stats, TransactionOptions }

/** A transaction's handle, typed as pg types its client. */
export interface Transaction {
	query: Pool['query']
	/** Runs `fn` in a savepoint: rolled back to it when `fn` rejects, and the error is thrown on. */
	transaction<R>(fn: (tx: Transaction) => Promise<R>): Promise<R>
	/** Runs `callback` once, after the commit is certain; never for an attempt that was rolled back. */
	onCommit(callback: () => unknown): void
}

/** What `holdfast` adds to a pool. */
export interface HoldfastMethods {
	/** As pg's, and: `idempotent`, `deadlineMs`, `signal` and `label` in the config object. */
	query<R extends QueryResultRow = QueryResultRow>(config: QueryConfig & QueryOptions, values?: unknown[]): Promise<QueryResult<R>>
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

export type HoldfastPool<P extends Pool = Pool> = P & HoldfastMethods

const wrapped = new WeakSet<object>()

/**
 * Wraps a pool of `pg`: the same object, whose calls now run through restarts, failovers and conflicts.
 * A pool that is wrapped already is returned as it is. Throws a TypeError for anything but a pg pool, and for a bad option.
 */
export function holdfast<P extends Pool>(pool: P, options: PoolOptions = {}): HoldfastPool<P> {
	if (!isPgPool(pool)) throw new TypeError(`holdfast: pool must be a pool of pg (new pg.Pool()), got ${show(pool)}`)
	checkPoolOptions(options)
	if (!wrapped.has(pool)) {
		install(pool, options)
		wrapped.add(pool)
	}
	return pool as unknown as HoldfastPool<P>
}

function install(pool: PgPool, options: PoolOptions): void {
	const bare = { connect: pool.connect, end: pool.end, query: pool.query }
	const { connectionTimeoutMillis } = pool.options
	const source = new PgSource(pool, bare.connect, {
		broken: (client) => core.lost(client),
		returned: () => core.returned(),
		discarded: () => {
			core.policy.counters.discarded += 1
		},
	})
	const core: PoolCore<PgClient> = new PoolCore(
		{
			source,
			address: addressOf(pool),
			busyTimeoutMs: connectionTimeoutMillis || undefined,
			busyTimeoutError: () => new Error('timeout exceeded when trying to connect'),
		},
		options,
	)
	const methods = { ...addedMethods(pool, core), ...(options.enabled === false ? {} : replacedMethods(pool, core, source, bare)) }
	for (const [name, value] of Object.entries(methods)) Object.defineProperty(pool, name, { value, configurable: true, writable: true })
}

/** What a wrapped pool has beside the methods of pg. */
function addedMethods(pool: PgPool, core: PoolCore<PgClient>): object {
	const host = {
		policy: core.policy,
		driver: new PgTransactionDriver(core),
		attemptTimeoutMs: core.attemptTimeoutMs,
		acquire: (call: Call) => core.acquire(call),
		scope: (state: AttemptState<PgClient>) => new PgTransaction(state),
	}
	return {
		transaction: <R>(fn: (tx: PgTransaction) => Promise<R>, options?: TransactionOptions) => runTransaction(host, fn, options),
		holdfast: {
			stats: () => core.stats(),
			ready: async (options: object = {}) => {
				checkOptions<ReadyOptions>('ready', options, readyRules)
				await pool.query({ text: 'SELECT 1', ...options })
			},
		},
	}
}

/** The methods of pg that a wrapped pool answers itself. */
function replacedMethods(
	pool: PgPool,
	core: PoolCore<PgClient>,
	source: PgSource,
	bare: Pick<PgPool, 'connect' | 'end' | 'query'>,
): object {
	// Without a listener an 'error' event would end the process (Node.js manual, "Error events").
	pool.on('error', () => {})
	pool.on('remove', () => core.returned())
	pool.Client = gatedClass(pool.Client, source)
	const waitingCount = Object.getOwnPropertyDescriptor(Object.getPrototypeOf(Object.getPrototypeOf(pool)), 'waitingCount')
	Object.defineProperty(pool, 'waitingCount', {
		configurable: true,
		get: () => core.waiting + ((waitingCount?.get?.call(pool) as number) ?? 0),
	})
	return {
		connect: (callback?: ConnectCallback) => {
			if (pool.ending) return bare.connect.call(pool, callback as ConnectCallback)
			if (typeof callback === 'function') return lend(core, callback)
			return new Promise((resolve, reject) => {
				lend(core, (error, client) => (client === undefined ? reject(error) : resolve(client)))
			}).catch(rewriteStack)
		},
		query: (text: unknown, values?: unknown, callback?: QueryCallback) => {
			const done = typeof values === 'function' ? (values as QueryCallback) : callback
			const given = typeof values === 'function' ? undefined : values
			if (pool.ending || typeof text === 'function') return bare.query.call(pool, text, values, callback)
			if (typeof (text as Submittable | null)?.submit === 'function') {
				const promise = runSubmittable(core, text as Submittable, done)
				return done === undefined ? promise : undefined
			}
			if (done !== undefined) return new Statement(core, text, given, done).run()
			return new Promise((resolve, reject) => {
				new Statement(core, text, given, (error, result) => {
					if (error === null || error === undefined) resolve(result)
					else reject(error)
				}).run()
			}).catch(rewriteStack)
		},
		end: (callback?: (error?: unknown) => void) => {
			core.end()
			return bare.end.call(pool, callback)
		},
	}
}

/** The server's address, as pg itself works it out from options, connection string and environment. */
function addressOf(pool: PgPool): string {
	const { host, port } = new pool.Client(pool.options)
	return host.startsWith('/') ? `${host}/.s.PGSQL.${port}` : `${host}:${port}`
}

interface ReadyOptions {
	deadlineMs?: number
	signal?: AbortSignal
}

const readyRules: OptionRules<ReadyOptions> = { deadlineMs: positiveMsOrInfinity, signal: abortSignal }
