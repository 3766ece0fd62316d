/** Are commits resolved on other servers as well: older ones, those without the functions, and behind PgBouncer? */

import { commitLedger, createScheduler, InDoubtError } from 'holdfast'
import { holdfast } from 'holdfast/pg'
import pg from 'pg'
import { describe, expect, test } from 'vitest'
import { startPgBouncer } from '../support/pgbouncer.ts'
import { startProxy } from '../support/proxy.ts'
import { onStage } from './on-stage.ts'
import { writing } from './writing.ts'

const ways = [
	['verify', () => 'verify' as const],
	['the ledger', () => commitLedger({ create: true })],
] as const

describe.each([14, 16] as const)('PostgreSQL %i', (major) => {
	const at = onStage(major)

	test.each(ways)('%s: applied is found, not applied is run again', async (_way, commit) => {
		const pool = at.wrap({ commit: commit() })
		// Twice on the same connection: an older server is not asked for its epoch again.
		await at.write(pool)
		await at.write(pool)
		at.loseCommitReply()
		await at.write(pool)
		at.loseCommitItself()
		expect(await at.write(pool)).toMatchObject({ error: undefined, rows: 4 })
		expect(pool.holdfast.stats().resolved).toEqual({ applied: 1, notApplied: 1, unresolved: 0 })
	})

	test('verify: after a crash nobody can tell', async () => {
		const pool = at.wrap()
		await at.write(pool)
		at.loseCommitReply(() => at.server.restart('kill'))
		expect((await at.write(pool)).error).toBeInstanceOf(InDoubtError)
	})
})

const at = onStage()

test.each(ways)(
	'behind PgBouncer in transaction mode (%s): applied is found, not applied is run again, however connections are shared',
	async (_way, commit) => {
		const bouncer = await startPgBouncer(at.server, 2)
		const proxy = await startProxy({ target: bouncer, protocol: 'postgres' })
		const { write, rows, loseCommitReply, loseCommitItself } = writing({ ask: at.ask, proxy })
		try {
			const config = { ...bouncer.config(), host: proxy.host, port: proxy.port, max: 6 }
			const pool = holdfast(new pg.Pool(config), { commit: commit(), scheduler: createScheduler() })
			for (let round = 1; round <= 20; round++) {
				const lost = round % 2 === 0 ? loseCommitReply() : loseCommitItself()
				await Promise.all(Array.from({ length: 6 }, () => write(pool)))
				expect(lost.hits).toBe(1)
			}
			const { resolved } = pool.holdfast.stats()
			expect(resolved).toEqual({ applied: 10, notApplied: 10, unresolved: 0 })
			expect(await rows()).toBe(120)
			await pool.end()
		} finally {
			await proxy.close()
			await bouncer.stop()
		}
	},
)

test.each(ways)(
	'behind PgBouncer in transaction mode (%s): whoever has our former server connection is left alone',
	async (_way, commit) => {
		const bouncer = await startPgBouncer(at.server, 2)
		const proxy = await startProxy({ target: bouncer, protocol: 'postgres' })
		const { write, loseCommitReply } = writing({ ask: at.ask, proxy })
		const other = new pg.Client(bouncer.config())
		const accidents: unknown[] = []
		other.on('error', (error) => accidents.push(error))
		try {
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
			const lost = loseCommitReply()
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
		}
	},
)

test('a server from before PostgreSQL 13 is asked by its own functions; one that has neither leaves commits in doubt', async () => {
	// The nearest thing to a server of 2019: the functions are not there under their new names.
	await at.ask(
		'ALTER FUNCTION pg_catalog.pg_current_xact_id() RENAME TO gone_1; ALTER FUNCTION pg_catalog.pg_xact_status(xid8) RENAME TO gone_2',
	)
	const pool = at.wrap()
	at.loseCommitReply()
	await at.write(pool)
	expect(pool.holdfast.stats().resolved).toEqual({ applied: 1, notApplied: 0, unresolved: 0 })
	await at.ask('ALTER FUNCTION pg_catalog.txid_current() RENAME TO gone_3')
	const other = at.wrap()
	await at.write(other)
	at.loseCommitReply()
	const { error } = await at.write(other)
	expect(error).toBeInstanceOf(InDoubtError)
	expect(String(error)).toContain('not verified')
})
