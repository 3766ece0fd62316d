/** Is transaction() on a real server what it says: modes, value, savepoints, callbacks, every form of query? */
import { holdfast } from 'holdfast/pg'
import pg from 'pg'
import Cursor from 'pg-cursor'
import QueryStream from 'pg-query-stream'
import { beforeAll, expect, test } from 'vitest'
import { noRetries } from '../support/no-retries.ts'
import { until } from '../support/until.ts'
import { ground, shape, type Untyped } from './side-by-side.ts'

const setup = ground()
beforeAll(async () => {
	await setup.server.query('create table if not exists kept (id int primary key)')
})
const kept = async (ids: readonly number[]) =>
	(await setup.server.query<{ id: number }>(`select id from kept where id = any('{${ids}}') order by id`)).map(({ id }) => id)

for (const isolation of ['read uncommitted', 'read committed', 'repeatable read', 'serializable'] as const) {
	test(`isolation ${isolation} is in force`, async () => {
		const pool = setup.wrapped()
		const rows = await pool.transaction(async (tx) => (await tx.query('show transaction_isolation')).rows, { isolation })
		expect(rows).toEqual([{ transaction_isolation: isolation }])
	})
}

test('readOnly and deferrable are in force, and the default of the database where they are not given', async () => {
	const pool = setup.wrapped({ options: '-c default_transaction_read_only=on -c default_transaction_isolation=serializable' })
	const show =
		"select current_setting('transaction_read_only') as ro, current_setting('transaction_deferrable') as d, current_setting('transaction_isolation') as i"
	const modes = (options?: Parameters<typeof pool.transaction>[1]) =>
		pool.transaction(async (tx) => (await tx.query(show)).rows[0], options)
	expect(await modes()).toEqual({ ro: 'on', d: 'off', i: 'serializable' })
	expect(await modes({ readOnly: false })).toEqual({ ro: 'off', d: 'off', i: 'serializable' })
	expect(await modes({ readOnly: true, deferrable: true })).toEqual({ ro: 'on', d: 'on', i: 'serializable' })
	expect(await modes({ deferrable: false, isolation: 'repeatable read' })).toEqual({ ro: 'on', d: 'off', i: 'repeatable read' })
	await expect(pool.transaction((tx) => tx.query('insert into kept values (0)'), { readOnly: true })).rejects.toMatchObject({
		code: '25006',
	})
})

test('the value of the function is the value of the call, and the work is committed when it resolves', async () => {
	const pool = setup.wrapped()
	const value = { any: 'thing' }
	expect(
		await pool.transaction(async (tx) => {
			await tx.query('insert into kept values (1)')
			return value
		}),
	).toBe(value)
	expect(await kept([1])).toEqual([1])
})

test('an error of the function rolls back, is thrown on as the same object, and the connection is kept', async () => {
	const pool = setup.wrapped({ max: 1 })
	const { rows: before } = await pool.query('select pg_backend_pid() as pid')
	for (const thrown of [new Error('mine'), undefined, 'text']) {
		const caught = await pool
			.transaction(async (tx) => {
				await tx.query('insert into kept values (2)')
				throw thrown
			})
			.then(
				() => 'resolved',
				(error) => ({ error }),
			)
		expect(caught).toEqual({ error: thrown })
		expect((caught as { error: unknown }).error).toBe(thrown)
	}
	expect(await kept([2])).toEqual([])
	expect((await pool.query('select pg_backend_pid() as pid')).rows).toEqual(before)
	expect(pool.holdfast.stats()).toMatchObject({ retries: noRetries, discarded: 0 })
})

test('an SQL error in the function is thrown on as pg made it, after one attempt', async () => {
	const pool = setup.wrapped({ max: 1 })
	let runs = 0
	await expect(
		pool.transaction(async (tx) => {
			runs += 1
			await tx.query('insert into kept values (3)')
			await tx.query('insert into kept values (3)')
		}),
	).rejects.toMatchObject({ code: '23505', constraint: 'kept_pkey' })
	expect(runs).toBe(1)
	expect(await kept([3])).toEqual([])
})

test('a savepoint that fails is rolled back alone, one that succeeds stays, and they nest', async () => {
	const pool = setup.wrapped()
	const values = await pool.transaction(async (tx) => {
		await tx.query('insert into kept values (10)')
		const failed = await tx
			.transaction(async (inner) => {
				await inner.query('insert into kept values (11)')
				await inner.query('select 1/0')
			})
			.catch((error: unknown) => (error as { code: string }).code)
		const done = await tx.transaction(async (inner) => {
			await inner.query('insert into kept values (12)')
			await inner
				.transaction(async (innermost) => {
					await innermost.query('insert into kept values (13)')
					throw new Error('innermost')
				})
				.catch(() => {})
			return 'done'
		})
		return [failed, done]
	})
	expect(values).toEqual(['22012', 'done'])
	expect(await kept([10, 11, 12, 13])).toEqual([10, 12])
})

