/** What does a wrapped knex instance do that the bare one does not? `holdfast(knex)` puts a wrapped pool behind it; it holds no policy. */
import type { Knex } from 'knex'
import { checkPoolOptions, type PoolOptions, type QueryOptions, type Stats, show } from '../../src/driver.ts'
import type { MakeBackend } from './backend.ts'
import { graft, poolOfKnex } from './graft.ts'
import { Mysql2Backend } from './mysql2-backend.ts'
import type { OwnTransactionOptions } from './options.ts'
import { PgBackend } from './pg-backend.ts'
import { restingStats } from './resting.ts'
import { isKnex, type KnexInstance } from './shape.ts'

export {
	type Blocker,
	type Direction,
	MigrationBlockedError,
	MigrationInDoubtError,
	MigrationsLockedError,
} from './migrate/errors.ts'
export type { MigrateEvent } from './migrate/events.ts'
export { migrate } from './migrate/migrate.ts'
export type { MigrateOptions } from './migrate/options.ts'
export type { BatchResult, ListResult } from './migrate/run.ts'
export type { QueryOptions, Stats }

/** A connection of the driver's own, as knex types it: a client of pg, a callback connection of mysql2. */
type RawConnection = Awaited<ReturnType<Knex.Client['acquireRawConnection']>>

/** Options of `holdfast(knex, options)`. */
export interface HoldfastOptions extends PoolOptions {
	/**
	 * Prepares each new connection before anybody gets it, as that of `PoolOptions`; knex's own `pool.afterCreate` has run before. Awaited.
	 */
	onConnect?: ((connection: RawConnection) => unknown) | undefined
}

/** What the function of `knex.transaction` gets beside what knex gives it. */
export interface Transaction extends Knex.Transaction {
	/** Runs `callback` once, after the commit is certain; never for an attempt that was rolled back. */
	onCommit(callback: () => unknown): void
}

/** Options of one `knex.transaction(fn, config)`. */
export type TransactionConfig = Knex.TransactionConfig & OwnTransactionOptions

/** What `holdfast` adds to a knex instance. */
export interface HoldfastMethods {
	/**
	 * As knex's, and: on a transient fault the whole function runs again, in a new transaction; `idempotent`, `deadlineMs`, `signal` and
	 * `label` in the config; `trx.onCommit`. Rejects with an InDoubtError where a COMMIT was sent and its answer lost.
	 */
	transaction<T>(fn: (trx: Transaction) => Promise<T>, config?: TransactionConfig): Promise<T>
	readonly holdfast: {
		/** Counts since the instance was wrapped. */
		stats(): Stats
		/** Resolves when the database answers a query. Rejects with a DeadlineError, or at once with an error that waiting does not mend. */
		ready(options?: { deadlineMs?: number; signal?: AbortSignal }): Promise<void>
	}
}

export type HoldfastKnex<K extends Knex = Knex> = HoldfastMethods & K

/** By the name of knex's client. */
const backends: Readonly<Record<string, { readonly make: MakeBackend; readonly verifies: boolean }>> = {
	pg: { make: (...given) => new PgBackend(...given), verifies: true },
	cockroachdb: { make: (...given) => new PgBackend(...given), verifies: true },
	'pg-redshift': { make: (...given) => new PgBackend(...given), verifies: true },
	mysql2: { make: (...given) => new Mysql2Backend(...given), verifies: false },
}

/**
 * Wraps a knex instance: the same object, whose statements and transactions now run through restarts, failovers and conflicts.
 * An instance that is wrapped already is returned as it is. Throws a TypeError for anything but a knex instance of a client that is
 * supported, and for a bad option.
 */
export function holdfast<K extends Knex>(knex: K, options: HoldfastOptions = {}): HoldfastKnex<K> {
	if (!isKnex(knex)) throw new TypeError(`holdfast: knex must be an instance of knex (knex({ client, connection })), got ${show(knex)}`)
	const instance = knex as unknown as KnexInstance
	if (instance.isTransaction) throw new TypeError('holdfast: knex must be an instance, not one of its transactions')
	checkPoolOptions(options)
	const backend = backends[instance.client.driverName]
	if (backend === undefined)
		throw new TypeError(
			`holdfast: the client of knex must be one of ${Object.keys(backends).join(', ')}, got ${show(instance.client.driverName)}`,
		)
	if (options.commit === 'verify' && !backend.verifies)
		throw new TypeError(
			'commit must be a ledger made by commitLedger or \'off\' here: MySQL and MariaDB keep no record to verify a commit by, got "verify"',
		)
	if (Object.hasOwn(knex, 'holdfast')) return knex as unknown as HoldfastKnex<K>
	if (options.enabled !== false) graft(instance, options, backend.make)
	const value = {
		stats: () => poolOfKnex(instance)?.stats() ?? restingStats,
		ready: async (given?: object) => {
			const pool = poolOfKnex(instance)
			if (pool === undefined) await (knex as Knex).raw('SELECT 1')
			else await pool.ready(given)
		},
	}
	// Enumerable: knex copies it to the clones of `withUserParams`.
	Object.defineProperty(knex, 'holdfast', { value, configurable: true, enumerable: true })
	return knex as unknown as HoldfastKnex<K>
}
