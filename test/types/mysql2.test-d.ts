/** Do the types of a wrapped mysql2 pool say what it does? Compiled by `tsc`; nothing here is run. */
import { commitLedger } from 'holdfast'
import { type HoldfastPool, holdfast, type Stats } from 'holdfast/mysql2'
import mysql, { type FieldPacket, type ResultSetHeader, type RowDataPacket } from 'mysql2'
import promised from 'mysql2/promise'

type Equal<A, B> = (<T>() => T extends A ? 1 : 2) extends <T>() => T extends B ? 1 : 2 ? true : false
const same = <A, B>(_yes: Equal<A, B>): void => {}

export async function pools(): Promise<void> {
	const pool = holdfast(mysql.createPool({}), { deadlineMs: 5_000, commit: commitLedger(), onRetry: ({ fault }) => void fault.kind })
	same<typeof pool, HoldfastPool<mysql.Pool>>(true)
	const asPool: mysql.Pool = pool
	const byPromise = holdfast(promised.createPool({}))
	const asPromisePool: promised.Pool = byPromise
	void [asPool, asPromisePool]
	await pool.holdfast.ready({ deadlineMs: 100 })
	same<ReturnType<typeof pool.holdfast.stats>['attempts'], number>(true)
	await byPromise.end()
}

export async function clusters(): Promise<void> {
	const cluster = holdfast(mysql.createPoolCluster())
	same<ReturnType<typeof cluster.holdfast.stats>, Readonly<Record<string, Stats>>>(true)
	const asCluster: mysql.PoolCluster = cluster
	const byPromise = holdfast(promised.createPoolCluster())
	const value = await byPromise.transaction(async () => 5)
	same<typeof value, number>(true)
	cluster.of('*').query({ sql: 'UPDATE t SET n = 1', idempotent: true, deadlineMs: 100 }, (error) => void error)
	const [header] = await byPromise.of('*', 'RR').execute<ResultSetHeader>({ sql: 'INSERT INTO t VALUES (1)', exactlyOnce: true })
	same<typeof header.affectedRows, number>(true)
	void asCluster
}

export async function queries(pool: HoldfastPool<promised.Pool>): Promise<void> {
	interface Row extends RowDataPacket {
		id: number
	}
	const [rows, fields] = await pool.query<Row[]>({ sql: 'SELECT id FROM t WHERE id = ?', values: [1], idempotent: true, deadlineMs: 100 })
	same<typeof rows, Row[]>(true)
	same<typeof fields, FieldPacket[]>(true)
	const [plain] = await pool.query<Row[]>('SELECT id FROM t', [1])
	same<typeof plain, Row[]>(true)
	const [header] = await pool.execute<ResultSetHeader>({ sql: 'INSERT INTO t VALUES (?)', exactlyOnce: true, label: 'one' }, [1])
	same<typeof header.affectedRows, number>(true)
	const connection = await pool.getConnection()
	same<typeof connection, promised.PoolConnection>(true)
}

export async function transactions(pool: HoldfastPool): Promise<void> {
	pool.query('SELECT 1', (error, rows) => void [error, rows])
	pool.query('SELECT 1').stream()
	pool.query<RowDataPacket[]>({ sql: 'SELECT ? AS id', values: [1], idempotent: true, deadlineMs: 100 }, (_error, rows) => {
		same<typeof rows, RowDataPacket[]>(true)
	})
	pool.execute({ sql: 'DO ?', exactlyOnce: true }, [1], (error) => void error)
	const byPromise = pool.promise()
	same<typeof byPromise, HoldfastPool<promised.Pool>>(true)
	await byPromise.transaction(async () => byPromise.query({ sql: 'SELECT 1', label: 'x' }))
	const value = await pool.transaction(
		async (tx) => {
			const [rows] = await tx.query<RowDataPacket[]>('SELECT 1 AS id')
			const inner = await tx.transaction(async (savepoint) => {
				savepoint.onCommit(() => {})
				await savepoint.execute('DO 1')
				return 'inner' as const
			})
			return { id: rows[0]?.id as number, inner }
		},
		{ isolation: 'serializable', readOnly: true, idempotent: true, label: 'x', deadlineMs: 5, signal: AbortSignal.abort() },
	)
	same<typeof value, { id: number; inner: 'inner' }>(true)
}

export function refused(pool: HoldfastPool<promised.Pool>, called: HoldfastPool): void {
	// @ts-expect-error no such field
	called.query({ sql: 'SELECT 1', idempotnt: true }, () => {})
	// @ts-expect-error a number of milliseconds, not a text
	holdfast(mysql.createPool({}), { deadlineMs: '5s' })
	// @ts-expect-error no such option
	holdfast(mysql.createPool({}), { deadline: 5 })
	// @ts-expect-error a connection is no pool
	holdfast(mysql.createConnection({}))
	// @ts-expect-error no such isolation
	void pool.transaction(async () => 1, { isolation: 'snapshot' })
	// @ts-expect-error the function must return a promise
	void pool.transaction(() => 1)
	// @ts-expect-error the word for it is true or false
	void pool.query({ sql: 'SELECT 1', idempotent: 'yes' })
	// @ts-expect-error no such field
	void pool.query({ sql: 'SELECT 1', idempotnt: true })
}
