/** How is a bench's work done over mysql2, on MySQL and MariaDB? */
import { type HoldfastPool, holdfast } from 'holdfast/mysql2'
import mysql, { type Pool, type PoolOptions, type RowDataPacket } from 'mysql2/promise'
import { type Flavour, startMysql } from '../../../test/support/mysql.ts'
import { stubStream } from '../stub-mysql.ts'
import type { BenchPool, Durability, PoolWish, Subject } from './contract.ts'
import { byHand, threeReads } from './three-reads.ts'

const names: Readonly<Record<Flavour, string>> = { mysql: 'MySQL', mariadb: 'MariaDB' }

const accountsSchema = `CREATE TABLE account (id int PRIMARY KEY, cents bigint NOT NULL);
	CREATE TABLE transfer (id bigint AUTO_INCREMENT PRIMARY KEY, payer int NOT NULL, payee int NOT NULL, cents bigint NOT NULL)`

export async function mysql2Subject(flavour: Flavour, { durable = false, quiet = false }: Durability): Promise<Subject> {
	const calm = quiet ? { [flavour === 'mysql' ? 'innodb_redo_log_capacity' : 'innodb_log_file_size']: '512M' } : {}
	const server = await startMysql({ flavour, settings: { innodb_flush_log_at_trx_commit: durable ? '1' : '2', ...calm } })
	const series = (count: number, row: (at: number) => string) => Array.from({ length: count }, (_, at) => row(at)).join(', ')
	return {
		title: `${names[flavour]} ${server.version} (${server.source})`,
		server,
		protocol: 'mysql',
		resolvers: ['ledger'],
		pool: ({ size, door, wrap, keepIdle }) =>
			poolOf({ ...server.config(), ...door, connectionLimit: size, ...(keepIdle && { idleTimeout: 3_600_000 }) }, wrap),
		async layOutCounters(count) {
			await server.query('CREATE TABLE counter (worker int PRIMARY KEY, n int NOT NULL)')
			await server.query(`INSERT INTO counter VALUES ${series(count, (at) => `(${at}, 0)`)}`)
		},
		async layOutAccounts(count) {
			await server.query(accountsSchema)
			await server.query(`INSERT INTO account VALUES ${series(count, (at) => `(${at + 1}, 100000)`)}`)
		},
		// Its connections are threads of one process.
		cpuMs: async () => Number.NaN,
	}
}

export const stubMysql2Pool = ({ size, wrap }: Omit<PoolWish, 'door'>): BenchPool =>
	poolOf({ connectionLimit: size, stream: stubStream, idleTimeout: 3_600_000 }, wrap)

function poolOf(config: PoolOptions, wrap: PoolWish['wrap']): BenchPool {
	const pool = mysql.createPool(config)
	const wrapped = wrap === undefined ? (pool as HoldfastPool<Pool>) : holdfast(pool, wrap)
	// What mysql2 itself keeps; it has no public count.
	const { _allConnections: all, _freeConnections: free } = pool.pool as unknown as Record<string, { readonly length: number }>
	return {
		read: () => pool.query('select 1'),
		query: (sql) => pool.query(sql),
		linger: () => pool.query('select sleep(0.1)'),
		byHand: () => byHand(pool.getConnection(), 'start transaction'),
		byTransaction: () => wrapped.transaction(threeReads),
		transfer: (payer, payee) =>
			wrapped.transaction(async (tx) => {
				await tx.query('UPDATE account SET cents = cents - ? WHERE id = ?', [1, payer])
				await tx.query('UPDATE account SET cents = cents + ? WHERE id = ?', [1, payee])
				await tx.query('INSERT INTO transfer (payer, payee, cents) VALUES (?, ?, ?)', [payer, payee, 1])
			}),
		count: (worker, n) => wrapped.query({ sql: 'update counter set n = ? where worker = ?', values: [n, worker], idempotent: true }),
		async counted(worker) {
			const [rows] = await pool.query<RowDataPacket[]>('select n from counter where worker = ?', [worker])
			return rows[0]?.n
		},
		size: () => ({ total: all?.length ?? Number.NaN, idle: free?.length ?? Number.NaN }),
		stats: () => wrapped.holdfast.stats(),
		end: () => pool.end(),
	}
}
