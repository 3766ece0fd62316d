/** How is a bench's work done over pg, on PostgreSQL? */
import { type HoldfastPool, holdfast } from 'holdfast/pg'
import pg from 'pg'
import { startPostgres } from '../../../test/support/postgres.ts'
import { backendCpuMs } from '../server-cpu.ts'
import { StubClient } from '../stub-client.ts'
import type { BenchPool, Durability, PoolWish, Subject } from './contract.ts'
import { byHand, threeReads } from './three-reads.ts'

// Nothing in the background takes part: each run of a pair is to meet the same server.
const accountsSchema = `CREATE TABLE account (id int PRIMARY KEY, cents bigint NOT NULL) WITH (autovacuum_enabled = off, fillfactor = 50);
	CREATE TABLE transfer (id bigserial PRIMARY KEY, payer int NOT NULL, payee int NOT NULL, cents bigint NOT NULL) WITH (autovacuum_enabled = off)`

export async function pgSubject({ durable = false, quiet = false }: Durability): Promise<Subject> {
	const calm = quiet ? { checkpoint_timeout: '1h', max_wal_size: '4GB' } : {}
	const server = await startPostgres({ major: 18, settings: { fsync: durable ? 'on' : 'off', ...calm } })
	return {
		title: `PostgreSQL ${server.major} (${server.source})`,
		server,
		protocol: 'postgres',
		resolvers: ['verify', 'ledger'],
		pool({ size, door, wrap, name, keepIdle }) {
			const config = { ...server.config(), ...door, max: size, ...(name !== undefined && { application_name: name }) }
			return poolOf(new pg.Pool({ ...config, ...(keepIdle && { idleTimeoutMillis: 0 }) }), wrap)
		},
		async layOutCounters(count) {
			await server.query(
				`CREATE TABLE counter (worker int PRIMARY KEY, n int NOT NULL); INSERT INTO counter SELECT i, 0 FROM generate_series(0, ${count} - 1) i`,
			)
		},
		async layOutAccounts(count) {
			await server.query(`${accountsSchema}; INSERT INTO account SELECT id, 100000 FROM generate_series(1, ${count}) id; ANALYZE account`)
		},
		cpuMs: (name) => backendCpuMs(server, name),
	}
}

export function stubPgPool({ size, wrap }: Omit<PoolWish, 'door'>): BenchPool {
	const config = { Client: StubClient as unknown as typeof pg.Client, max: size, idleTimeoutMillis: 0 }
	return poolOf(new pg.Pool(config as pg.PoolConfig), wrap)
}

function poolOf(pool: pg.Pool, wrap: PoolWish['wrap']): BenchPool {
	// A bare pool without this listener would end the process.
	const wrapped = wrap === undefined ? (pool.on('error', () => {}) as HoldfastPool) : holdfast(pool, wrap)
	return {
		read: () => pool.query('select 1'),
		query: (sql) => pool.query(sql),
		linger: () => pool.query('select pg_sleep(0.1)'),
		byHand: () => byHand(pool.connect(), 'begin'),
		byTransaction: () => wrapped.transaction(threeReads),
		transfer: (payer, payee) =>
			wrapped.transaction(async (tx) => {
				await tx.query('UPDATE account SET cents = cents - $2 WHERE id = $1', [payer, 1])
				await tx.query('UPDATE account SET cents = cents + $2 WHERE id = $1', [payee, 1])
				await tx.query('INSERT INTO transfer (payer, payee, cents) VALUES ($1, $2, $3)', [payer, payee, 1])
			}),
		count: (worker, n) => wrapped.query({ text: 'update counter set n = $2 where worker = $1', values: [worker, n], idempotent: true }),
		counted: async (worker) => (await pool.query('select n from counter where worker = $1', [worker])).rows[0]?.n,
		size: () => ({ total: pool.totalCount, idle: pool.idleCount }),
		stats: () => wrapped.holdfast.stats(),
		end: () => pool.end(),
	}
}
