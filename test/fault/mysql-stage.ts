/** What does a fault test on MySQL or MariaDB need? One real server behind a proxy, a wrapped pool, and the three questions asked at the end. */
import { createScheduler, type PoolOptions } from 'holdfast'
import { type HoldfastPool, holdfast } from 'holdfast/mysql2'
import mysql, { type PoolOptions as MysqlPoolOptions, type Pool } from 'mysql2/promise'
import { accidentMark } from '../support/leaks.ts'
import { type Flavour, type MysqlServer, startMysql } from '../support/mysql.ts'
import { type FaultProxy, startProxy } from '../support/proxy.ts'
import { until } from '../support/until.ts'

export type WrappedPool = HoldfastPool<Pool>

export interface MysqlStage {
	readonly server: MysqlServer
	readonly proxy: FaultProxy
	/** A promise pool that talks to the server through the proxy, wrapped, on a scheduler of this test. */
	wrap(options?: PoolOptions, config?: MysqlPoolOptions): WrappedPool
	/** Asks the server itself, as root, past the proxy. */
	ask<R = Record<string, unknown>>(text: string): Promise<R[]>
	/** Ends the pools and asserts that nothing is left: no connection, no accident in the process, no wait. */
	leaveNothing(): Promise<void>
	close(): Promise<void>
}

export async function mysqlStage(flavour: Flavour, settings: Record<string, string> = {}): Promise<MysqlStage> {
	const server = await startMysql({ flavour, settings })
	const proxy = await startProxy({ target: server, protocol: 'mysql' })
	let pools: WrappedPool[] = []
	let schedulers: ReturnType<typeof createScheduler>[] = []
	let accidents = accidentMark()
	return {
		server,
		proxy,
		wrap(options = {}, config = {}) {
			const scheduler = options.scheduler ?? createScheduler()
			schedulers.push(scheduler)
			const pool = holdfast(mysql.createPool({ ...server.config(), host: proxy.host, port: proxy.port, ...config }), {
				...options,
				scheduler,
			})
			pools.push(pool)
			return pool
		},
		ask: (text) => server.query(text),
		async leaveNothing() {
			const [ended, used] = [pools, schedulers]
			pools = []
			schedulers = []
			try {
				for (const pool of ended) await pool.end()
				await until(() => used.every((scheduler) => scheduler.stats().waits === 0), { what: 'no wait to be left on the scheduler' })
				await until(async () => (await server.connections()).length === 0, { what: 'no connection to be left on the server' })
				await accidents.assertNone()
			} finally {
				accidents.stop()
				accidents = accidentMark()
			}
		},
		async close() {
			accidents.stop()
			await proxy.close()
			await server.dispose()
		},
	}
}
