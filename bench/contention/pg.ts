/** Who fights for rows of PostgreSQL? Holdfast, slonik, @databases/pg, p-retry. */
import { holdfast } from 'holdfast/pg'
import pg from 'pg'
import type { PostgresServer } from '../../test/support/postgres.ts'
import { peer } from '../support/peers.ts'
import { type Arena, type Hands, type Open, type Pair, pRetry, rows } from './sides.ts'

export type Isolation = 'serializable' | 'read committed'

export async function pgArena(server: PostgresServer, isolation: Isolation, poolSize: number): Promise<Arena> {
	const database = `contention_${isolation.replace(' ', '_')}`
	await server.query(`CREATE DATABASE ${database}`)
	await server.query(`ALTER DATABASE ${database} SET default_transaction_isolation = '${isolation}'`)
	const pool = () => new pg.Pool({ ...server.config(database), max: poolSize })
	const hands = (): Hands => {
		const own = pool()
		return { attempt: (pair) => byHand(own, pair), end: () => own.end() }
	}
	const url = server.url(database)
	return {
		title: `PostgreSQL ${server.major}, ${isolation.toUpperCase()}`,
		peers: [pRetry(10, hands), pRetry(100, hands), slonik(url, poolSize), atDatabases(url, poolSize)],
		ours: ours(pool),
		hands,
		async disentangle() {
			await server.query(`SELECT pg_cancel_backend(pid) FROM pg_stat_activity WHERE datname = '${database}' AND wait_event_type = 'Lock'`)
		},
		async layOut() {
			await server.query(
				`DROP TABLE IF EXISTS hot; CREATE TABLE hot (id int PRIMARY KEY, n bigint NOT NULL DEFAULT 0) WITH (fillfactor = 50);
				INSERT INTO hot SELECT id FROM generate_series(1, ${rows}) id; ANALYZE hot; CHECKPOINT`,
				database,
			)
		},
	}
}

const slonik =
	(url: string, maximumPoolSize: number): Open =>
	async () => {
		const { createPool, sql } = await peer('slonik')
		const pool = await createPool(url, { maximumPoolSize })
		return {
			name: 'slonik',
			kind: 'peer',
			transact: ([first, second]) =>
				pool.transaction(async (tx) => {
					await tx.query(sql.unsafe`SELECT n FROM hot WHERE id = ${first}`)
					await tx.query(sql.unsafe`SELECT n FROM hot WHERE id = ${second}`)
					await tx.query(sql.unsafe`UPDATE hot SET n = n + 1 WHERE id = ${first}`)
					await tx.query(sql.unsafe`UPDATE hot SET n = n + 1 WHERE id = ${second}`)
				}),
			stop() {},
			end: () => pool.end(),
		}
	}

const atDatabases =
	(connectionString: string, poolSize: number): Open =>
	async () => {
		const { default: createConnectionPool, sql } = (await peer('@databases/pg')).default
		const pool = createConnectionPool({ connectionString, poolSize, bigIntMode: 'number' })
		return {
			name: '@databases/pg',
			kind: 'peer',
			transact: ([first, second]) =>
				pool.tx(
					async (tx) => {
						await tx.query(sql`SELECT n FROM hot WHERE id = ${first}`)
						await tx.query(sql`SELECT n FROM hot WHERE id = ${second}`)
						await tx.query(sql`UPDATE hot SET n = n + 1 WHERE id = ${first}`)
						await tx.query(sql`UPDATE hot SET n = n + 1 WHERE id = ${second}`)
					},
					{ retrySerializationFailures: true },
				),
			stop() {},
			end: () => pool.dispose(),
		}
	}

const ours =
	(makePool: () => pg.Pool): Open =>
	async () => {
		const pool = holdfast(makePool(), { commit: 'off', deadlineMs: 600_000 })
		const stopped = new AbortController()
		return {
			name: 'Holdfast',
			kind: 'holdfast',
			transact: (pair) => pool.transaction((tx) => statements(tx, pair), { signal: stopped.signal }),
			stop: () => stopped.abort(),
			end: () => pool.end(),
		}
	}

async function byHand(pool: pg.Pool, pair: Pair): Promise<void> {
	const client = await pool.connect()
	try {
		await client.query('BEGIN')
		await statements(client, pair)
		await client.query('COMMIT')
	} catch (error) {
		await client.query('ROLLBACK')
		throw error
	} finally {
		client.release()
	}
}

async function statements(client: Pick<pg.ClientBase, 'query'>, [first, second]: Pair): Promise<void> {
	await client.query('SELECT n FROM hot WHERE id = $1', [first])
	await client.query('SELECT n FROM hot WHERE id = $1', [second])
	await client.query('UPDATE hot SET n = n + 1 WHERE id = $1', [first])
	await client.query('UPDATE hot SET n = n + 1 WHERE id = $1', [second])
}
