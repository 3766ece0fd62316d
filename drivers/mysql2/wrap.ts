/** How is one callback pool of mysql2 wrapped? Its methods are replaced in place; whatever wraps it goes through them. */
import {
	abortSignal,
	addressOf,
	checkOptions,
	hostsOf,
	isOnce,
	type OptionRules,
	type PoolOptions,
	positiveMsOrInfinity,
	type TransactionOptions,
	type Wanted,
} from '../../src/driver.ts'
import { Beside } from './beside.ts'
import { commandMaker, ExecuteStatement, PlainStatement, queryStatement, snapshot, snapshotValues } from './command.ts'
import { Mysql2Core } from './core.ts'
import { faultOfInterrupt } from './interrupted.ts'
import { lend } from './lend.ts'
import { Mysql2Links } from './links.ts'
import { promisedQuery } from './promised.ts'
import type { Connections } from './query.ts'
import { isReadOnlyServer } from './read-only.ts'
import { faultOfRefusal } from './refused.ts'
import { Reads } from './replica.ts'
import type { ConnectionCallback, Mysql2Connection, Mysql2Pool, Mysql2PromisePool, QueryCallback } from './shape.ts'
import { Mysql2Source } from './source.ts'
import { type Transactions, tellOnce, transactionsOf } from './transact.ts'

/** What a wrapped pool has beside the methods of mysql2. */
export interface Added {
	readonly transaction: Transactions['transaction']
	readonly holdfast: { stats(): unknown; ready(options?: object): Promise<void> }
}

/** A wrapped pool, for what is made of several of them. */
export interface Wrapped {
	readonly core: Mysql2Core
	readonly transactions: Transactions
	readonly added: Added
	/** Gives a promise pool over it the methods that are not mysql2's. */
	wrapPromise(pool: Mysql2PromisePool): void
	/** Hears of every connection attempt that failed. */
	onFailure: ((error: unknown) => void) | undefined
}

const wrapped = new WeakMap<Mysql2Pool, Wrapped>()

/** Wraps the pool; one that is wrapped already is left as it is. `busyTimeoutMs` limits the wait for a busy pool; mysql2 itself has no such limit. */
export function wrapPool(pool: Mysql2Pool, options: PoolOptions, busyTimeoutMs?: number): Wrapped {
	const known = wrapped.get(pool)
	if (known !== undefined) return known
	const made = install(pool, options, busyTimeoutMs, undefined)
	wrapped.set(pool, made)
	addMethods(pool, made.added)
	return made
}

/** Gives the pool, or what stands for it, the methods that are not mysql2's. */
export function addMethods(pool: object, methods: object): void {
	if (Object.hasOwn(pool, 'holdfast')) return
	replace(pool, methods)
}

/** Defines methods on an object, as a class would. */
export function replace(pool: object, methods: object): void {
	for (const [name, value] of Object.entries(methods)) Object.defineProperty(pool, name, { value, configurable: true, writable: true })
}

/** What a pool stands beside, and what it is for. */
interface Place {
	readonly user: Mysql2Core
	readonly wanted: Wanted
}

