/** How is one callback pool of mysql2 wrapped? Its methods are replaced in place; whatever wraps it goes through them. */
import { abortSignal, checkOptions, hostsOf, isOnce, type OptionRules, type PoolOptions, positiveMsOrInfinity } from '../../src/driver.ts'
import { commandMaker, executeWork, QueryWork, rowsWork, snapshot } from './command.ts'
import { Mysql2Core } from './core.ts'
import { faultOfInterrupt } from './interrupted.ts'
import { lend } from './lend.ts'
import { Mysql2Links } from './links.ts'
import { type Connections, Statement } from './query.ts'
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
	/** Hears of every connection attempt that failed. */
	onFailure: ((error: unknown) => void) | undefined
}

const wrapped = new WeakMap<Mysql2Pool, Wrapped>()

/** Wraps the pool; one that is wrapped already is left as it is. `busyTimeoutMs` limits the wait for a busy pool; mysql2 itself has no such limit. */
export function wrapPool(pool: Mysql2Pool, options: PoolOptions, busyTimeoutMs?: number): Wrapped {
	const known = wrapped.get(pool)
	if (known !== undefined) return known
	const made = install(pool, options, busyTimeoutMs)
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

function install(pool: Mysql2Pool, options: PoolOptions, busyTimeoutMs: number | undefined): Wrapped {
	const bare = Object.getPrototypeOf(pool) as Mysql2Pool
	const disabled = options.enabled === false
	const source = new Mysql2Source(pool, bare, disabled, {
		broken: (connection) => core.lost(connection),
		returned: () => core.returned(),
		discarded: () => {
			core.policy.counters.discarded += 1
		},
		failed: (error) => made.onFailure?.(error),
	})
	const { host, port, socketPath } = pool.config.connectionConfig
	const hosts = disabled || options.hosts === undefined ? undefined : hostsOf(options.hosts, port)
	const core: Mysql2Core = new Mysql2Core(
		pool,
		bare,
		{
			source,
			address: socketPath ?? `${host}:${port}`,
			search: hosts && { hosts, wanted: options.target ?? 'primary' },
			busyTimeoutMs,
			busyTimeoutError: () => new Error('No connections available.'),
			foundOut: faultOfInterrupt,
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
	const transactions = transactionsOf(core, options)
	const added: Added = { transaction: transactions.transaction, holdfast: { stats: () => core.stats(), ready: readyOf(core) } }
	const made: Wrapped = { core, transactions, added, onFailure: undefined }
	if (!disabled) replace(pool, replacedMethods(pool, core, source, bare, added, transactions))
	return made
}

/** Resolves when a query is answered. */
export function readyOf(connections: Connections): (options?: object) => Promise<void> {
	return async (options = {}) => {
		checkOptions<ReadyOptions>('ready', options, readyRules)
		const sql = { sql: 'SELECT 1', ...options }
		await new Promise((resolve, reject) => {
			new Statement(connections, {
				sql,
				timed: true,
				begun: () => false,
				start: (connection, done) => void connection.query(sql, undefined, done),
				done: (_served, error) => (error === null ? resolve(undefined) : reject(error)),
			}).run()
		})
	}
}

/** The methods of mysql2 that a wrapped pool answers itself. */
function replacedMethods(
	pool: Mysql2Pool,
	core: Mysql2Core,
	source: Mysql2Source,
	bare: Mysql2Pool,
	added: Added,
	{ once, forBorrowers }: Transactions,
): Partial<Mysql2Pool> {
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
			const given = typeof values === 'function' ? undefined : values
			const command = makeCommand(sql, given, done)
			const said = snapshot(sql)
			if (isOnce(said)) return tellOnce(once('query', said, given), command, done)
			new Statement(core, done === undefined ? rowsWork(command, said, given) : new QueryWork(command, said, given, done)).run()
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
			addMethods(promisePool, added)
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
