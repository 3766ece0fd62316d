/** Does the Galera cluster of the tests behave as one: what one node takes is on all, conflicts are found, and two go on without the third? */
import mysql from 'mysql2/promise'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { type GaleraCluster, startGalera } from '../support/galera.ts'

let cluster: GaleraCluster
beforeAll(async () => {
	cluster = await startGalera()
})
afterAll(() => cluster.dispose())

test('three nodes are one database: a conflict is found at COMMIT, and without the third the others go on', async () => {
	const [one, two, three] = cluster.nodes as [(typeof cluster.nodes)[0], (typeof cluster.nodes)[0], (typeof cluster.nodes)[0]]
	await one.query('CREATE TABLE t (id int PRIMARY KEY, n int NOT NULL); INSERT INTO t VALUES (1, 0)')
	const read = 'SET SESSION wsrep_sync_wait = 7; SELECT n AS n FROM t'
	expect(await three.query(read)).toEqual([{ n: 0 }])

	const rivals = await Promise.all([one, two].map((node) => mysql.createConnection(node.config())))
	for (const rival of rivals) {
		await rival.query('BEGIN')
		await rival.query('UPDATE t SET n = n + 1')
	}
	const ends = await Promise.allSettled(rivals.map((rival) => rival.query('COMMIT')))
	expect(ends.map(({ status }) => status).sort()).toEqual(['fulfilled', 'rejected'])
	expect(ends.find(({ status }) => status === 'rejected')).toMatchObject({ reason: { errno: 1213 } })
	for (const rival of rivals) rival.destroy()

	await three.kill()
	await one.query('UPDATE t SET n = n + 1')
	await cluster.formed([one, two])
	expect(await two.query(read)).toEqual([{ n: 2 }])
})