/** `place`: it is a pool beside the user's. */
function install(pool: Mysql2Pool, options: PoolOptions, busyTimeoutMs: number | undefined, place: Place | undefined): Wrapped {
	const bare = Object.getPrototypeOf(pool) as Mysql2Pool
	const disabled = options.enabled === false
	const source = new Mysql2Source(pool, bare, disabled, {
		broken: (connection) => core.lost(connection),
		refused: (connection, error) => core.refusedWrite(connection, error),
		returned: () => core.returned(),
		discarded: () => {
			core.policy.counters.discarded += 1
		},
		failed: (error) => {
			// The server that came back may take no writes: reads that waited for it go on.
			if (isReadOnlyServer(error)) core.moveWaiting()
			made.onFailure?.(error)
		},
	})
	const { host, port, socketPath } = pool.config.connectionConfig
	const own = socketPath ?? addressOf({ host, port })
	// An endpoint of its own: to those who only read, a server that has turned read-only is well.
	const address = place === undefined ? own : `${own} (${place.wanted})`
	const hosts = disabled || options.hosts === undefined ? undefined : hostsOf(options.hosts, port)
	const search = hosts && { hosts, wanted: place?.wanted ?? options.target ?? 'primary' }
	const core: Mysql2Core = new Mysql2Core(
		pool,
		bare,
		{
			source,
			address,
			search,
			beside: place?.user,
			busyTimeoutMs,
			busyTimeoutError: () => new Error('No connections available.'),
			foundOut: (error, phase) => faultOfInterrupt(error, phase) ?? faultOfRefusal(error),
			links: new Mysql2Links(pool),
		},
		options,
	)
	// After a `resetOnRelease` it comes later than the call; with Holdfast off nothing else tells. Otherwise its users count the listeners.
	if (disabled || pool.config.resetOnRelease === true) {
		pool.on('release', () => {
			if (core.waiting > 0) process.nextTick(() => core.returned())
		})
	}
	core.readsOnly = (search?.wanted ?? place?.wanted ?? 'primary') !== 'primary'
	const transactions = transactionsOf(core, options)
	core.isBeside = place !== undefined
	const others =
		disabled || core.isBeside
			? undefined
			: new Beside(core, pool, bare, search?.wanted, (like, wanted) =>
					install(like, { ...options, scheduler: core.policy.scheduler }, busyTimeoutMs, { user: core, wanted }),
				)
	core.places = others
	const transaction: Transactions['transaction'] = async (fn, given) =>
		(others?.transactionsFor((given as TransactionOptions | undefined)?.readOnly === true) ?? transactions).transaction(fn, given)
	const added: Added = { transaction, holdfast: { stats: () => core.stats(), ready: readyOf(core) } }
	const connectionsFor = connectionsOf(core, others)
	const wrapPromise = (promisePool: Mysql2PromisePool) => {
		if (Object.hasOwn(promisePool, 'holdfast')) return
		replace(promisePool, added)
		if (methods !== undefined) replace(promisePool, { query: promisedQuery(promisePool, inside) })
	}
	const methods = disabled ? undefined : replacedMethods({ pool, core, source, bare, transactions, others, connectionsFor, wrapPromise })
	const inside = {
		// One that somebody has put over the pool's is not passed by. Without a text mysql2 has its own words.
		takes: (sql: unknown) => pool.query === methods?.query && !core.ending && Boolean(sql) && !isOnce(sql),
		run(sql: unknown, values: unknown, done: QueryCallback) {
			const said = snapshot(sql)
			new PlainStatement(connectionsFor(said), said, snapshotValues(values), done).run()
		},
	}
	const made: Wrapped = { core, transactions, added, wrapPromise, onFailure: undefined }
	if (methods !== undefined) replace(pool, methods)
	return made
}

/** Resolves when a query is answered. */
export function readyOf(connections: Connections): (options?: object) => Promise<void> {
	return async (options = {}) => {
		checkOptions<ReadyOptions>('ready', options, readyRules)
		const sql = { sql: 'SELECT 1', ...options }
		await new Promise((resolve, reject) => {
			new PlainStatement(connections, sql, undefined, (error) => (error === null ? resolve(undefined) : reject(error))).run()
		})
	}
}

/** Where the connections of a statement come from, by what it says. */
function connectionsOf(core: Mysql2Core, others: Beside | undefined): (said: unknown) => Connections {
	const reads = others && new Reads(core, others)
	return (said) => reads?.connectionsFor(said) ?? core
}

/** The parts of a wrapped pool. */
interface Parts {
	readonly pool: Mysql2Pool
	readonly core: Mysql2Core
	readonly source: Mysql2Source
	readonly bare: Mysql2Pool
	readonly transactions: Transactions
	readonly others: Beside | undefined
	connectionsFor(said: unknown): Connections
	wrapPromise(pool: Mysql2PromisePool): void
}

/** The methods of mysql2 that a wrapped pool answers itself. */
function replacedMethods({ pool, core, source, bare, transactions, others, connectionsFor, wrapPromise }: Parts): Partial<Mysql2Pool> {
	const { forBorrowers } = transactions
	const once: Transactions['once'] = (...given) => (others?.transactionsFor(false) ?? transactions).once(...given)
	const makeCommand = commandMaker(bare.query, pool.config)
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
			const given = typeof values === 'function' ? undefined : snapshotValues(values)
			const said = snapshot(sql)
			const command = makeCommand(said, given, done)
			if (isOnce(said)) return tellOnce(once('query', said, given), command, done)
			queryStatement(connectionsFor(said), command, said, given, done).run()
			return command
		},
		execute(sql: unknown, values?: unknown, callback?: QueryCallback) {
			if (core.ending) return bare.execute.call(pool, sql, values, callback)
			const done = typeof values === 'function' ? (values as QueryCallback) : callback
			const given = typeof values === 'function' ? [] : snapshotValues(values)
			const said = snapshot(sql)
			if (isOnce(said)) return tellOnce(once('execute', said, given), undefined, done)
			new ExecuteStatement(connectionsFor(said), said, given, done as QueryCallback).run()
			return undefined
		},
		promise(Kind?: PromiseConstructor): Mysql2PromisePool {
			const promisePool = bare.promise.call(pool, Kind)
			wrapPromise(promisePool)
			return promisePool
		},
		end(callback?: (error?: unknown) => void) {
			const end = () => bare.end.call(pool, callback)
			core.endThen(() => (others === undefined ? end() : others.end(end)))
		},
	}
}

interface ReadyOptions {
	deadlineMs?: number
	signal?: AbortSignal
}

const readyRules: OptionRules<ReadyOptions> = { deadlineMs: positiveMsOrInfinity, signal: abortSignal }
