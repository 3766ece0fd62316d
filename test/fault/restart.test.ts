/** The server dies under load and comes back: does anybody notice? */
import { beforeAll, expect, test } from 'vitest'
import { fill } from '../support/fill.ts'
import { staged } from '../support/staged.ts'
import { until } from '../support/until.ts'
import { startLoad } from './load.ts'
import { stage } from './stage.ts'
import { whileLocked } from './while-locked.ts'

const at = staged(stage)
beforeAll(() => at.ask('CREATE TABLE kept (id int PRIMARY KEY, n int NOT NULL)'))

const upsert = 'INSERT INTO kept VALUES ($1, 1) ON CONFLICT (id) DO UPDATE SET n = excluded.n'
/** 50 workers that read and write on ten connections, straight to the server. */
function loaded() {
	const pool = at.wrap({}, { host: at.server.host, port: at.server.port, max: 10 })
	const reads = () => pool.query('SELECT count(*) FROM kept')
	const writes = (id: number) => pool.query({ text: upsert, values: [id % 50], idempotent: true })
	return { pool, load: startLoad([reads, writes], 50) }
}

test.each(['kill', 'fast', 'immediate'] as const)(
	'50 workers with reads and idempotent writes meet no error over five restarts (%s)',
	async (how) => {
		const { pool, load } = loaded()
		for (let round = 1; round <= 5; round++) {
			await load.more()
			await at.server.restart(how)
		}
		await load.more()
		await until(() => pool.totalCount === 10, { what: 'the pool to have all its connections again' })
		await load.stop()
		expect(load.errors).toEqual([])
		expect(pool.idleCount).toBe(10)
		expect(pool.holdfast.stats()).toMatchObject({ inDoubt: 0, waiting: 0, endpoint: { state: 'up' } })
	},
)

test('the death of one backend (kill -9, which makes the server recover) reaches nobody', async () => {
	const { load } = loaded()
	await load.more()
	const victim = (await at.ask<{ pid: number }>("SELECT pid FROM pg_stat_activity WHERE application_name = 'under test' LIMIT 1"))[0]
	await at.server.killBackend(victim?.pid as number)
	await load.more(10)
	await load.stop()
	expect(load.errors).toEqual([])
})

test('terminated backends are no outage: their work is run again, and the others are not replaced', async () => {
	const pool = at.wrap({}, { max: 4 })
	const pids = async () =>
		(await at.ask<{ pid: number }>("SELECT pid FROM pg_stat_activity WHERE application_name = 'under test'")).map((row) => row.pid)
	await fill(4, () => pool.connect())
	const before = await pids()
	const [victim] = before
	let reads: Promise<unknown>[] = []
	await whileLocked(at.server, 'kept', async (waiting) => {
		reads = Array.from({ length: 4 }, () => pool.query('SELECT count(*) FROM kept'))
		await waiting(4)
		await at.ask(`SELECT pg_terminate_backend(${victim})`)
	})
	await Promise.all(reads)
	await pool.query('SELECT 1')
	expect(pool.holdfast.stats()).toMatchObject({ outages: 0, endpoint: { state: 'up' } })
	const kept = before.filter((pid) => pid !== victim)
	expect(await pids()).toEqual(expect.arrayContaining(kept))
})

test('idle and borrowed connections that die do not end the process, and are not handed out again', async () => {
	const pool = at.wrap({}, { host: at.server.host, port: at.server.port, max: 5 })
	const borrowed = await pool.connect()
	await fill(4, () => pool.connect())
	const old = (await at.ask<{ pid: number }>("SELECT pid FROM pg_stat_activity WHERE application_name = 'under test'")).map(
		(row) => row.pid,
	)
	expect(old.length).toBe(5)
	await at.server.restart('kill')
	await expect(borrowed.query('SELECT 1')).rejects.toThrow()
	borrowed.release()
	const now = await Promise.all(Array.from({ length: 5 }, () => pool.connect()))
	for (const client of now) {
		expect(old).not.toContain((await client.query('SELECT pg_backend_pid() AS pid')).rows[0].pid)
		client.release()
	}
})

test('a connection that survived an outage is replaced: its server is not the one that came back', async () => {
	const pool = at.wrap({}, { max: 2 })
	const before = (await pool.query('SELECT pg_backend_pid() AS pid')).rows[0].pid
	// The link of the idle connection stays; only new ones are refused, as behind a proxy whose server is being replaced.
	const held = await pool.connect()
	at.proxy.refuse()
	const parked = pool.query('SELECT pg_backend_pid() AS pid')
	await until(() => pool.holdfast.stats().endpoint.state === 'down', { what: 'the outage to be noticed' })
	held.release()
	await at.proxy.accept()
	expect((await parked).rows[0].pid).not.toBe(before)
	expect(pool.holdfast.stats().discarded).toBe(1)
})
