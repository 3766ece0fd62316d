/** A cluster that Patroni looks after, under load: it switches over, its primary is killed, and comes back as a replica. What do callers notice? Nothing. */
import { afterAll, beforeAll, expect, test } from 'vitest'
import { holdfastClient } from '../chaos/pg/client-holdfast.ts'
import { accidentMark } from '../support/leaks.ts'
import { type PatroniCluster, type PatroniNode, startPatroni } from '../support/patroni.ts'
import { until } from '../support/until.ts'
import { startPgHistory } from './history-load.ts'

let cluster: PatroniCluster
beforeAll(async () => {
	cluster = await startPatroni()
}, 120_000)
afterAll(() => cluster?.dispose())

const applicationName = 'under test'
const sessions = `SELECT count(*)::int AS n FROM pg_stat_activity WHERE application_name = '${applicationName}'`
const leaderBeside = (before: PatroniNode) =>
	until(async () => [await cluster.leader()].find((leader) => leader !== before), {
		what: 'another leader',
		timeoutMs: 30_000,
		everyMs: 50,
	})

test('a switchover, kill -9 of the primary with its Patroni, and its return: no error, nothing lost, nothing twice', async () => {
	const accidents = accidentMark()
	const first = (await cluster.leader())!
	const client = holdfastClient(
		{ ...cluster.config(), application_name: applicationName },
		{ name: 'holdfast', commit: 'ledger', connections: 6, attemptTimeoutMs: 10_000 },
		cluster.nodes.map(({ host, port }) => ({ host, port })),
	)
	const load = await startPgHistory([client], { ask: (text) => first.query(text), seed: 11, workers: 8 })
	const writes = () => load.operations.filter(({ told, steps }) => told === 'ok' && steps.some((step) => step.do === 'append')).length
	await load.more(100)

	await cluster.switchOver()
	const second = await leaderBeside(first)
	await load.more(100)

	// Patroni fails over to a replica that has all that was committed, once there is one again.
	await cluster.formed()
	await load.more(1)
	const before = writes()
	await second.kill()
	const third = await leaderBeside(second)
	await load.more(100)
	expect(writes()).toBeGreaterThan(before)

	second.start()
	await cluster.formed()
	// Its connections are taken away, so that new ones have to be made while the old primary answers again.
	await third.query(`SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = '${applicationName}'`)
	await load.more(100)
	await load.stop()

	// What the callers got.
	expect(load.operations.filter(({ told }) => told !== 'ok').map(({ error }) => error)).toEqual([])
	// What the server has: all of it, once.
	expect(await load.anomalies((text) => third.query(text))).toEqual([])
	expect(client.stats()).toMatchObject({ resolved: { unresolved: 0 }, endpoint: { state: 'up' } })

	// What is left: nothing.
	await client.end()
	for (const node of cluster.nodes)
		await until(async () => (await node.query<{ n: number }>(sessions))[0]?.n === 0, { what: `no session to be left on ${node.name}` })
	await accidents.assertNone()
	accidents.stop()
}, 90_000)
