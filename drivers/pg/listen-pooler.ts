/** Does whatever stands between us and the server give this connection's session to others? Then nothing that is listened to arrives. */
import { cut, execute } from './client.ts'
import type { PgCore } from './core.ts'
import { drop, type Link } from './listen-link.ts'

/**
 * Asks over a second connection which backend that has got. A pooler in transaction mode hands out the server connection that was used last,
 * so it is the one that has just been listened on; a session of our own nobody else can get. Where no answer comes, nothing is claimed.
 */
export async function sharesBackend(core: PgCore, { backend }: Link): Promise<boolean> {
	const call = core.call({ deadlineMs: core.policy.endpoint.probeTimeoutMs })
	try {
		const client = await core.acquire(call)
		// A pooler in session mode may have no second session to give.
		const stop = call.guard(() => cut(client))
		try {
			const { rows } = (await execute(client, 'SELECT pg_backend_pid() AS pid')) as { rows: { pid: unknown }[] }
			return rows[0]?.pid === backend
		} finally {
			stop()
			drop(core, client)
		}
	} catch {
		return false
	}
}
