/** When does a mysql2 pool close connections that nobody uses? As tarn does: after `idleTimeoutMillis`, but `min` of them stay. */
import type { Mysql2Core } from '../mysql2/core.ts'
import type { Mysql2Connection, Mysql2Pool } from '../mysql2/shape.ts'

/** mysql2's own limit closes all that is idle, or all beyond a number at once. Returns the function that ends the watch. */
export function watchIdle(pool: Mysql2Pool, core: Mysql2Core, min: number, idleTimeoutMs: number): () => void {
	const { wakeUps, clock } = core.policy.scheduler
	const idleSinceMs = new WeakMap<Mysql2Connection, number>()
	let wakeUp: ReturnType<typeof wakeUps.at> | undefined
	// The first has been idle the longest: connections are taken from the other end.
	const oldest = () => pool._freeConnections.get(0)
	const look = () => {
		wakeUp = undefined
		for (;;) {
			const connection = oldest()
			if (connection === undefined || pool._allConnections.length <= min) return
			const closeAtMs = (idleSinceMs.get(connection) ?? clock.now()) + idleTimeoutMs
			if (closeAtMs > clock.now()) {
				wakeUp = wakeUps.at(closeAtMs, look)
				return
			}
			connection.destroy()
		}
	}
	pool.on('release', (connection: Mysql2Connection) => {
		idleSinceMs.set(connection, clock.now())
		if (wakeUp === undefined && pool._allConnections.length > min) wakeUp = wakeUps.at(clock.now() + idleTimeoutMs, look)
	})
	return () => wakeUps.cancel(wakeUp)
}
