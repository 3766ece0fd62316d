/** What does a fault test need? One real server behind a proxy, a wrapped pool, and the three questions asked at the end. */

import { createScheduler } from 'holdfast'
import { type HoldfastOptions, type HoldfastPool, holdfast } from 'holdfast/pg'
import pg from 'pg'
import { accidentMark } from '../support/leaks.ts'
import { type PostgresServer, startPostgres } from '../support/postgres.ts'
import { type FaultProxy, startProxy } from '../support/proxy.ts'
import { until } from '../support/until.ts'

export interface Stage {
	readonly server: PostgresServer
	readonly proxy: FaultProxy
	/** A pool that talks to the server through the proxy, wrapped, on a scheduler of this test. */
	wrap(options?: HoldfastOptions, config?: pg.PoolConfig): HoldfastPool
	/** Asks the server itself, past the proxy. */
	ask<R extends pg.QueryResultRow = pg.QueryResultRow>(text: string): Promise<R[]>
	/** Ends the pools and asserts that nothing is left: no backend, no accident in the process, no wait. */
	leaveNothing(): Promise<void>
	close(): Promise<void>
}

export async function stage(settings: Record<string, string> = {}, major: 14 | 16 | 18 = 18): Promise<Stage> {
	const server = await startPostgres({ major, settings })
	const proxy = await startProxy({ target: server, protocol: 'postgres' })
	let pools: HoldfastPool[] = []
	let schedulers: ReturnType<typeof createScheduler>[] = []
	let accidents = accidentMark()
	const staged: Stage = {
		server,
		proxy,
		wrap(options = {}, config = {}) {
			const scheduler = options.scheduler ?? createScheduler()
			schedulers.push(scheduler)
			const pool = holdfast(
				new pg.Pool({ ...server.config(), host: proxy.host, port: proxy.port, application_name: 'under test', ...config }),
				{ ...options, scheduler },
			)
			pools.push(pool)
			return pool
		},
		async ask<R extends pg.QueryResultRow>(text: string) {
			const client = new pg.Client(server.config())
			await client.connect()
			try {
				return (await client.query<R>(text)).rows
			} finally {
				await client.end()
			}
		},
		async leaveNothing() {
			for (const pool of pools) if (!pool.ending) await pool.end()
			for (const pool of pools) if (pool.totalCount + pool.waitingCount > 0) throw new Error('the pool still has clients or waiters')
			await until(() => schedulers.every((scheduler) => scheduler.stats().waits === 0), { what: 'no wait to be left on the scheduler' })
			const left = "SELECT count(*)::int AS n FROM pg_stat_activity WHERE application_name = 'under test'"
			await until(async () => (await staged.ask<{ n: number }>(left))[0]?.n === 0, { what: 'no backend to be left on the server' })
			await accidents.assertNone()
			accidents.stop()
			accidents = accidentMark()
			pools = []
			schedulers = []
		},
		async close() {
			accidents.stop()
			await proxy.close()
			await server.dispose()
		},
	}
	return staged
}
