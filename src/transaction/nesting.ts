/** Was `transaction` called on the pool inside a transaction of the same pool? It would wait for a second connection while it holds the first. */
import { AsyncLocalStorage } from 'node:async_hooks'
import { HoldfastError } from '../errors.ts'

/** What runs: a transaction's handle. */
interface Running {
	readonly usable: boolean
}

// From Node.js 24 on (changelog of 24.0.0, "AsyncLocalStorage now uses AsyncContextFrame") looking costs nothing. Before that, the first use
// turns on hooks for every promise of the process, whoever made it: measured, 5 to 8 % of the throughput of short transactions, ours and
// those of a bare pool beside us. A nested call is a mistake in the program that shows the first time its lines run, so there we stop looking.
const looksFor = Number(process.versions.node.split('.')[0]) >= 24 ? Number.POSITIVE_INFINITY : 200

/** One pool's looking. */
interface Nesting {
	looks: number
	readonly running: AsyncLocalStorage<Running>
}

const pools = new WeakMap<object, Nesting>()

/** Throws when the caller is inside a transaction of this pool. */
export function refuseNesting(pool: object): void {
	const nesting = pools.get(pool) ?? { looks: looksFor, running: new AsyncLocalStorage<Running>() }
	pools.set(pool, nesting)
	if (nesting.looks <= 0) return
	if (nesting.running.getStore()?.usable) {
		throw new HoldfastError(
			'HOLDFAST_TRANSACTION_CONTROL',
			'transaction() was called on the pool inside a transaction of the same pool: use tx.transaction(fn) for a savepoint.',
		)
	}
	nesting.looks -= 1
	if (nesting.looks <= 0) nesting.running.disable()
}

/** Calls `fn` as part of a transaction of this pool. */
export function runInside<R>(pool: object, tx: Running, fn: () => R): R {
	const nesting = pools.get(pool)
	return nesting !== undefined && nesting.looks > 0 ? nesting.running.run(tx, fn) : fn()
}
