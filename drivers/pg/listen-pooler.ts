/** Does whatever stands between us and the server give this connection's session to others? Then nothing that is listened to arrives. */
import { cut, execute } from './client.ts'
import type { PgCore } from './core.ts'
import { drop, type Link, whoAmI } from './listen-link.ts'

// What a backend says of itself whose last statement is one of the link's, or that may not tell (PostgreSQL manual, "pg_stat_activity").
const oursOrHidden = (query: string): boolean => /^(LISTEN |UNLISTEN |<|$)/.test(query) || query === whoAmI

/**
 * Asks over a second connection. A pooler in transaction mode hands out the server connection that was used last: where nobody else is at
 * work, that is the one that has just been listened on; else somebody has used that one since. With a session of our own neither can be.
 * Where there is no answer, nothing is claimed.
 */
export async function sharesBackend(core: PgCore, { backend }: Link): Promise<boolean> {
	const call = core.call({ deadlineMs: core.policy.endpoint.probeTimeoutMs })
	try {
		const client = await core.acquire(call)
		// A pooler in session mode may have no second session to give.
		const stop = call.guard(() => cut(client))
		try {
			const lastOfIt = `(SELECT query FROM pg_stat_activity WHERE pid = ${Number(backend)})`
			const { rows } = (await execute(client, `SELECT pg_backend_pid() AS pid, ${lastOfIt} AS query`)) as {
				rows: { pid: unknown; query: string | null }[]
			}
			return rows.some(({ pid, query }) => pid === backend || !oursOrHidden(query ?? ''))
		} finally {
			stop()
			drop(core, client)
		}
	} catch {
		return false
	}
}
