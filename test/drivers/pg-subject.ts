/** How does the driver contract talk to pg? */
import { type HoldfastPool, holdfast } from 'holdfast/pg'
import type pg from 'pg'
import type { PostgresServer } from '../support/postgres.ts'
import { until } from '../support/until.ts'
import type { Subject, SubjectPool, SubjectTransaction } from './contract.ts'

type Sql = Pick<pg.Pool, 'query'>

/** `Pool` is the class of any version of pg. */
export function pgSubject(server: () => PostgresServer, Pool: typeof pg.Pool): Subject {
	let names = 0
	const named = new WeakMap<SubjectPool, string>()
	return {
		pool(max) {
			names += 1
			const application_name = `contract-${names}`
			const pool = holdfast(new Pool({ ...server().config(), application_name, max }))
			const subject = poolOf(pool)
			named.set(subject, application_name)
			return subject
		},
		async prepare() {
			await server().query('drop table if exists contract_rows; create table contract_rows (id int primary key)')
		},
		rows: async () => (await server().query<{ id: number }>('select id from contract_rows order by id')).map(({ id }) => id),
		async terminate(id) {
			await server().query(`select pg_terminate_backend(${id})`)
			const left = () => server().query(`select 1 from pg_stat_activity where pid = ${id}`)
			await until(async () => (await left()).length === 0, { what: `backend ${id} to end` })
		},
		openTransactions: async (pool) =>
			(await server().query(`select 1 from pg_stat_activity where application_name = '${named.get(pool)}' and xact_start is not null`))
				.length,
	}
}

const idOf = async (on: Sql): Promise<number> => (await on.query('select pg_backend_pid() as id')).rows[0].id
const insert = (on: Sql, id: number) => on.query('insert into contract_rows values ($1)', [id])

function poolOf(pool: HoldfastPool): SubjectPool {
	return {
		get size() {
			return pool.totalCount
		},
		id: () => idOf(pool),
		insert: (id) => insert(pool, id),
		fail: () => pool.query('select 1/0'),
		isOwnError: (error) => (error as { code?: unknown } | undefined)?.code === '22012',
		async leaveClean() {
			const client = await pool.connect()
			await client.query('begin')
			await client.query('rollback')
			client.release()
		},
		async leaveDirty() {
			const client = await pool.connect()
			await client.query('begin')
			await insert(client as unknown as Sql, 99)
			client.release()
		},
		transaction: (fn) => pool.transaction((tx) => fn(transactionOf(tx))),
		attempts: () => pool.holdfast.stats().attempts,
		ready: () => pool.holdfast.ready(),
		settled: async () => void (await until(() => pool.idleCount === pool.totalCount, { what: 'every connection to be back' })),
		end: async () => {
			if (!pool.ending) await pool.end()
		},
	}
}

type Handle = Sql & { transaction<R>(fn: (tx: Handle) => Promise<R>): Promise<R>; onCommit(callback: () => unknown): void }

function transactionOf(tx: Handle): SubjectTransaction {
	return {
		id: () => idOf(tx),
		insert: (id) => insert(tx, id),
		fail: () => tx.query('select 1/0'),
		send: (sql) => tx.query(sql),
		savepoint: (fn) => tx.transaction((inner) => fn(transactionOf(inner))),
		onCommit: (callback) => tx.onCommit(callback),
	}
}
