/** A node of a Galera cluster is killed, under load or with a commit in doubt, and transactions conflict across nodes: what do callers notice? Nothing. */
import { commitLedger, createScheduler } from 'holdfast'
import { holdfast } from 'holdfast/mysql2'
import mysql from 'mysql2/promise'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { type GaleraCluster, startGalera } from '../support/galera.ts'
import { accidentMark } from '../support/leaks.ts'
import { startProxy } from '../support/proxy.ts'
import { until } from '../support/until.ts'
import { startHistory } from './history-load.ts'

let cluster: GaleraCluster
beforeAll(async () => {
	cluster = await startGalera()
})
afterAll(() => cluster?.dispose())

/** A pool that has these nodes in this order, as a process of its own has it. */
const wrap = (order: readonly number[]) => {
	const scheduler = createScheduler()
	const config = { ...cluster.nodes[0]!.config(), connectionLimit: 6 }
	const hosts = order.map((at) => cluster.hosts[at]!)
	return { scheduler, pool: holdfast(mysql.createPool(config), { hosts, scheduler, commit: commitLedger({ create: true }) }) }
}

test('a commit in doubt is resolved on another node: applied is found, and what is still open on the first one can never be applied', async () => {
	const [first, second] = cluster.nodes as [GaleraCluster['nodes'][0], GaleraCluster['nodes'][0]]
	const proxy = await startProxy({ target: first, protocol: 'mysql' })
	const scheduler = createScheduler()
	const hosts = [
		{ host: proxy.host, port: proxy.port },
		{ host: second.host, port: second.port },
	]
	const pool = holdfast(mysql.createPool({ ...first.config(), connectionLimit: 1 }), {
		hosts,
		scheduler,
		commit: commitLedger({ create: true }),
		attemptTimeoutMs: 500,
	})
	try {
		await first.query('CREATE TABLE written (id int PRIMARY KEY)')
		const write = (id: number) => pool.transaction((tx) => tx.query('INSERT INTO written VALUES (?)', [id]))
		await write(1)
		// The node is as good as dead to this process from then on, and well to the others.
		const answered = proxy.intercept({
			from: 'server',
			match: ({ tag }) => tag === 'COMMIT',
			action: 'cut before',
			onHit: () => proxy.refuse(),
		})
		await write(2)
		expect(answered.hits).toBe(1)
		expect(pool.holdfast.stats().resolved).toEqual({ applied: 1, notApplied: 0, unresolved: 0 })

		await proxy.accept()
		const again = holdfast(mysql.createPool({ ...first.config(), connectionLimit: 1 }), {
			hosts,
			scheduler: createScheduler(),
			commit: commitLedger({ create: true }),
			attemptTimeoutMs: 500,
		})
		await again.query('SELECT 1')
		// COMMIT never arrives, and nor does the end of the link: the transaction stays open on the first node.
		const swallowed = proxy.intercept({
			from: 'client',
			match: ({ text }) => text === 'COMMIT',
			action: 'black hole',
			onHit: () => proxy.refuse(),
		})
		await again.transaction((tx) => tx.query('INSERT INTO written VALUES (3)'))
		expect(swallowed.hits).toBe(1)
		expect(again.holdfast.stats().resolved).toEqual({ applied: 0, notApplied: 1, unresolved: 0 })
		const rows = await second.query<{ id: number }>('SET SESSION wsrep_sync_wait = 7; SELECT id AS id FROM written ORDER BY id')
		expect(rows.map(({ id }) => id)).toEqual([1, 2, 3])
		await again.end()
	} finally {
		await pool.end()
		await proxy.close()
	}
	expect(scheduler.stats().waits).toBe(0)
	for (const node of [first, second]) await until(async () => (await node.connections()).length === 0, { what: 'no connection to be left' })
})

test('one of three nodes dies under load: no error, nothing lost, nothing twice, and conflicts found at COMMIT are run again', async () => {
	const accidents = accidentMark()
	const last = cluster.nodes[2]!
	const wrapped = [wrap([0, 1, 2]), wrap([1, 2, 0])]
	const pools = wrapped.map(({ pool }) => pool)
	const load = await startHistory(pools, { ask: (sql) => last.query(sql), seed: 7, workers: 8, exactlyOnce: true })
	const conflicts = () => pools.reduce((sum, pool) => sum + (pool.holdfast.stats().retries.deadlock ?? 0), 0)
	await load.more(60)
	await until(() => conflicts() > 0, { what: 'transactions of different nodes to conflict', timeoutMs: 20_000 })
	// A node that is slow to answer at first is passed over, so which of them has connections is not certain.
	const isUsed = await Promise.all(cluster.nodes.map(async (node) => node !== last && (await node.connections()).length > 0))
	const doomed = cluster.nodes[isUsed.indexOf(true)]!
	const others = cluster.nodes.filter((node) => node !== doomed)

	await doomed.kill()
	await load.more(60)
	await load.stop()

	// What the callers got.
	expect(load.operations.filter(({ told }) => told !== 'ok').map(({ error }) => error)).toEqual([])
	// What the servers have: all of it, once, the same on both.
	await cluster.formed(others)
	for (const node of others) expect(await load.anomalies((sql) => node.query(`SET SESSION wsrep_sync_wait = 7; ${sql}`))).toEqual([])
	for (const pool of pools) expect(pool.holdfast.stats().resolved.unresolved).toBe(0)

	// What is left: nothing.
	for (const pool of pools) await pool.end()
	for (const { scheduler } of wrapped) expect(scheduler.stats().waits).toBe(0)
	for (const node of others) await until(async () => (await node.connections()).length === 0, { what: 'no connection to be left' })
	await accidents.assertNone()
	accidents.stop()
})
