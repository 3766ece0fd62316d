/** Several hosts on real PostgreSQL: which one is found, what a failover looks like to the application, and how the hosts are asked. */

import dns from 'node:dns'
import { createScheduler, HoldfastError } from 'holdfast'
import { holdfast as holdfastKnex } from 'holdfast/knex'
import makeKnex from 'knex'
import { expect, test, vi } from 'vitest'
import { startProxy } from '../support/proxy.ts'
import { until } from '../support/until.ts'
import { onFailoverStage } from './failover-stage.ts'

const at = onFailoverStage()

test('the primary is found whatever its place in the list, and stats tell who is what, without a user or a password', async () => {
	for (const hosts of [at.hosts(), at.hosts().reverse()]) {
		const pool = at.wrap({ hosts }, { password: 'sesame' })
		await pool.query('INSERT INTO written VALUES (1)')
		const stats = pool.holdfast.stats()
		const primary = stats.hosts?.find(({ role }) => role === 'primary')
		expect(primary?.address).toBe(`127.0.0.1:${at.proxyOf(at.primary).port}`)
		expect(stats.endpoint.state).toBe('up')
		expect(JSON.stringify(stats)).not.toMatch(/sesame|postgres@/)
	}
	expect(await at.rows()).toBe(2)
	expect(await at.primary.query("SELECT 1 FROM pg_stat_activity WHERE application_name = 'under test' AND state = 'active'")).toEqual([])
})

test('hosts may be strings, and without a port that of the pool counts', async () => {
	const { port } = at.proxyOf(at.primary)
	const pool = at.wrap({ hosts: ['127.0.0.1'] }, { port })
	await pool.query('INSERT INTO written VALUES (1)')
	const other = at.wrap({ hosts: [`127.0.0.1:${port}`, { host: '127.0.0.1', port: at.proxyOf(at.replica).port }] })
	await other.query('INSERT INTO written VALUES (1)')
	expect(await at.rows()).toBe(2)
})

test('the primary is killed and the replica promoted: every writer waits for the new one, and each write is there once', async () => {
	const pool = at.wrap({}, { max: 5 })
	await pool.query('SELECT 1')
	const writes = Array.from({ length: 40 }, (_, id) =>
		pool.transaction(async (tx) => {
			await tx.query('INSERT INTO written VALUES ($1)', [id])
		}),
	)
	await Promise.all(writes)
	await at.cluster.caughtUp(at.replica, at.primary)
	const old = at.primary
	await at.primary.kill()
	await until(() => pool.totalCount === 0, { what: 'the pool to notice' })
	const waiting = Array.from({ length: 40 }, (_, id) => pool.query('INSERT INTO written VALUES ($1)', [100 + id]))
	await until(() => pool.holdfast.stats().endpoint.state === 'down', { what: 'the list to be down' })
	await at.failOver()
	await Promise.all(waiting)
	expect(await at.rows()).toBe(80)
	expect(pool.holdfast.stats().hosts?.find(({ role }) => role === 'primary')?.address).toBe(`127.0.0.1:${at.proxyOf(at.primary).port}`)
	expect(at.primary).not.toBe(old)
})

test('while no host is a primary each of them is asked by one connection attempt at a time, however many pools wait', async () => {
	const scheduler = createScheduler()
	const pools = [at.wrap({ scheduler }, { max: 5 }), at.wrap({ scheduler, hosts: at.hosts().reverse() }, { max: 5 })]
	for (const pool of pools) await pool.query('SELECT 1')
	await at.primary.kill()
	await until(() => pools.every(({ totalCount }) => totalCount === 0), { what: 'the pools to notice' })
	const replica = at.proxyOf(at.replica)
	replica.resetCounters()
	const waiting = pools.flatMap((pool) => Array.from({ length: 50 }, () => pool.query('INSERT INTO written VALUES (1)')))
	await until(() => replica.attempts >= 4, { what: 'the replica to be asked a few times' })
	expect(replica.maxInFlightAttempts).toBe(1)
	await at.failOver()
	await Promise.all(waiting)
	expect(await at.rows()).toBe(100)
})

