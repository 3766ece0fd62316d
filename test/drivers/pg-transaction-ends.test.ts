/** What if a transaction's function breaks the rules: swallows errors, ends it by hand, leaves work behind, goes on after the end? */
import type pg from 'pg'
import Cursor from 'pg-cursor'
import QueryStream from 'pg-query-stream'
import { beforeAll, expect, test } from 'vitest'
import { accidentMark } from '../support/leaks.ts'
import { until } from '../support/until.ts'
import { ground, type Untyped } from './side-by-side.ts'

const setup = ground()
beforeAll(async () => {
	await setup.server.query('create table if not exists ends (id int primary key)')
})
const kept = async (ids: readonly number[]) =>
	(await setup.server.query<{ id: number }>(`select id from ends where id = any('{${ids}}') order by id`)).map(({ id }) => id)

/** Nothing of the pool is in a transaction or holds a lock, and it still answers. */
async function assertClean(pool: pg.Pool): Promise<void> {
	const name = (pool as pg.Pool & { options: pg.PoolConfig }).options.application_name
	await until(
		async () =>
			(await setup.server.query(`select 1 from pg_stat_activity where application_name = '${name}' and state <> 'idle'`)).length === 0,
		{ what: 'no backend to be in a transaction' },
	)
	const locks = `select 1 from pg_locks join pg_stat_activity using (pid) where application_name = '${name}'`
	expect(await setup.server.query(locks)).toEqual([])
	expect((await pool.query('select 1 as a')).rows).toEqual([{ a: 1 }])
	expect(pool.idleCount).toBe(pool.totalCount)
}

test('an error that the function swallowed is thrown, and nothing is committed', async () => {
	const pool = setup.wrapped()
	await expect(
		pool.transaction(async (tx) => {
			await tx.query('insert into ends values (1)')
			await tx.query('select 1/0').catch(() => {})
			return 'as if all were well'
		}),
	).rejects.toMatchObject({ code: '22012' })
	expect(await kept([1])).toEqual([])
	await assertClean(pool)
})

test('a constraint that fails at COMMIT rejects with its error, and nothing is committed', async () => {
	await setup.server.query('create table if not exists late (id int unique deferrable initially deferred)')
	const pool = setup.wrapped()
	await expect(
		pool.transaction(async (tx) => {
			await tx.query('insert into late values (1), (1)')
		}),
	).rejects.toMatchObject({ code: '23505' })
	expect(await setup.server.query('select * from late')).toEqual([])
	await assertClean(pool)
})

const byHand = [
	'BEGIN',
	'begin isolation level serializable',
	'START TRANSACTION',
	'COMMIT',
	'commit and chain',
	'END',
	'ROLLBACK',
	'abort',
	"prepare transaction 'p'",
	'/* why */ commit',
	'-- why\ncommit',
	'select 1; commit',
	'insert into ends values (5); commit; begin',
]

for (const sql of byHand) {
	test(`${JSON.stringify(sql)} by hand is refused in every form before it is sent, and the transaction goes on`, async () => {
		const pool = setup.wrapped()
		const id = 100 + byHand.indexOf(sql)
		const refused = { code: 'HOLDFAST_TRANSACTION_CONTROL' }
		await pool.transaction(async (tx) => {
			await tx.query('insert into ends values ($1)', [id])
			await expect(tx.query(sql)).rejects.toMatchObject(refused)
			await expect(tx.query({ text: sql })).rejects.toMatchObject(refused)
			const called = await new Promise((resolve) => (tx as unknown as Untyped).query(sql, resolve))
			expect(called).toMatchObject(refused)
			await expect((tx as unknown as Untyped).query(new QueryStream(sql))).rejects.toMatchObject(refused)
		})
		expect(await kept([5, id])).toEqual([id])
		await assertClean(pool)
	})
}

test('a transaction that was ended behind its back is reported, not run again, and its connection is kept or closed clean', async () => {
	const pool = setup.wrapped()
	let runs = 0
	await expect(
		pool.transaction(async (tx) => {
			runs += 1
			const { connection } = (tx as unknown as { state: { connection: pg.PoolClient } }).state
			await tx.query('select 1')
			await connection.query('commit')
		}),
	).rejects.toMatchObject({ code: 'HOLDFAST_TRANSACTION_CONTROL' })
	expect(runs).toBe(1)
	await assertClean(pool)
})

test('a tx used after its end fails clearly and sends nothing', async () => {
	const pool = setup.wrapped()
	const leaked = await pool.transaction(async (tx) => ({ tx }))
	const ended = { code: 'HOLDFAST_TRANSACTION_ENDED' }
	await expect(leaked.tx.query('insert into ends values (6)')).rejects.toMatchObject(ended)
	await expect(leaked.tx.transaction(async () => 1)).rejects.toMatchObject(ended)
	expect(() => leaked.tx.onCommit(() => {})).toThrow('after its end')
	expect(await new Promise((resolve) => (leaked.tx as unknown as Untyped).query('select 1', resolve))).toMatchObject(ended)
	expect(await kept([6])).toEqual([])
	await assertClean(pool)
})

