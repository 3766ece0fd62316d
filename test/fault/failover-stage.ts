/** What do tests of failover share? A cluster of real servers, a proxy in front of each, wrapped pools, and nothing left at the end. */
import { createScheduler } from 'holdfast'
import { type HoldfastOptions, type HoldfastPool, holdfast } from 'holdfast/pg'
import pg from 'pg'
import { afterAll, afterEach, beforeAll, beforeEach } from 'vitest'
import { accidentMark, assertNoBackends } from '../support/leaks.ts'
import type { PostgresServer } from '../support/postgres.ts'
import { type ClusterOptions, type PostgresCluster, startPostgresCluster } from '../support/postgres-cluster.ts'
import { type FaultProxy, startProxy } from '../support/proxy.ts'
import { until } from '../support/until.ts'

export interface FailoverStage {
	readonly cluster: PostgresCluster
	/** The primary and the replicas of this moment. */
	primary: PostgresServer
	replica: PostgresServer
	/** The proxy in front of a server. */
	proxyOf(server: PostgresServer): FaultProxy
	/** All of them, as `hosts`. */
	hosts(): { host: string; port: number }[]
	/** A pool with these hosts by default, wrapped, on a scheduler of its own. */
	wrap(options?: HoldfastOptions, config?: pg.PoolConfig): HoldfastPool
	/** Kills the primary, promotes the replica, and makes the stage say so. */
	failOver(): Promise<void>
	/** Makes the server that was killed the replica of the primary. */
	comeBack(server: PostgresServer): Promise<void>
	/** How many rows the table `written (id int)` has at this server, by default the primary. */
	rows(server?: PostgresServer): Promise<number>
}

/** Registers the hooks. The stage is there once `beforeAll` has run; every test begins with a primary and its replica. */
export function onFailoverStage(options: ClusterOptions = {}): FailoverStage {
	const proxies = new Map<PostgresServer, FaultProxy>()
	let pools: HoldfastPool[] = []
	let schedulers: ReturnType<typeof createScheduler>[] = []
	let accidents = accidentMark()
	let killed: PostgresServer | undefined
	const at = {
		proxyOf: (server) => proxies.get(server) as FaultProxy,
		hosts: () => [...proxies.values()].map(({ host, port }) => ({ host, port })),
		wrap(given = {}, config = {}) {
			const scheduler = given.scheduler ?? createScheduler()
			schedulers.push(scheduler)
			const { user, database } = at.primary.config()
			const pool = holdfast(new pg.Pool({ user, database, port: 1, application_name: 'under test', ...config }), {
				hosts: at.hosts(),
				...given,
				scheduler,
			})
			pools.push(pool)
			return pool
		},
		async failOver() {
			killed = at.primary
			await at.primary.kill()
			await at.cluster.promote(at.replica)
			;[at.primary, at.replica] = [at.replica, at.primary]
		},
		async comeBack(server) {
			await at.cluster.follow(server, at.primary)
			if (killed === server) killed = undefined
		},
		rows: async (server = at.primary) => (await server.query<{ n: number }>('SELECT count(*)::int AS n FROM written'))[0]?.n as number,
	} as FailoverStage
	beforeAll(async () => {
		const cluster = await startPostgresCluster(options)
		for (const node of cluster.nodes) proxies.set(node, await startProxy({ target: node, protocol: 'postgres' }))
		Object.assign(at, { cluster, primary: cluster.nodes[0], replica: cluster.nodes[1] })
	}, 60_000)
	afterAll(async () => {
		accidents.stop()
		for (const proxy of proxies.values()) await proxy.close()
		await at.cluster.dispose()
	})
	beforeEach(async () => {
		if (killed !== undefined) await at.comeBack(killed)
		await at.primary.query('DROP TABLE IF EXISTS written; CREATE TABLE written (id int)')
		await at.cluster.caughtUp(at.replica, at.primary)
		for (const proxy of proxies.values()) {
			await proxy.accept()
			proxy.resetCounters()
		}
	})
	afterEach(async () => {
		for (const proxy of proxies.values()) {
			proxy.swallow('both', false)
			await proxy.accept()
		}
		const [ended, used] = [pools, schedulers]
		pools = []
		schedulers = []
		try {
			for (const pool of ended) if (!pool.ending) await pool.end()
			for (const pool of ended) if (pool.totalCount + pool.waitingCount > 0) throw new Error('the pool still has clients or waiters')
			const left = () => used.flatMap((scheduler) => scheduler.stats().endpoints.map(({ address }) => address))
			await until(() => used.every((scheduler) => scheduler.stats().waits === 0), { what: 'no wait to be left on the scheduler' })
			await until(() => left().length === 0, { what: `no endpoint to be left: ${left()}` })
			for (const node of at.cluster.nodes) if (await answers(node)) await assertNoBackends(node, 'under test')
			await accidents.assertNone()
		} finally {
			accidents.stop()
			accidents = accidentMark()
		}
	})
	return at
}

const answers = (node: PostgresServer): Promise<boolean> =>
	node.query('SELECT 1').then(
		() => true,
		() => false,
	)