test('the old primary comes back as a replica, first in the list: no write meets it', async () => {
	const pool = at.wrap({}, { max: 5 })
	const errors: unknown[] = []
	let written = 0
	let stopped = false
	const worker = async () => {
		while (!stopped) {
			await pool.query({ text: 'INSERT INTO written VALUES (1)', exactlyOnce: true }).then(
				() => {
					written += 1
				},
				(error: unknown) => errors.push(error),
			)
		}
	}
	const workers = Array.from({ length: 8 }, worker)
	await until(() => written > 50, { what: 'some writes' })
	await at.cluster.waitForReplicas(at.primary)
	const old = at.primary
	await at.failOver()
	const before = written
	await until(() => written > before + 50, { what: 'writes on the new primary' })
	await at.comeBack(old)
	// Its connections are taken away, so that new ones have to be made beside the old primary.
	await at.primary.query("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'under test'")
	const after = written
	await until(() => written > after + 50, { what: 'writes after it came back' })
	stopped = true
	await Promise.all(workers)
	expect(errors.filter((error) => (error as { code?: string }).code !== 'HOLDFAST_IN_DOUBT')).toEqual([])
	const there = await at.rows()
	expect(there).toBeGreaterThanOrEqual(written)
	expect(there).toBeLessThanOrEqual(written + errors.length)
})

test('wrong credentials end the search at the first host that says so, at once', async () => {
	const pool = at.wrap({}, { user: 'nobody_here' })
	const error = await pool.query('SELECT 1').catch((thrown: unknown) => thrown)
	expect(error).toMatchObject({ code: '28000' })
	const [first, second] = at.cluster.nodes
	expect(at.proxyOf(first!).attempts).toBe(1)
	expect(at.proxyOf(second!).attempts).toBe(0)
})

test('a host that is silent keeps nobody from the primary behind it', async () => {
	await at.proxyOf(at.replica).hangConnections()
	const hosts = [at.replica, at.primary].map((server) => ({ host: '127.0.0.1', port: at.proxyOf(server).port }))
	const pool = at.wrap({ hosts })
	await pool.query('INSERT INTO written VALUES (1)')
	expect(at.proxyOf(at.replica).attempts).toBe(1)
	// The attempt is given up with the search, and its socket closed.
	await until(() => at.proxyOf(at.replica).openConnections === 0, { what: 'the silent attempt to be closed' })
	expect(await at.rows()).toBe(1)
})

test('a primary that does not answer, and a replica that is promoted meanwhile: it is found although the other stays silent', async () => {
	const pool = at.wrap()
	await pool.query('SELECT 1')
	const old = at.primary
	at.proxyOf(old).resetCounters()
	at.proxyOf(old).resetAll()
	await at.proxyOf(old).hangConnections()
	await until(() => pool.totalCount === 0, { what: 'the pool to notice' })
	const write = pool.query('INSERT INTO written VALUES (1)')
	await until(() => at.proxyOf(at.replica).attempts >= 2, { what: 'the replica to be asked again' })
	expect(at.proxyOf(old).attempts).toBe(1)
	await at.failOver()
	await write
	expect(await at.rows()).toBe(1)
})

test('no primary before the deadline: the error says what the hosts are', async () => {
	const hosts = [{ host: '127.0.0.1', port: at.proxyOf(at.replica).port }]
	const pool = at.wrap({ hosts, deadlineMs: 300 })
	const error = (await pool.query('INSERT INTO written VALUES (1)').catch((thrown: unknown) => thrown)) as HoldfastError
	expect(error).toMatchObject({ code: 'HOLDFAST_DEADLINE' })
	expect(error.cause).toBeInstanceOf(HoldfastError)
	expect(error.cause).toMatchObject({ code: 'HOLDFAST_NO_HOST', message: expect.stringContaining('is a replica') })
	expect(pool.holdfast.stats().hosts).toEqual([expect.objectContaining({ role: 'replica' })])
})

