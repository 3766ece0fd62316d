/** HAProxy stands in front of two servers and knows nothing of roles: what do callers notice when it leads them to the one that takes no writes? */
import { commitLedger, createScheduler } from 'holdfast'
import { holdfast as holdfastMysql } from 'holdfast/mysql2'
import { holdfast as holdfastPg } from 'holdfast/pg'
import mysql from 'mysql2/promise'
import pg from 'pg'
import { describe, expect, test } from 'vitest'
import { type Haproxy, startHaproxy } from '../support/haproxy.ts'
import { accidentMark } from '../support/leaks.ts'
import { flavours } from '../support/mysql.ts'
import { startMysqlPair } from '../support/mysql-replica.ts'
import { startPostgresCluster } from '../support/postgres-cluster.ts'
import { until } from '../support/until.ts'

/** Two servers, the first of which is the primary. */
interface Duo {
	readonly servers: ReadonlyArray<{ readonly host: string; readonly port: number }>
	killFirst(): Promise<void>
	promoteSecond(): Promise<void>
	/** It comes back where it was, and takes no writes. */
	firstComesBack(): Promise<void>
	/** A wrapped pool through the door; `write` is a transaction that adds a row with this number. */
	connect(door: Haproxy): { write(id: number): Promise<unknown>; lastFault(): string | undefined; waits(): number; end(): Promise<void> }
	/** The rows of the second server. */
	ids(): Promise<number[]>
	dispose(): Promise<void>
}

async function mysqlDuo(flavour: (typeof flavours)[number]): Promise<Duo> {
	const pair = await startMysqlPair(flavour, { read_only: 'ON' })
	await pair.source.query('CREATE TABLE written (id int)')
	await pair.caughtUp()
	return {
		servers: [pair.source, pair.replica],
		killFirst: () => pair.source.kill(),
		promoteSecond: () => pair.promote(),
		firstComesBack: () => pair.source.start(),
		connect({ host, port }) {
			const scheduler = createScheduler()
			const { user, database } = pair.source.config()
			const pool = holdfastMysql(mysql.createPool({ host, port, user, database, connectionLimit: 4 }), {
				scheduler,
				commit: commitLedger({ create: true }),
			})
			return {
				write: (id) => pool.transaction((tx) => tx.query('INSERT INTO written VALUES (?)', [id])),
				lastFault: () => pool.holdfast.stats().endpoint.lastFault?.kind,
				waits: () => scheduler.stats().waits,
				end: () => pool.end(),
			}
		},
		ids: async () => (await pair.replica.query<{ id: number }>('SELECT id AS id FROM written ORDER BY id')).map(({ id }) => id),
		dispose: () => pair.dispose(),
	}
}

async function postgresDuo(): Promise<Duo> {
	const cluster = await startPostgresCluster()
	const [primary, replica] = cluster.nodes
	if (primary === undefined || replica === undefined) throw new Error('a cluster without a replica')
	await primary.query('CREATE TABLE written (id int)')
	return {
		servers: [primary, replica],
		killFirst: () => primary.kill(),
		promoteSecond: () => cluster.promote(replica),
		firstComesBack: () => cluster.follow(primary, replica),
		connect({ host, port }) {
			const scheduler = createScheduler()
			const { user, database } = primary.config()
			const pool = holdfastPg(new pg.Pool({ host, port, user, database, max: 4 }), { scheduler, commit: commitLedger({ create: true }) })
			return {
				write: (id) => pool.transaction((tx) => tx.query('INSERT INTO written VALUES ($1)', [id])),
				lastFault: () => pool.holdfast.stats().endpoint.lastFault?.kind,
				waits: () => scheduler.stats().waits,
				end: () => pool.end(),
			}
		},
		ids: async () => (await replica.query<{ id: number }>('SELECT id FROM written ORDER BY id')).map(({ id }) => id),
		dispose: () => cluster.dispose(),
	}
}

const duos: ReadonlyArray<readonly [string, () => Promise<Duo>]> = [
	['PostgreSQL', postgresDuo],
	...flavours.map((flavour) => [flavour, () => mysqlDuo(flavour)] as const),
]

describe.each(duos)('%s', (_name, make) => {
	test('the door leads to a replica, to the new primary, and to the old one that comes back read-only: no write fails, each is run once', async () => {
		const duo = await make()
		const door = await startHaproxy(duo.servers)
		const accidents = accidentMark()
		try {
			const pool = duo.connect(door)
			await Promise.all([1, 2, 3, 4].map(pool.write))
			const before = [1, 2, 3, 4]
			await until(async () => (await duo.ids()).length === before.length, { what: 'the replica to have them' })

			await duo.killFirst()
			await until(async () => (await door.leadsTo()) === 1, { what: 'the door to lead to the replica' })
			const first = [5, 6, 7, 8].map(pool.write)
			await until(() => pool.lastFault() === 'read_only', { what: 'the replica to refuse' })
			await duo.promoteSecond()
			await Promise.all(first)

			await duo.firstComesBack()
			await until(async () => (await door.leadsTo()) === 0, { what: 'the door to lead to the old primary' })
			// More than there are connections, so that some are made through the door as it is now.
			const second = Array.from({ length: 24 }, (_, at) => pool.write(at + 9))
			await duo.killFirst()
			await until(async () => (await door.leadsTo()) === 1, { what: 'the door to lead to the new primary' })
			await Promise.all(second)

			expect(await duo.ids()).toEqual(Array.from({ length: 32 }, (_, at) => at + 1))
			await pool.end()
			expect(pool.waits()).toBe(0)
			await accidents.assertNone()
		} finally {
			accidents.stop()
			await door.stop()
			await duo.dispose()
		}
	})
})