test('onCommit callbacks run once, in order, after the commit, and not for what was rolled back', async () => {
	const pool = setup.wrapped()
	const told: unknown[] = []
	await pool.transaction(async (tx) => {
		await tx.query('insert into kept values (20)')
		tx.onCommit(async () => told.push(['outer', await kept([20])]))
		await tx
			.transaction(async (inner) => {
				inner.onCommit(() => told.push('never'))
				throw new Error('rolled back')
			})
			.catch(() => {})
		await tx.transaction(async (inner) => inner.onCommit(() => told.push('inner')))
	})
	await pool
		.transaction(async (tx) => {
			tx.onCommit(() => told.push('never'))
			throw new Error('rolled back')
		})
		.catch(() => {})
	expect(told).toEqual([['outer', [20]], 'inner'])
})

test('savepoints, SET LOCAL and LOCK by hand are let through', async () => {
	const pool = setup.wrapped()
	await pool.transaction(async (tx) => {
		await tx.query('set local lock_timeout = 100')
		await tx.query('lock table kept in share mode')
		await tx.query('savepoint mine')
		await tx.query('insert into kept values (30)')
		await tx.query('rollback to savepoint mine')
		await tx.query('release savepoint mine')
		await tx.query('insert into kept values (31)')
	})
	expect(await kept([30, 31])).toEqual([31])
})

test('an SQL error that a savepoint by hand has undone does not stop the commit', async () => {
	const pool = setup.wrapped()
	await pool.transaction(async (tx) => {
		await tx.query('insert into kept values (32)')
		await tx.query('savepoint mine')
		await tx.query('select 1/0').catch(() => {})
		await tx.query('rollback to savepoint mine')
	})
	expect(await kept([32])).toEqual([32])
})

test('tx.query takes every form that a client of pg takes', async () => {
	const pool = setup.wrapped()
	const called = (call: (done: (error: unknown, result?: unknown) => void) => unknown) =>
		new Promise<unknown>((resolve) => {
			const returned = call((error, result) => resolve([error ?? undefined, (shape(result) as { rows: unknown } | undefined)?.rows]))
			if (returned !== undefined) resolve(['returned', typeof returned])
		})
	await pool.transaction(async (tx) => {
		const untyped = tx as unknown as Untyped
		const rows = async (...given: unknown[]) => ((await untyped.query(...given)) as pg.QueryResult).rows
		const a = [{ a: 1 }]
		expect(await rows('select 1 as a')).toEqual(a)
		expect(await rows('select $1::int as a', [1])).toEqual(a)
		expect(await rows({ text: 'select $1::int as a', values: [1] })).toEqual(a)
		expect(await rows({ text: 'select $1::int as a' }, [1])).toEqual(a)
		expect(await rows({ name: 'in-tx', text: 'select $1::int as a', values: [1] })).toEqual(a)
		expect(await rows({ text: 'select 1 as a', rowMode: 'array' })).toEqual([[1]])
		expect(await called((done) => untyped.query('select 1 as a', done))).toEqual([undefined, a])
		expect(await called((done) => untyped.query('select $1::int as a', [1], done))).toEqual([undefined, a])
		expect(await called((done) => untyped.query({ text: 'select 1 as a' }, done))).toEqual([undefined, a])
		expect(await called((done) => untyped.query({ text: 'select $1::int as a' }, [1], done))).toEqual([undefined, a])
		expect(await called((done) => untyped.query({ text: 'select 1 as a', callback: done }))).toEqual([undefined, a])
		expect(await called((done) => untyped.query(new pg.Query('select 1 as a', done as () => void)) && undefined)).toEqual([undefined, a])
		const streamed: unknown[] = []
		for await (const row of untyped.query(new QueryStream('select 1 as a')) as AsyncIterable<unknown>) streamed.push(row)
		expect(streamed).toEqual(a)
		const cursor = untyped.query(new Cursor('select 1 as a')) as Cursor
		expect(await cursor.read(5)).toEqual(a)
		await cursor.close()
	})
})

test('statements that are sent without waiting for each other run in order in the same transaction', async () => {
	for (const pipeline of [false, true]) {
		const pool = setup.wrapped({ pipeline } as pg.PoolConfig)
		const ids = await pool.transaction(async (tx) => {
			const results = await Promise.all(Array.from({ length: 5 }, () => tx.query('select pg_current_xact_id() as id')))
			return new Set(results.map(({ rows }) => rows[0].id))
		})
		expect(ids.size).toBe(1)
	}
})

test('two transactions at once use two connections, and one in another pool inside of one is no mistake', async () => {
	const [pool, other] = [setup.wrapped(), setup.wrapped()]
	const pid = async (tx: Pick<pg.Pool, 'query'>) => (await tx.query('select pg_backend_pid() as pid')).rows[0].pid
	let inside = 0
	const together = async (tx: Pick<pg.Pool, 'query'>) => {
		inside += 1
		await until(() => inside === 2, { what: 'both to be inside' })
		return pid(tx)
	}
	const [first, second] = await Promise.all([pool.transaction(together), pool.transaction(together)])
	expect(first).not.toBe(second)
	expect(await pool.transaction(() => other.transaction(async () => 'inner'))).toBe('inner')
})

test('an aborted signal stops before COMMIT, and the work is undone', async () => {
	const pool = holdfast(new pg.Pool(setup.config()))
	const stopping = new AbortController()
	await expect(
		pool.transaction(
			async (tx) => {
				await tx.query('insert into kept values (40)')
				stopping.abort(new Error('stop'))
			},
			{ signal: stopping.signal },
		),
	).rejects.toThrow('stop')
	expect(await kept([40])).toEqual([])
	await pool.end()
})