test('a pool of replicas reads there, and what writes goes to the primary', async () => {
	const pool = at.wrap({ target: 'prefer-replica' })
	const asked = async () => (await pool.query<{ r: boolean }>('SELECT pg_is_in_recovery() AS r')).rows[0]?.r
	expect(await asked()).toBe(true)
	await pool.query('INSERT INTO written VALUES (1)')
	await pool.transaction(async (tx) => {
		await tx.query('INSERT INTO written VALUES (2)')
	})
	const reading = await pool.transaction(async (tx) => (await tx.query<{ r: boolean }>('SELECT pg_is_in_recovery() AS r')).rows[0]?.r, {
		readOnly: true,
	})
	expect(reading).toBe(true)
	// A function that writes looks like a read: refused by the replica, it is run where it can be done.
	await at.primary.query(
		'CREATE OR REPLACE FUNCTION writes() RETURNS int LANGUAGE sql AS $$ INSERT INTO written VALUES (3) RETURNING id $$',
	)
	await at.cluster.caughtUp(at.replica, at.primary)
	expect((await pool.query('SELECT writes()')).rows).toEqual([{ writes: 3 }])
	expect(await at.rows()).toBe(3)
	await at.replica.stop()
	expect(await asked()).toBe(false)
	await at.replica.start()
})

test('what waits, and what is run again, over the connections beside a pool of replicas counts in its stats', async () => {
	const pool = at.wrap({ target: 'prefer-replica' })
	await pool.query('INSERT INTO written VALUES (1)')
	await at.cluster.caughtUp(at.replica, at.primary)
	await at.primary.kill()
	// What is sent before the client has seen it would be in doubt.
	await until(() => pool.holdfast.stats().hosts?.find(({ role }) => role === 'primary')?.state !== 'up', { what: 'the loss' })
	const writes = [2, 3].map((id) => pool.query('INSERT INTO written VALUES ($1)', [id]))
	await until(() => pool.holdfast.stats().waiting === 2, { what: 'both writes to wait for a primary' })
	await at.failOver()
	await Promise.all(writes)
	expect(await at.rows()).toBe(3)
	expect(pool.holdfast.stats()).toMatchObject({ waiting: 0, inDoubt: 0 })
})

test('any host will do for reads where any is wanted', async () => {
	await at.proxyOf(at.primary).refuse()
	const pool = at.wrap({ target: 'any' })
	expect((await pool.query('SELECT pg_is_in_recovery() AS r')).rows).toEqual([{ r: true }])
})

test('a primary that was made read-only and kept its connections is left for the one that was promoted', async () => {
	const pool = at.wrap()
	await pool.query('INSERT INTO written VALUES (1)')
	const old = at.primary
	await at.cluster.caughtUp(at.replica, at.primary)
	await old.applySettings({ default_transaction_read_only: 'on' })
	const write = pool.query('INSERT INTO written VALUES (2)')
	await until(() => pool.holdfast.stats().retries.read_only === 1, { what: 'the refusal' })
	await at.failOver()
	await write
	expect(await at.rows()).toBe(2)
})

