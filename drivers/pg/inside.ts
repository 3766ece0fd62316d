/** What is behind a wrapped pool, for the wrappers of query builders that sit on top of it? Nothing for users. */
import type { AttemptState, Call } from '../../src/driver.ts'
import type { PgCore } from './core.ts'
import type { PgClient } from './shape.ts'
import type { PgTransaction, PgTransactionDriver } from './transaction.ts'

/** The parts that run the statements and transactions of one wrapped pool. */
export interface Inside {
	readonly core: PgCore
	/** What `runTransaction` needs of the pool. */
	readonly host: {
		readonly policy: PgCore['policy']
		readonly driver: PgTransactionDriver
		readonly attemptTimeoutMs: number | undefined
		acquire(call: Call): Promise<PgClient>
		scope(state: AttemptState<PgClient>): PgTransaction
	}
}

const insides = new WeakMap<object, Inside>()

export function keepInside(pool: object, inside: Inside): void {
	insides.set(pool, inside)
}

/** Undefined for a pool that is not wrapped. */
export const insideOf = (pool: object): Inside | undefined => insides.get(pool)
