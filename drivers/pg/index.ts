/** What does a wrapped pg pool do that the bare one does not? `holdfast(pool)` installs the methods; it holds no policy. */
import type { ClientBase, Pool, QueryConfig, QueryResult, QueryResultRow } from 'pg'
import {
	type AttemptState,
	abortSignal,
	type Call,
	checkOptions,
	checkPoolOptions,
	isOnce,
	type OnceQuery,
	type OptionRules,
	ownOptions,
	type PoolOptions,
	positiveMs,
	positiveMsOrInfinity,
	type QueryOptions,
	rejection,
	runTransaction,
	type Stats,
	show,
	type TransactionOptions,
} from '../../src/driver.ts'
import { endWith } from './beside.ts'
import type { PgCore } from './core.ts'
import { type Inside, insideOf, keepInside } from './inside.ts'
import { LedgerWitness } from './ledger.ts'
import { lend } from './lend.ts'
import { Listening, type Unlisten } from './listen.ts'
import type { Notification } from './listen-link.ts'
import { endTogether, forListening, poolToListen } from './listen-pool.ts'
import { makeCore } from './make-core.ts'
import { CallbackStatement, PromisedStatement, snapshot, snapshotValues } from './query.ts'
import { type ReadOptions, Reads, type Routed } from './replica.ts'
import { type ConnectCallback, isPgPool, type PgClient, type PgPool, type QueryCallback, type Submittable } from './shape.ts'
import { refusePending } from './source.ts'
import { bareMethods, installMethods, overrides, type PoolMethods } from './subclass.ts'
import { runSubmittable } from './submittable.ts'
import type { Gap, ListenOptions } from './subscription.ts'
import { PgTransaction, PgTransactionDriver } from './transaction.ts'
import type { Witness } from './witness.ts'
import { XactWitness } from './xact.ts'

export type { Gap, ListenOptions, Notification, QueryOptions, ReadOptions, Stats, TransactionOptions, Unlisten }

/** Options of `holdfast(pool, options)`. */
export interface HoldfastOptions extends PoolOptions {
	/** Prepares each new connection before anybody gets it, as that of `PoolOptions`. Awaited; it must not release the client. */
	onConnect?: ((client: ClientBase) => unknown) | undefined
	/** How often the connection of `listen` is asked whether it lives, in milliseconds. Default 5,000. */
	listenCheckMs?: number | undefined
}

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
	/** As pg's, and: `idempotent`, `exactlyOnce`, `deadlineMs`, `signal`, `label`, `priority`, `target`, `maxLagMs` and `readYourWrites` in the config object. */
	query<R extends QueryResultRow = QueryResultRow>(
		config: QueryConfig & QueryOptions & ReadOptions,
		values?: unknown[],
	): Promise<QueryResult<R>>
	/** A statement that says where it may go: `pool.query('SELECT …', { target: 'replica', maxLagMs: 1_000 })`. */
	query<R extends QueryResultRow = QueryResultRow>(text: string | QueryConfig, options: QueryOptions & ReadOptions): Promise<QueryResult<R>>
	query<R extends QueryResultRow = QueryResultRow>(
		text: string | QueryConfig,
		values: unknown[] | undefined,
		options: QueryOptions & ReadOptions,
	): Promise<QueryResult<R>>
	/**
	 * Runs `fn` in a transaction and resolves with its value once the commit is certain. On a transient fault the whole function runs
	 * again, in a new transaction. Rejects with the error of the function or of the database; with an InDoubtError where a COMMIT was
	 * sent and its answer lost.
	 */
	transaction<R>(fn: (tx: Transaction) => Promise<R>, options?: TransactionOptions): Promise<R>
	/**
	 * Calls `handler` with each notification of a channel, from when it resolves until the function that it resolves with is called. The
	 * name is taken as it is: `listen('Jobs', …)` hears `NOTIFY "Jobs"` and `pg_notify('Jobs', …)`. All channels share one connection beside the
	 * pool; when that is lost, another one takes its place and `onGap` is called. Throws a TypeError or RangeError for bad arguments; rejects
	 * with a DeadlineError, or at once with an error that waiting does not mend.
	 */
	listen(channel: string, handler: (notification: Notification) => unknown, options?: ListenOptions): Promise<Unlisten>
	readonly holdfast: {
		/** Counts since the pool was wrapped. */
		stats(): Stats
		/** Resolves when the database answers a query. Rejects with a DeadlineError, or at once with an error that waiting does not mend. */
		ready(options?: { deadlineMs?: number; signal?: AbortSignal }): Promise<void>
	}
}

