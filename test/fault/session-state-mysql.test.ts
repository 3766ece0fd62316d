/** What does a connection get again that replaces a lost one, on MySQL and MariaDB? `onConnect`, in the form of the pool that was wrapped. */
import { holdfast } from 'holdfast/mysql2'
import mysql, { type PoolConnection as CallbackConnection } from 'mysql2'
import type { PoolConnection } from 'mysql2/promise'
import { describe, expect, test } from 'vitest'
import { flavours } from '../support/mysql.ts'
import { until } from '../support/until.ts'
import { onMysqlStage } from './on-stage.ts'

describe.each(flavours)('%s', (flavour) => {
	const at = onMysqlStage(flavour)

	const inUtc = (connection: PoolConnection) => connection.query("SET time_zone = '+03:00'")
	const zone = async (on: { query(sql: string): Promise<unknown> }) => {
		const [rows] = (await on.query('SELECT @@session.time_zone AS zone')) as [{ zone: string }[]]
		return rows[0]?.zone
	}
	const config = () => ({ ...at.server.config(), host: at.proxy.host, port: at.proxy.port })

	test('a connection that replaces a lost one is prepared before anybody gets it, on every path', async () => {
		const pool = at.wrap({ onConnect: inUtc }, { connectionLimit: 1 })
		const size = () => (pool.pool as unknown as { _allConnections: { length: number } })._allConnections.length
		const zones: unknown[] = []
		for (let round = 0; round < 2; round++) {
			zones.push(await zone(pool))
			zones.push(await pool.transaction(async (tx) => zone(tx)))
			const connection = await pool.getConnection()
			zones.push(await zone(connection))
			connection.release()
			at.proxy.resetAll()
			await until(() => size() === 0, { what: 'the pool to notice the loss' })
		}
		expect(zones).toEqual(Array(6).fill('+03:00'))
		expect(pool.holdfast.stats()).toMatchObject({ inDoubt: 0, endpoint: { outages: 0 } })
	})

	test('the hook of a callback pool gets callback connections; those of a cluster’s nodes are prepared as well', async () => {
		const onConnect = (connection: CallbackConnection) => connection.promise().query("SET time_zone = '+03:00'")
		const pool = holdfast(mysql.createPool(config()), { onConnect })
		expect(await zone(pool.promise())).toBe('+03:00')
		await new Promise((resolve) => pool.end(resolve))
		const cluster = mysql.createPoolCluster()
		cluster.add('one', config())
		holdfast(cluster, { onConnect })
		const answer = await new Promise((resolve, reject) => {
			cluster.of('*').query('SELECT @@session.time_zone AS zone', (error, rows) => (error ? reject(error) : resolve(rows)))
		})
		expect(answer).toEqual([{ zone: '+03:00' }])
		await new Promise((resolve) => cluster.end(resolve))
	})

	test('a permanent error of the hook reaches the caller untouched and closes the connection; a lost link is tried again', async () => {
		let wanted = 'SET time_zone = nowhere'
		const pool = at.wrap({ onConnect: (connection: PoolConnection) => connection.query(wanted) })
		await expect(pool.query('SELECT 1')).rejects.toMatchObject({ code: 'ER_UNKNOWN_TIME_ZONE', errno: 1298 })
		await until(async () => (await at.server.connections()).length === 0, { what: 'the connection to be closed' })
		wanted = "SET time_zone = '+03:00'"
		at.proxy.intercept({ from: 'client', match: ({ text }) => text === wanted, action: 'cut before' })
		expect(await zone(pool)).toBe('+03:00')
	})

	test('a hook that leaves a transaction open is refused, and nothing that others write gets into it', async () => {
		const pool = at.wrap({ onConnect: (connection: PoolConnection) => connection.query('START TRANSACTION') })
		await expect(pool.query('INSERT INTO written VALUES (1)')).rejects.toMatchObject({ code: 'HOLDFAST_ON_CONNECT' })
		expect(await at.rows()).toBe(0)
	})
})
