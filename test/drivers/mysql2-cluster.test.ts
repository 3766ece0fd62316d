/** Does a wrapped cluster do what the bare one does, and pass over a node that is down without losing it? */
import { createScheduler } from 'holdfast'
import { holdfast } from 'holdfast/mysql2'
import mysql, { type PoolCluster, type PoolOptions } from 'mysql2'
import promised from 'mysql2/promise'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { type MysqlServer, startMysql } from '../support/mysql.ts'
import { until } from '../support/until.ts'
import { calledBack, ending, plain } from './mysql2-side-by-side.ts'

// Two servers that can be told apart.
let one: MysqlServer
let two: MysqlServer
beforeAll(async () => {
	;[one, two] = await Promise.all([startMysql({ flavour: 'mariadb' }), startMysql({ flavour: 'mariadb' })])
})
afterAll(() => Promise.all([one.dispose(), two.dispose()]))

const options = (server: MysqlServer) => ({ ...server.config(), connectionLimit: 2 }) as PoolOptions
const port = 'SELECT @@port AS port'

function clusterOf(selector: string): PoolCluster {
	const cluster = mysql.createPoolCluster({ defaultSelector: selector })
	cluster.add('first', options(one))
	cluster.add('second', options(two))
	return cluster
}

const portOf = async (cluster: PoolCluster, pattern = '*') => {
	const answer = (await calledBack((done) => cluster.of(pattern).query(port, done))) as { error: unknown; answer: [[{ port: number }]] }
	if (answer.error) throw answer.error
	return answer.answer[0][0].port
}

test('query, execute, getConnection and streams of a cluster answer as the bare one does, on the node whose turn it is', async () => {
	const run = async (cluster: PoolCluster) => {
		const nodes = cluster.of('*', 'ORDER')
		const rows: unknown[] = []
		for await (const row of nodes.query('SELECT 1 AS a UNION SELECT 2').stream()) rows.push(plain(row))
		const connection = await new Promise<{ release(): void; query: unknown; _clusterId?: string }>((resolve, reject) =>
			cluster.getConnection('second', (error, lent) => (error ? reject(error) : resolve(lent as never))),
		)
		const id = connection._clusterId
		connection.release()
		const answers = {
			query: await calledBack((done) => nodes.query(port, done)),
			values: await calledBack((done) => nodes.query('SELECT ? AS a', [5], done)),
			execute: await calledBack((done) => nodes.execute('SELECT ? AS a', ['x'], done)),
			error: await calledBack((done) => nodes.query('SELECT * FROM FROM', done)),
			nobody: await calledBack((done) => cluster.of('third').query('SELECT 1', done)),
			second: await calledBack((done) => cluster.of('second').query(port, done)),
			turns: [await portOf(cluster), await portOf(cluster), await portOf(cluster)],
			rows,
			id,
		}
		await new Promise((resolve) => cluster.end(resolve))
		return answers
	}
	expect(await run(holdfast(clusterOf('RR')))).toEqual(await run(clusterOf('RR')))
})

test('a promise cluster is wrapped with the cluster in it, and nodes that are added later are, too', async () => {
	const scheduler = createScheduler()
	const cluster = holdfast(promised.createPoolCluster(), { scheduler })
	expect(holdfast(cluster)).toBe(cluster)
	await expect(cluster.transaction(async () => 1)).rejects.toMatchObject({ code: 'POOL_NOEXIST' })
	cluster.add('first', options(one))
	expect((await cluster.of('*').query(port))[0]).toEqual([{ port: one.port }])
	expect((await cluster.of('first').execute(port))[0]).toEqual([{ port: one.port }])
	expect(await cluster.transaction(async (tx) => (await tx.query(port))[0])).toEqual([{ port: one.port }])
	await cluster.holdfast.ready()
	expect(Object.keys(cluster.holdfast.stats())).toEqual(['first'])
	expect(cluster.holdfast.stats().first).toMatchObject({ endpoint: { address: `${one.host}:${one.port}` } })
	await cluster.end()
	expect(await ending(() => cluster.of('first').query(port))).toMatchObject({ rejected: { code: 'HOLDFAST_CLOSED' } })
})

test('a node that goes down is passed over without an error, and used again when it is back', async () => {
	const cluster = holdfast(clusterOf('ORDER'), { scheduler: createScheduler() })
	const events: string[] = []
	for (const name of ['offline', 'online', 'remove']) cluster.on(name, (id: string) => events.push(`${name} ${id}`))
	expect(await portOf(cluster)).toBe(one.port)
	await one.kill()
	const ports = await Promise.all(Array.from({ length: 20 }, () => portOf(cluster)))
	expect(new Set(ports)).toEqual(new Set([two.port]))
	for (let later = 0; later < 10; later++) expect(await portOf(cluster)).toBe(two.port)
	await one.start()
	await until(async () => (await portOf(cluster)) === one.port, { what: 'the first node to be used again' })
	expect(events).toEqual(['offline first', 'online first'])
	await new Promise((resolve) => cluster.end(resolve))
})

test('while every node is down callers wait, and the first node that is back serves them', async () => {
	const cluster = holdfast(clusterOf('RR'), { scheduler: createScheduler() })
	await Promise.all([one.kill(), two.kill()])
	const waiting = Array.from({ length: 10 }, () => portOf(cluster))
	await until(() => Object.values(cluster.holdfast.stats()).every(({ endpoint }) => endpoint.state === 'down'), {
		what: 'both to be known as down',
	})
	await two.start()
	expect(new Set(await Promise.all(waiting))).toEqual(new Set([two.port]))
	const last = await calledBack((done) => cluster.of('first').query({ sql: port, deadlineMs: 50 } as never, done))
	expect(last).toMatchObject({ error: { code: 'HOLDFAST_DEADLINE' } })
	await new Promise((resolve) => cluster.end(resolve))
	await one.start()
})