export type HoldfastPool<P extends Pool = Pool> = P & HoldfastMethods

const defaultListenCheckMs = 5_000
const wrapped = new WeakSet<object>()

/**
 * Wraps a pool of `pg`: the same object, whose calls now run through restarts, failovers and conflicts.
 * A pool that is wrapped already is returned as it is. Throws a TypeError for anything but a pg pool, and for a bad option.
 */
export function holdfast<P extends Pool>(pool: P, options: HoldfastOptions = {}): HoldfastPool<P> {
	if (!isPgPool(pool)) throw new TypeError(`holdfast: pool must be a pool of pg (new pg.Pool()), got ${show(pool)}`)
	checkPoolOptions(options, { listenCheckMs: positiveMs })
	if (!wrapped.has(pool)) {
		install(pool, options)
		wrapped.add(pool)
	}
	return pool as unknown as HoldfastPool<P>
}

function install(pool: PgPool, options: HoldfastOptions): void {
	const bare = bareMethods(pool)
	const disabled = options.enabled === false
	const core = makeCore(pool, bare, options)
	const host = {
		policy: core.policy,
		driver: new PgTransactionDriver(
			core,
			witnessOf(options, () => core.doubt()),
		),
		attemptTimeoutMs: core.attemptTimeoutMs,
		acquire: (call: Call, given?: TransactionOptions) => core.acquireFor(call, given?.readOnly === true),
		scope: (state: AttemptState<PgClient>) => new PgTransaction(state, core),
	}
	keepInside(pool, { core, host })
	const transact = <R>(fn: (tx: PgTransaction) => Promise<R>, given?: TransactionOptions) => runTransaction(host, fn, given)
	const once = (query: OnceQuery, values: unknown) => {
		if (options.commit === 'off')
			throw new TypeError("exactlyOnce needs commit: 'verify' or a commitLedger, and this pool has commit: 'off'")
		const { deadlineMs, signal, label, priority } = ownOptions(query)
		const given = snapshot(query) as OnceQuery
		const givenValues = snapshotValues(values)
		return transact(async (tx) => tx.query(given, givenValues), { deadlineMs, signal, label, priority })
	}
	if (!disabled) {
		countWaiting(pool, bare, core)
		installMethods(pool, replacedMethods(pool, core, bare, host.driver, once))
		if (overrides(pool, 'connect')) core.override = (callback) => pool.connect(callback)
	}
	const listening = new Listening(core, options.listenCheckMs ?? defaultListenCheckMs, () => {
		const beside = poolToListen(pool, bare)
		install(beside, { ...forListening(options), scheduler: core.policy.scheduler })
		endTogether(pool, listening)
		return { core: (insideOf(beside) as Inside).core, end: async () => beside.end() }
	})
	const listen = (...given: Parameters<Listening['listen']>) => {
		// The end of a pool with `enabled: false` is that of pg itself.
		if (pool.ending) void listening.end()
		return listening.listen(...given)
	}
	for (const [name, value] of Object.entries({ ...addedMethods(core, transact), listen }))
		Object.defineProperty(pool, name, { value, configurable: true, writable: true })
}

function witnessOf({ commit = 'verify' }: PoolOptions, epochChanged: () => void): Witness | undefined {
	if (commit === 'off') return undefined
	return commit === 'verify' ? new XactWitness(epochChanged) : new LedgerWitness(commit)
}

