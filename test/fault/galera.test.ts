/** A node of a Galera cluster is killed under load, and transactions conflict across nodes: what do callers notice? Nothing. */
import { commitLedger, createScheduler } from 'holdfast'
import { holdfast } from 'holdfast/mysql2'
import mysql from 'mysql2/promise'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { type GaleraCluster, startGalera } from '../support/galera.ts'
import { accidentMark } from '../support/leaks.ts'
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

test('one of three nodes dies under load: no error, nothing lost, nothing twice, and conflicts found at COMMIT are run again', async () => {
	const accidents = accidentMark()
	const [doomed, ...others] = cluster.nodes as [GaleraCluster['nodes'][0], ...GaleraCluster['nodes'][0][]]
	const last = others[0]!
	const wrapped = [wrap([0, 1, 2]), wrap([1, 2, 0])]
	const pools = wrapped.map(({ pool }) => pool)
	const load = await startHistory(pools, { ask: (sql) => last.query(sql), seed: 7, workers: 8, exactlyOnce: true })
	const conflicts = () => pools.reduce((sum, pool) => sum + (pool.holdfast.stats().retries.deadlock ?? 0), 0)
	await load.more(60)
	await until(() => conflicts() > 0, { what: 'transactions of different nodes to conflict', timeoutMs: 20_000 })
	expect((await doomed.connections()).length).toBeGreaterThan(0)

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
