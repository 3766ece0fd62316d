/** A commit in doubt, and another node in its place: the ids of the old timeline are used again, and the answer is never a wrong one. */
import { InDoubtError } from 'holdfast'
import { expect, test } from 'vitest'
import type { PostgresServer } from '../support/postgres.ts'
import { onFailoverStage } from './failover-stage.ts'

// Two replicas made from the primary at rest: their statistics, and with them most of the crash epoch, are the primary's own.
const at = onFailoverStage({ replicas: 2, coldCopy: true })

/** A transaction whose COMMIT is answered by the death of its server; `next` is promoted and hands out ids until ours is somebody else's. */
async function loseCommit(server: PostgresServer, next: PostgresServer) {
	const pool = at.wrap({ deadlineMs: 8_000 }, { max: 1 })
	let bodies = 0
	let xid = 0n
	at.proxyOf(server).intercept({
		from: 'server',
		match: (message) => message.tag === 'COMMIT',
		action: 'cut before',
		onHit: async () => {
			await server.kill()
			await at.cluster.promote(next)
			for (let used = -1n; used < xid; ) {
				const [row] = await next.query<{ xid: string }>('INSERT INTO written VALUES (0) RETURNING pg_current_xact_id()::text AS xid')
				used = BigInt(row?.xid ?? 0)
			}
		},
	})
	const outcome = await pool
		.transaction(async (tx) => {
			bodies += 1
			const { rows } = await tx.query<{ xid: string }>('INSERT INTO written VALUES (1) RETURNING pg_current_xact_id()::text AS xid')
			xid = BigInt(rows[0]?.xid ?? 0)
		})
		.catch((error: unknown) => error)
	const [status] = await next.query<{ status: string }>(`SELECT pg_xact_status('${xid}'::xid8) AS status`)
	const [timeline] = await next.query<{ tl: string }>('SELECT substr(pg_walfile_name(pg_current_wal_lsn()), 1, 8) AS tl')
	const there = (await next.query('SELECT 1 FROM written WHERE id = 1')).length
	await pool.end()
	return { outcome, bodies, status: status?.status, timeline: timeline?.tl, there }
}

test('an id of the old timeline that was used again is taken neither for a success nor for a failure, also where timelines have the same number', async () => {
	const [primary, first, second] = at.cluster.nodes as [PostgresServer, PostgresServer, PostgresServer]
	const resetAt = 'SELECT pg_stat_get_bgwriter_stat_reset_time()::text AS at'
	const epochs = await Promise.all(at.cluster.nodes.map(async (node) => (await node.query<{ at: string }>(resetAt))[0]?.at))
	expect(new Set(epochs).size).toBe(1)
	await at.cluster.caughtUp(second, primary)
	// What is written from now on the replicas do not have.
	for (const replica of [first, second]) await replica.applySettings({ primary_conninfo: '' })

	const onPrimary = await loseCommit(primary, first)
	expect(onPrimary).toMatchObject({ bodies: 1, there: 0, status: 'committed', timeline: '00000002' })
	expect(onPrimary.outcome).toBeInstanceOf(InDoubtError)
	expect((onPrimary.outcome as InDoubtError).message).toContain('was replaced since')

	// The second replica knows nothing of the first: its promotion begins the same timeline, and its statistics are as old.
	const onFirst = await loseCommit(first, second)
	expect(onFirst).toMatchObject({ bodies: 1, there: 0, status: 'committed', timeline: '00000002' })
	expect(onFirst.outcome).toBeInstanceOf(InDoubtError)
})