/** What a wrapped pool has beside the methods of pg. */
function addedMethods(core: PgCore, transaction: object): object {
	return {
		transaction,
		holdfast: {
			stats: () => core.stats(),
			ready: async (options: object = {}) => {
				checkOptions<ReadyOptions>('ready', options, readyRules)
				await new Promise((resolve) => new PromisedStatement(core, { text: 'SELECT 1', ...options }, undefined, resolve).run())
			},
		},
	}
}

/** The methods of pg that a wrapped pool answers itself. */
function replacedMethods(
	pool: PgPool,
	core: PgCore,
	bare: PgPool,
	driver: PgTransactionDriver,
	once: (query: OnceQuery, values: unknown) => Promise<unknown>,
): PoolMethods {
	const reads = new Reads(core)
	return {
		connect: (callback?: unknown) => {
			if (pool.ending) return bare.connect.call(pool, callback as ConnectCallback)
			if (typeof callback === 'function') return lend(core, driver, callback as ConnectCallback)
			return promised(pool.Promise, (done) => lend(core, driver, (error, client) => done(error, client)))
		},
		query: (text: unknown, values?: unknown, callback?: unknown) => {
			const last = typeof values === 'function' ? values : callback
			const done = typeof last === 'function' ? (last as QueryCallback) : undefined
			const given = typeof values === 'function' ? undefined : values
			if (pool.ending || typeof text === 'function') return bare.query.call(pool, text, values, callback)
			if (typeof (text as Submittable | null | undefined)?.submit === 'function') {
				const promise = runSubmittable(core, text as Submittable, done)
				return done === undefined ? promise : undefined
			}
			let routed: Routed | undefined
			try {
				routed = reads.routed(text, given, callback)
			} catch (error) {
				if (done !== undefined) throw error
				return (pool.Promise ?? Promise).reject(error)
			}
			if (routed !== undefined && !isOnce(routed.config)) {
				if (done !== undefined) return reads.run(routed, done)
				return promised(pool.Promise, (settled) => reads.run(routed, settled))
			}
			if (isOnce(text))
				return settleInto(
					done,
					promised(pool.Promise, (settled) => settleInto(settled, once(text, given))),
				)
			if (done !== undefined) return new CallbackStatement(core, text, given, done).run()
			return new (pool.Promise ?? Promise)((resolve) => new PromisedStatement(core, text, given, resolve).run())
		},
		end: (callback?: unknown) => {
			core.end()
			refusePending(pool)
			return endWith(core.beside, (done) => bare.end.call(pool, done), callback as (error?: unknown) => void)
		},
	}
}

/** Without a callback the promise is the answer; with one, the callback. */
function settleInto(done: QueryCallback | undefined, promise: Promise<unknown>): Promise<unknown> | undefined {
	if (done === undefined) return promise
	promise.then(
		(result) => done(null, result),
		(error) => done(error),
	)
	return undefined
}

/** A promise of the pool's own kind, whose errors point at the caller. */
function promised(Kind: PromiseConstructor | undefined, start: (done: QueryCallback) => void): Promise<unknown> {
	return new (Kind ?? Promise)((resolve) =>
		start((error, result) => resolve(error === null || error === undefined ? result : rejection(error))),
	)
}

/** Callers that wait at the gate count as well. Those that wait for an idle connection stand in both queues for a moment. */
function countWaiting(pool: PgPool, bare: PgPool, core: PgCore): void {
	const own = Object.getOwnPropertyDescriptor(bare, 'waitingCount')?.get
	const get = () => Math.max(core.waiting, (own?.call(pool) as number | undefined) ?? 0)
	Object.defineProperty(pool, 'waitingCount', { configurable: true, get })
}

interface ReadyOptions {
	deadlineMs?: number
	signal?: AbortSignal
}

const readyRules: OptionRules<ReadyOptions> = { deadlineMs: positiveMsOrInfinity, signal: abortSignal }