test('a borrowed client is held while its server is set read-only: its writes, and its transactions, are run on the next primary', async () => {
	const pool = at.wrap({}, { max: 3 })
	const [alone, inTransaction, afterReads] = await Promise.all([pool.connect(), pool.connect(), pool.connect()])
	await afterReads.query('SELECT 1')
	await afterReads.query('BEGIN')
	await afterReads.query('INSERT INTO written VALUES (0)')
	await afterReads.query('COMMIT')
	await at.cluster.caughtUp(at.replica, at.primary)
	await at.primary.applySettings({ default_transaction_read_only: 'on' })
	const readsThenWrites = async () => {
		await afterReads.query('BEGIN')
		const { rows } = await afterReads.query('SELECT pg_is_in_recovery() AS r')
		await afterReads.query('INSERT INTO written VALUES (3)')
		await afterReads.query('COMMIT')
		return rows
	}
	const writes = Promise.all([alone.query('INSERT INTO written VALUES (1)'), inTransaction.query('BEGIN'), readsThenWrites()])
	await until(() => (pool.holdfast.stats().retries.read_only ?? 0) === 3, { what: 'three to be refused' })
	await at.failOver()
	expect(await writes).toMatchObject([{ command: 'INSERT', rowCount: 1 }, { command: 'BEGIN' }, [{ r: false }]])
	await inTransaction.query('INSERT INTO written VALUES (2)')
	await inTransaction.query('COMMIT')
	for (const client of [alone, inTransaction, afterReads]) client.release()
	expect(await at.rows()).toBe(4)
	expect(pool.holdfast.stats()).toMatchObject({ inDoubt: 0, endpoint: { state: 'up' } })
})

test('a borrower whose session holds something keeps the error of a server that was set read-only; the next one gets a server that writes', async () => {
	const pool = at.wrap({}, { max: 1 })
	const client = await pool.connect()
	await client.query("SET application_name = 'under test'")
	await at.cluster.caughtUp(at.replica, at.primary)
	await at.primary.applySettings({ default_transaction_read_only: 'on' })
	await expect(client.query('INSERT INTO written VALUES (1)')).rejects.toMatchObject({ code: '25006' })
	client.release()
	const next = pool.connect()
	await until(() => pool.holdfast.stats().endpoint.lastFault?.kind === 'read_only', { what: 'the pool to know' })
	await at.failOver()
	const other = await next
	await other.query('INSERT INTO written VALUES (2)')
	other.release()
	expect(await at.rows()).toBe(1)
})

test('an instance of knex follows the primary as well', async () => {
	const { user, database } = at.primary.config()
	const scheduler = createScheduler()
	const knex = holdfastKnex(
		makeKnex({
			client: 'pg',
			connection: { host: 'nowhere.invalid', user, database, application_name: 'under test' },
			pool: { min: 0, max: 3 },
		}),
		{ hosts: at.hosts(), scheduler },
	)
	await knex('written').insert({ id: 1 })
	await at.cluster.caughtUp(at.replica, at.primary)
	await at.failOver()
	await knex.transaction((trx) => trx('written').insert({ id: 2 }))
	await knex('written').insert({ id: 3 })
	expect(await at.rows()).toBe(3)
	await knex.destroy()
	await until(() => scheduler.stats().endpoints.length === 0, { what: 'nothing to be left' })
})

test('a name that stands for several servers: the primary behind it is found, and followed when the name comes to mean others', async () => {
	const { port } = at.proxyOf(at.replica)
	const other = await startProxy({ target: at.primary, protocol: 'postgres', listenAt: { host: '127.0.0.2', port } })
	let addresses = ['127.0.0.1', '127.0.0.2']
	const lookup = vi.spyOn(dns, 'lookup').mockImplementation(((
		_name: string,
		_options: unknown,
		done: (error: null, found: object[]) => void,
	) =>
		setImmediate(
			done,
			null,
			addresses.map((address) => ({ address, family: 4 })),
		)) as never)
	try {
		const pool = at.wrap({ hosts: [`db.test:${port}`] })
		await pool.query('INSERT INTO written VALUES (1)')
		await at.cluster.caughtUp(at.replica, at.primary)
		await other.refuse()
		other.resetAll()
		await until(() => pool.totalCount === 0, { what: 'the pool to notice' })
		addresses = ['127.0.0.1']
		await at.failOver()
		await pool.query('INSERT INTO written VALUES (2)')
		expect(lookup.mock.calls.length).toBeGreaterThanOrEqual(2)
		expect(await at.rows()).toBe(2)
	} finally {
		lookup.mockRestore()
		await other.close()
	}
})
