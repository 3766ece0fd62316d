/** Are commits resolved on other servers as well: older ones, those without the functions, and behind PgBouncer? */

import { commitLedger, createScheduler, InDoubtError } from 'holdfast'
import { holdfast } from 'holdfast/pg'
import pg from 'pg'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { startPgBouncer } from '../support/pgbouncer.ts'
import { type FaultProxy, startProxy } from '../support/proxy.ts'
import { type Stage, stage } from './stage.ts'

const loseReply = (proxy: FaultProxy, onHit?: () => Promise<void>) =>
	proxy.intercept({ from: 'server', match: (message) => message.tag === 'COMMIT', action: 'cut before', ...(onHit && { onHit }) })
const loseCommit = (proxy: FaultProxy) =>
	proxy.intercept({ from: 'client', match: (message) => message.text === 'COMMIT', action: 'cut before' })
const write = (pool: ReturnType<Stage['wrap']>) => pool.transaction(async (tx) => tx.query('INSERT INTO written VALUES (1)'))

const ways = [
	['verify', () => 'verify' as const],
	['the ledger', () => commitLedger({ create: true })],
] as const

describe.each([14, 16] as const)('PostgreSQL %i', (major) => {
	let at: Stage
	beforeAll(async () => {
		at = await stage({}, major)
		await at.ask('CREATE TABLE written (id int)')
	})
	afterAll(() => at.close())
	const rows = async () => (await at.ask<{ n: number }>('SELECT count(*)::int AS n FROM written'))[0]?.n

	test.each(ways)('%s: applied is found, not applied is run again', async (_way, commit) => {
		await at.ask('TRUNCATE written')
		const pool = at.wrap({ commit: commit() })
		// Twice on the same connection: an older server is not asked for its epoch again.
		await write(pool)
		await write(pool)
		loseReply(at.proxy)
		await write(pool)
		loseCommit(at.proxy)
		await write(pool)
		expect(pool.holdfast.stats().resolved).toEqual({ applied: 1, notApplied: 1, unresolved: 0 })
		expect(await rows()).toBe(4)
		await at.leaveNothing()
	})

	test('verify: after a crash nobody can tell', async () => {
		const pool = at.wrap()
		await write(pool)
		loseReply(at.proxy, () => at.server.restart('kill'))
		await expect(write(pool)).rejects.toBeInstanceOf(InDoubtError)
		await at.leaveNothing()
	})
})

test('a server from before PostgreSQL 13 is asked by its own functions; one that has neither leaves commits in doubt', async () => {
	const at = await stage()
	try {
		await at.ask('CREATE TABLE written (id int)')
		// The nearest thing to a server of 2019: the functions are not there under their new names.
		await at.ask(
			'ALTER FUNCTION pg_catalog.pg_current_xact_id() RENAME TO gone_1; ALTER FUNCTION pg_catalog.pg_xact_status(xid8) RENAME TO gone_2',
		)
		const pool = at.wrap()
		loseReply(at.proxy)
		await write(pool)
		expect(pool.holdfast.stats().resolved).toEqual({ applied: 1, notApplied: 0, unresolved: 0 })
		await at.ask('ALTER FUNCTION pg_catalog.txid_current() RENAME TO gone_3')
		const other = at.wrap()
		await write(other)
		loseReply(at.proxy)
		const error = await write(other).catch((reason: unknown) => reason)
		expect(error).toBeInstanceOf(InDoubtError)
		expect(String(error)).toContain('not verified')
		await at.leaveNothing()
	} finally {
		await at.close()
	}
})

test.each(ways)(
	'behind PgBouncer in transaction mode (%s): applied is found, not applied is run again, however connections are shared',
	async (_way, commit) => {
		const at = await stage()
		const bouncer = await startPgBouncer(at.server, 2)
		const proxy = await startProxy({ target: bouncer, protocol: 'postgres' })
		try {
			await at.ask('CREATE TABLE written (id int)')
			const config = { ...bouncer.config(), host: proxy.host, port: proxy.port, max: 6 }
			const pool = holdfast(new pg.Pool(config), { commit: commit(), scheduler: createScheduler() })
			for (let round = 1; round <= 20; round++) {
				const lost = round % 2 === 0 ? loseReply(proxy) : loseCommit(proxy)
				await Promise.all(Array.from({ length: 6 }, () => write(pool)))
				expect(lost.hits).toBe(1)
			}
			const { resolved } = pool.holdfast.stats()
			expect(resolved).toEqual({ applied: 10, notApplied: 10, unresolved: 0 })
			expect((await at.ask<{ n: number }>('SELECT count(*)::int AS n FROM written'))[0]?.n).toBe(120)
			await pool.end()
		} finally {
			await proxy.close()
			await bouncer.stop()
			await at.close()
		}
	},
)

test.each(ways)(
	'behind PgBouncer in transaction mode (%s): whoever has our former server connection is left alone',
	async (_way, commit) => {
		const at = await stage()
		const bouncer = await startPgBouncer(at.server, 2)
		const proxy = await startProxy({ target: bouncer, protocol: 'postgres' })
		const other = new pg.Client(bouncer.config())
		const accidents: unknown[] = []
		other.on('error', (error) => accidents.push(error))
		try {
			await at.ask('CREATE TABLE written (id int)')
			const pool = holdfast(new pg.Pool({ ...bouncer.config(), host: proxy.host, port: proxy.port, max: 1 }), {
				commit: commit(),
				scheduler: createScheduler(),
			})
			const where = async (on: Pick<pg.Client, 'query'>) => (await on.query('SELECT pg_backend_pid() AS pid')).rows[0].pid
			await write(pool)
			const before = await pool.transaction(where)
			await other.connect()
			await other.query('BEGIN')
			expect(await where(other)).toBe(before)
			const lost = loseReply(proxy)
			await write(pool)
			expect(lost.hits).toBe(1)
			expect(pool.holdfast.stats().resolved).toEqual({ applied: 1, notApplied: 0, unresolved: 0 })
			expect((await other.query('COMMIT')).command).toBe('COMMIT')
			expect(accidents).toEqual([])
			await pool.end()
		} finally {
			await other.end()
			await proxy.close()
			await bouncer.stop()
			await at.close()
		}
	},
)