test('a savepoint handle used after its savepoint fails clearly', async () => {
	const pool = setup.wrapped()
	await pool.transaction(async (tx) => {
		const inner = await tx.transaction(async (handle) => ({ handle }))
		await expect(inner.handle.query('select 1')).rejects.toMatchObject({ code: 'HOLDFAST_TRANSACTION_ENDED' })
	})
	await assertClean(pool)
})

test('a cursor that is still open at the end is closed, and the transaction commits', async () => {
	const pool = setup.wrapped()
	await pool.transaction(async (tx) => {
		await tx.query('insert into ends values (7)')
		const cursor = (tx as unknown as Untyped).query(new Cursor('select * from generate_series(1, 100) as a')) as Cursor
		expect(await cursor.read(2)).toHaveLength(2)
	})
	expect(await kept([7])).toEqual([7])
	await assertClean(pool)
})

test('a stream that is still open at the end is closed, its reader is told, and the transaction commits', async () => {
	const pool = setup.wrapped()
	const accidents = accidentMark()
	let reader: Promise<unknown> | undefined
	let silent: QueryStream | undefined
	await pool.transaction(async (tx) => {
		await tx.query('insert into ends values (8)')
		const stream = (tx as unknown as Untyped).query(new QueryStream('select * from generate_series(1, 100000) as a')) as QueryStream
		reader = new Promise((resolve) => stream.once('error', resolve))
		await new Promise((resolve) => stream.once('readable', resolve))
	})
	await pool.transaction(async (tx) => {
		silent = (tx as unknown as Untyped).query(new QueryStream('select * from generate_series(1, 100000) as a')) as QueryStream
		await new Promise((resolve) => silent?.once('readable', resolve))
	})
	expect(await reader).toMatchObject({ code: 'HOLDFAST_TRANSACTION_ENDED' })
	expect(silent?.destroyed).toBe(true)
	expect(await kept([8])).toEqual([8])
	await assertClean(pool)
	await accidents.assertNone()
	accidents.stop()
})

test('a cursor that is open when the function throws does not keep the rollback waiting', async () => {
	const pool = setup.wrapped()
	await expect(
		pool.transaction(async (tx) => {
			;(tx as unknown as Untyped).query(new Cursor('select * from generate_series(1, 100) as a'))
			throw new Error('mine')
		}),
	).rejects.toThrow('mine')
	await assertClean(pool)
})

test('a query that nobody awaited is finished before the commit, and is part of it', async () => {
	const pool = setup.wrapped()
	let loose: Promise<unknown> | undefined
	await pool.transaction(async (tx) => {
		loose = tx.query('insert into ends select 9 from pg_sleep(0.03)')
	})
	expect(await kept([9])).toEqual([9])
	await loose
	await assertClean(pool)
})

test('a query that nobody awaited and that fails stops the commit', async () => {
	const pool = setup.wrapped()
	let loose: Promise<unknown> | undefined
	await expect(
		pool.transaction(async (tx) => {
			await tx.query('insert into ends values (10)')
			loose = tx.query('select 1/0')
			loose.catch(() => {})
		}),
	).rejects.toMatchObject({ code: '22012' })
	expect(await kept([10])).toEqual([])
	await assertClean(pool)
})

test('transaction() on the pool inside a transaction of the same pool fails clearly, at once, and the outer one is undone', async () => {
	const pool = setup.wrapped({ max: 1 })
	await expect(
		pool.transaction(async (tx) => {
			await tx.query('insert into ends values (11)')
			await pool.transaction(async () => 'never')
		}),
	).rejects.toMatchObject({ code: 'HOLDFAST_TRANSACTION_CONTROL', message: expect.stringContaining('tx.transaction') })
	expect(await kept([11])).toEqual([])
	await assertClean(pool)
})

test('a function that is not async is refused, and what it did is undone', async () => {
	const pool = setup.wrapped()
	let loose: Promise<unknown> | undefined
	await expect(
		pool.transaction(((tx: pg.Pool) => {
			loose = tx.query('insert into ends values (12)')
		}) as unknown as () => Promise<void>),
	).rejects.toThrow(/must be async/)
	await loose
	expect(await kept([12])).toEqual([])
	await assertClean(pool)
})

test('a function that throws before its first promise is rolled back', async () => {
	const pool = setup.wrapped()
	await expect(
		pool.transaction(() => {
			throw new Error('at once')
		}),
	).rejects.toThrow('at once')
	await assertClean(pool)
})

test('a value that pg cannot turn into text rejects its query and spoils nothing', async () => {
	const pool = setup.wrapped()
	await pool.transaction(async (tx) => {
		const value = {
			toPostgres() {
				throw new TypeError('not mine')
			},
		}
		await expect(tx.query('select $1', [value])).rejects.toThrow('not mine')
		await tx.query('insert into ends values (13)')
	})
	expect(await kept([13])).toEqual([13])
	await assertClean(pool)
})

test('a COPY without a stream fails the transaction clearly', async () => {
	const pool = setup.wrapped()
	await expect(pool.transaction((tx) => tx.query('copy ends from stdin'))).rejects.toMatchObject({ code: '57014' })
	await assertClean(pool)
})
