/** Of which pool is the connection that is listened on? Of one of its own, made as the user's was, so that it takes none of its places. */
import type { PoolOptions } from '../../src/driver.ts'
import { poolLike } from './beside.ts'
import type { Listening } from './listen.ts'
import type { PgPool } from './shape.ts'

// One to listen on, and one for a moment, to look at what is in between. They do not age: a loss is a gap.
const limits = {
	max: 2,
	min: 0,
	idleTimeoutMillis: 1_000,
	maxLifetimeSeconds: 0,
	maxUses: Number.POSITIVE_INFINITY,
	allowExitOnIdle: false,
}

/** The options of the pool beside: LISTEN needs a server that takes writes, and its errors are dealt with here. */
export function forListening({ classify, enabled, hosts, onConnect, signal }: PoolOptions): PoolOptions {
	return { classify, enabled, hosts, onConnect, signal, target: hosts && 'primary', commit: 'off', halfOpenAfterMs: false }
}

/** A pool for it. */
export const poolToListen = (pool: PgPool, bare: PgPool): PgPool => poolLike(pool, bare, limits)

/** From now on `pool.end` ends what is listened to as well, and waits for its connection to be closed. */
export function endTogether(pool: PgPool, listening: Listening): void {
	const { end } = pool
	const value = function (this: PgPool, callback?: (error?: unknown) => void): unknown {
		const closed = listening.end()
		if (typeof callback === 'function') return end.call(pool, (error) => void closed.then(() => callback(error)))
		return Promise.all([end.call(pool), closed]).then(() => undefined)
	}
	Object.defineProperty(pool, 'end', { value, configurable: true, writable: true })
}
