/** What does a wrapped knex instance do that the bare one does not? `holdfast(knex)` puts a wrapped pool behind it; it holds no policy. */
import type { Knex } from 'knex'
import { checkPoolOptions, type PoolOptions, type Stats, show } from '../../src/driver.ts'
import type { MakeBackend } from './backend.ts'
import { graft, isGrafted, poolOfKnex } from './graft.ts'
import type { OwnTransactionOptions, QueryOptions } from './options.ts'
import { PgBackend } from './pg-backend.ts'
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
export type { PoolOptions as HoldfastOptions, QueryOptions, Stats }

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
		/** Counts since the instance was wrapped. Undefined before the first connection where `connection` is a function. */
		stats(): Stats
		/** Resolves when the database answers a query. Rejects with a DeadlineError, or at once with an error that waiting does not mend. */
		ready(options?: { deadlineMs?: number; signal?: AbortSignal }): Promise<void>
	}
}

export type HoldfastKnex<K extends Knex = Knex> = K & HoldfastMethods

const backends: Readonly<Record<string, MakeBackend>> = {
	pg: (...given) => new PgBackend(...given),
	cockroachdb: (...given) => new PgBackend(...given),
	'pg-redshift': (...given) => new PgBackend(...given),
}

/**
 * Wraps a knex instance: the same object, whose statements and transactions now run through restarts, failovers and conflicts.
 * An instance that is wrapped already is returned as it is. Throws a TypeError for anything but a knex instance of a client that is
 * supported, and for a bad option.
 */
export function holdfast<K extends Knex>(knex: K, options: PoolOptions = {}): HoldfastKnex<K> {
	if (!isKnex(knex)) throw new TypeError(`holdfast: knex must be an instance of knex (knex({ client, connection })), got ${show(knex)}`)
	const instance = knex as unknown as KnexInstance
	if (instance.isTransaction) throw new TypeError('holdfast: knex must be an instance, not one of its transactions')
	checkPoolOptions(options)
	const make = backends[instance.client.driverName]
	if (make === undefined)
		throw new TypeError(
			`holdfast: the client of knex must be one of ${Object.keys(backends).join(', ')}, got ${show(instance.client.driverName)}`,
		)
	if (!isGrafted(instance)) {
		graft(instance, options, make)
		const value = {
			stats: () => poolOfKnex(instance)?.stats(),
			ready: async (given?: object) => poolOfKnex(instance)?.ready(given),
		}
		// Enumerable: knex copies it to the clones of `withUserParams`.
		Object.defineProperty(knex, 'holdfast', { value, configurable: true, enumerable: true })
	}
	return knex as unknown as HoldfastKnex<K>
}
