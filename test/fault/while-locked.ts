/** How is a statement kept running on PostgreSQL until the test says so? It waits for a table that somebody else has locked. */
import pg from 'pg'
import type { PostgresServer } from '../support/postgres.ts'
import { until } from '../support/until.ts'

/** Resolves with the backends that wait for the table, once there are so many. */
export type Waiting = (count: number) => Promise<number[]>

/** Nobody else reads or writes the table while `work` runs. */
export async function whileLocked(server: PostgresServer, table: string, work: (waiting: Waiting) => Promise<void>): Promise<void> {
	const holder = new pg.Client(server.config())
	await holder.connect()
	try {
		await holder.query(`BEGIN; LOCK TABLE ${table}`)
		// Asked in the holder's transaction, the view would say the same each time.
		const waiters = "SELECT pid FROM pg_stat_activity WHERE wait_event_type = 'Lock'"
		await work((count) =>
			until(
				async () => {
					const pids = (await server.query<{ pid: number }>(waiters)).map(({ pid }) => pid)
					return pids.length >= count && pids
				},
				{ what: `${count} statements to wait for the table` },
			),
		)
	} finally {
		await holder.end()
	}
}
