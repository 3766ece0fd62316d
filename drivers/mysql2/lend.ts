/** How does a connection get to a borrower of `pool.getConnection()`? What comes back is checked by the core. */
import type { Mysql2Core } from './core.ts'
import type { ConnectionCallback } from './shape.ts'

/** Borrows a connection: one that is alive, of this side of the last outage, and with no transaction open on it. */
export function lend(core: Mysql2Core, callback: ConnectionCallback): void {
	const { deadlineAtMs, signal } = core.call({})
	core.borrow({
		deadlineAtMs,
		signal,
		done: (error, connection) => {
			if (connection === undefined) callback(error)
			else callback(null, connection)
		},
	})
}
