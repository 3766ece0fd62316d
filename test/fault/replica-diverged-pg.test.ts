/** A replica that cannot follow the new primary, because it is ahead of it in the old history: which reads may it answer? */
import { expect, test } from 'vitest'
import type { PostgresServer } from '../support/postgres.ts'
import { until } from '../support/until.ts'
import { onFailoverStage } from './failover-stage.ts'

const at = onFailoverStage({ replicas: 2 })

const count = 'SELECT count(*)::int AS n, pg_is_in_recovery() AS replica FROM written'

test('a place in the log of another history proves nothing: the read sees what was written on the new primary', async () => {
	const [primary, behind, ahead] = at.cluster.nodes as [PostgresServer, PostgresServer, PostgresServer]
	await at.cluster.caughtUp(ahead, primary)
	await behind.applySettings({ primary_conninfo: '' })
	// Only one of the two gets this: it is far ahead when the other is promoted.
	await primary.query('CREATE TABLE filler AS SELECT generate_series(1, 50000) AS n')
	await at.cluster.caughtUp(ahead, primary)
	await at.failOver()

	const pool = at.wrap()
	await pool.query('INSERT INTO written VALUES (1)')
	expect((await pool.query(count, { target: 'replica' })).rows).toEqual([{ n: 0, replica: true }])
	const [fresh, recent] = await Promise.all([
		pool.query(count, { target: 'replica', readYourWrites: true }),
		pool.query(count, { target: 'replica', maxLagMs: 1_000 }),
	])
	expect(fresh.rows).toEqual([{ n: 1, replica: false }])
	expect(recent.rows).toEqual([{ n: 1, replica: false }])

	// Made anew from the new primary it has its history: also an ordinary role, which may not look at the receiver, reads there.
	await at.cluster.follow(ahead, at.primary)
	await at.primary.query(
		'DO $$ BEGIN CREATE ROLE reader LOGIN; EXCEPTION WHEN duplicate_object THEN NULL; END $$; GRANT SELECT ON written TO reader',
	)
	const plain = at.wrap({}, { user: 'reader' })
	for (const by of [pool, plain]) {
		const read = async () => (await by.query<{ n: number; replica: boolean }>(count, { target: 'replica', readYourWrites: true })).rows
		await until(async () => (await read())[0]?.replica, { what: 'the replica to be used' })
	}
})
