/** How does the driver contract talk to mysql2? */
import { type HoldfastPool, holdfast } from 'holdfast/mysql2'
import type { Pool, PoolOptions, RowDataPacket } from 'mysql2/promise'
import type { MysqlServer } from '../support/mysql.ts'
import { until } from '../support/until.ts'
import type { Subject, SubjectPool, SubjectTransaction } from './contract.ts'

type Sql = Pick<Pool, 'query' | 'execute'>

/** `createPool` is that of any version of mysql2/promise. */
export function mysql2Subject(server: () => MysqlServer, createPool: (options: PoolOptions) => Pool): Subject {
	return {
		pool: (max) => poolOf(holdfast(createPool({ ...(server().config() as PoolOptions), connectionLimit: max })), max),
		async prepare() {
			await server().query('DROP TABLE IF EXISTS contract_rows; CREATE TABLE contract_rows (id INT PRIMARY KEY)')
		},
		rows: async () => (await server().query<{ id: number }>('SELECT id FROM contract_rows ORDER BY id')).map(({ id }) => id),
		terminate: (id) => server().killConnection(id),
		openTransactions: async () => {
			// One pool at a time is open, and root's own connections are not listed.
			const mine = new Set((await server().connections()).map(({ id }) => id))
			const open = await server().query<{ id: number }>('SELECT trx_mysql_thread_id AS id FROM information_schema.innodb_trx')
			return open.filter(({ id }) => mine.has(id)).length
		},
	}
}

const idOf = async (on: Sql): Promise<number> => {
	const [rows] = await on.query<RowDataPacket[]>('SELECT CONNECTION_ID() AS id')
	return rows[0]?.id
}
const insert = (on: Sql, id: number) => on.execute('INSERT INTO contract_rows VALUES (?)', [id])
const fail = (on: Sql) => on.query('SELECT * FROM no_such_table')

function poolOf(pool: HoldfastPool<Pool>, max: number): SubjectPool {
	const { _allConnections: all, _freeConnections: free } = (pool as unknown as { pool: Record<string, { length: number }> }).pool
	let ended = false
	return {
		get size() {
			return all?.length ?? max
		},
		id: () => idOf(pool),
		insert: (id) => insert(pool, id),
		fail: () => fail(pool),
		isOwnError: (error) => (error as { code?: unknown } | undefined)?.code === 'ER_NO_SUCH_TABLE',
		async leaveClean() {
			const connection = await pool.getConnection()
			await connection.beginTransaction()
			await connection.rollback()
			connection.release()
		},
		async leaveDirty() {
			const connection = await pool.getConnection()
			await connection.beginTransaction()
			await insert(connection, 99)
			connection.release()
		},
		transaction: (fn) => pool.transaction((tx) => fn(transactionOf(tx))),
		attempts: () => pool.holdfast.stats().attempts,
		ready: () => pool.holdfast.ready(),
		settled: async () => void (await until(() => free?.length === all?.length, { what: 'every connection to be back' })),
		end: async () => {
			if (ended) return
			ended = true
			await pool.end()
		},
	}
}

type Handle = Sql & { transaction<R>(fn: (tx: Handle) => Promise<R>): Promise<R>; onCommit(callback: () => unknown): void }

function transactionOf(tx: Handle): SubjectTransaction {
	return {
		id: () => idOf(tx),
		insert: (id) => insert(tx, id),
		fail: () => fail(tx),
		send: (sql) => tx.query(sql),
		savepoint: (fn) => tx.transaction((inner) => fn(transactionOf(inner))),
		onCommit: (callback) => tx.onCommit(callback),
	}
}
