/** Does pool.connect() hand out and take back clients as pg does, but for those that the next borrower must not get? */
import { once } from 'node:events'
import type pg from 'pg'
import Cursor from 'pg-cursor'
import { expect, test } from 'vitest'
import { accidentMark } from '../support/leaks.ts'
import { until } from '../support/until.ts'
import { ending, ground, seen } from './side-by-side.ts'

const setup = ground()
const { both } = setup
const pidOf = async (on: pg.Pool | pg.PoolClient): Promise<number> => (await on.query('select pg_backend_pid() as pid')).rows[0].pid
const activity = (name: string) =>
	setup.server.query<{ pid: number; state: string; query: string }>(
		`select pid, state, query from pg_stat_activity where application_name = '${name}' order by pid`,
	)

test('connect() by promise and by callback hands out a client of pg, and release() puts it back', async () => {
	const { bare, wrapped } = await both(async (pool) => {
		const client = await pool.connect()
		const out = [pool.totalCount, pool.idleCount]
		client.release()
		const back = [pool.totalCount, pool.idleCount]
		const again = await new Promise((resolve) => {
			const returned = pool.connect((error, lent, done) => {
				const same = lent === client
				done()
				resolve({ error, same, idle: pool.idleCount, name: lent?.constructor.name })
			})
			expect(returned).toBeUndefined()
		})
		return { out, back, again, returned: typeof client.release }
	})
	expect(wrapped).toEqual(bare)
})

for (const reason of [new Error('mine'), true] as const) {
	test(`release(${reason === true}) closes the connection as pg does, with the reason in the event`, async () => {
		const { bare, wrapped } = await both(async (pool) => {
			const told: unknown[] = []
			pool.on('release', (error) => told.push(error))
			const client = await pool.connect()
			const removed = once(pool, 'remove')
			client.release(reason)
			const now = [pool.totalCount, pool.idleCount]
			await removed
			return { now, told }
		})
		expect(wrapped).toEqual(bare)
	})
}

test('a second release throws what pg-pool throws, by the method and by the callback', async () => {
	const { bare, wrapped } = await both(async (pool) => {
		const client = await pool.connect()
		client.release()
		const first = await ending(() => client.release())
		const second = await new Promise((resolve) => {
			pool.connect(async (_error, _client, done) => {
				done()
				resolve(await ending(() => done()))
			})
		})
		return { first, second, idle: pool.idleCount }
	})
	expect(wrapped).toEqual(bare)
	expect(wrapped.first).toMatchObject({ threw: { message: expect.stringContaining('already been released') } })
})

test('a second release while the first still waits for a query throws, and nobody gets the client twice', async () => {
	const pool = setup.wrapped({ max: 1 })
	const accidents = accidentMark()
	const client = await pool.connect()
	const { release } = client
	const running = client.query('select pg_sleep(0.05)')
	client.release()
	expect(() => client.release()).toThrow('already been released')
	expect(() => release()).toThrow('already been released')
	await running
	const [first, second] = await Promise.all([pidOf(pool), pidOf(pool)])
	expect(first).toBe(second)
	await accidents.assertNone()
	accidents.stop()
})

test('a client released with queries still running comes back when they are done, and they are answered', async () => {
	const pool = setup.wrapped({ max: 1 })
	const client = await pool.connect()
	const pid = await pidOf(client)
	const results = [client.query('select pg_sleep(0.05), 1 as a'), client.query('select 2 as a')]
	client.release()
	expect(pool.idleCount).toBe(0)
	const next = await pool.connect()
	expect((await Promise.all(results)).map(({ rows }) => rows[0].a)).toEqual([1, 2])
	expect(await pidOf(next)).toBe(pid)
	next.release()
})

for (const queued of ['select pg_sleep(0.05)', 'begin; select pg_sleep(0.05); commit']) {
	test(`a client released inside a callback, with ${queued} queued, is not handed out before that is done`, async () => {
		const pool = setup.wrapped({ max: 1 })
		const client = await pool.connect()
		const order: string[] = []
		let next: Promise<pg.PoolClient> | undefined
		await new Promise<void>((resolve) => {
			client.query('select 1', () => {
				client.release()
				next = pool.connect().then((lent) => {
					order.push('lent')
					return lent
				})
			})
			client.query(queued, (error) => {
				order.push(error?.message ?? 'queued query done')
				resolve()
			})
		})
		;(await next)?.release()
		expect(order).toEqual(['queued query done', 'lent'])
	})
}

test('a client released with an open transaction is closed, its locks are gone, and the next borrower gets another', async () => {
	await setup.server.query('create table if not exists dirty (id int)')
	for (const failed of [false, true]) {
		const name = `dirty-${failed}`
		const pool = setup.wrapped({ max: 1, application_name: name })
		const client = await pool.connect()
		const pid = await pidOf(client)
		await client.query('begin')
		await client.query('lock table dirty')
		if (failed) await client.query('select 1/0').catch(() => {})
		client.release()
		const next = await pool.connect()
		expect(await pidOf(next)).not.toBe(pid)
		next.release()
		await until(async () => (await activity(name)).length === 1, { what: 'the dirty backend to go' })
		expect(await setup.server.query(`select 1 from pg_locks where relation = 'dirty'::regclass`)).toEqual([])
		expect(pool.holdfast.stats().discarded).toBe(1)
	}
})

test('a transaction that was begun by a query still running at the release is not handed on', async () => {
	const pool = setup.wrapped({ max: 1 })
	const client = await pool.connect()
	const pid = await pidOf(client)
	const begun = client.query('begin')
	client.release()
	await begun
	expect(await pidOf(pool)).not.toBe(pid)
})

test('a BEGIN through pool.query does not stay open in the pool', async () => {
	const name = 'begin-by-pool'
	const pool = setup.wrapped({ max: 1, application_name: name })
	await pool.query('begin')
	await until(async () => (await activity(name)).every(({ state }) => state === 'idle'), { what: 'no transaction to be open' })
	expect(pool.idleCount).toBe(0)
})

test('a client released with a half read cursor is closed, and the reader hears of it', async () => {
	const pool = setup.wrapped({ max: 1 })
	const client = await pool.connect()
	const pid = await pidOf(client)
	const cursor = client.query(new Cursor('select * from generate_series(1, 1000) as a'))
	await cursor.read(1)
	client.release()
	expect(seen(await cursor.read(1).catch((error: unknown) => error))).toMatchObject({
		message: expect.stringContaining('Connection terminated'),
	})
	expect(await pidOf(pool)).not.toBe(pid)
	expect(await setup.server.query(`select 1 from pg_stat_activity where pid = ${pid}`)).toEqual([])
})

test('a client released with a cursor still queued behind a query is not lost for the pool', async () => {
	const pool = setup.wrapped({ max: 1 })
	const client = await pool.connect()
	client.query('select pg_sleep(0.02)').catch(() => {})
	client.query(new Cursor('select 1'))
	client.release()
	expect((await pool.query('select 1 as a')).rows).toEqual([{ a: 1 }])
	expect(pool.totalCount).toBe(1)
})

test('a borrowed client tells of notifications, notices and its end as it does without the wrapper', async () => {
	const { bare, wrapped } = await both(async (pool) => {
		const client = await pool.connect()
		const told: unknown[] = []
		client.on('notification', ({ channel, payload }) => told.push({ channel, payload }))
		client.on('notice', ({ message, severity }) => told.push({ message, severity }))
		await client.query('listen news')
		await client.query("do $$ begin raise warning 'careful'; end $$")
		await pool.query("notify news, 'hello'")
		await until(() => told.length === 2, { what: 'both messages' })
		const end = new Promise((resolve) => client.once('end', resolve))
		client.release(true)
		await end
		return told
	})
	expect(wrapped).toEqual(bare)
})

test('the loss of a borrowed client reaches its error listener with the same errors as without the wrapper', async () => {
	const { bare, wrapped } = await both(async (pool) => {
		const client = await pool.connect()
		const errors: unknown[] = []
		client.on('error', (error) => errors.push(seen(error)))
		const end = new Promise((resolve) => client.once('end', resolve))
		await setup.server.query(`select pg_terminate_backend(${await pidOf(client)})`)
		await end
		const next = await ending(() => client.query('select 1'))
		client.release()
		return { errors, next, total: pool.totalCount }
	})
	expect(wrapped).toEqual(bare)
})

test('the loss of a borrowed client without a listener, and of an idle one, does not end the process', async () => {
	const accidents = accidentMark()
	const pool = setup.wrapped({ max: 2 })
	const [borrowed, idle] = [await pool.connect(), await pool.connect()]
	const pids = [await pidOf(borrowed), await pidOf(idle)]
	idle.release()
	const end = new Promise((resolve) => borrowed.once('end', resolve))
	await setup.server.query(`select pg_terminate_backend(pid) from unnest(array[${pids}]) as pid`)
	await end
	borrowed.release()
	await until(() => pool.totalCount === 0, { what: 'both to leave the pool' })
	expect((await pool.query('select 1 as a')).rows).toEqual([{ a: 1 }])
	await accidents.assertNone()
	accidents.stop()
})

test('when the idle connection has just gone, the pool does not open one by itself: that waits its turn at the gate', async () => {
	const pool = setup.wrapped({ max: 2 })
	const client = await pool.connect()
	client.release()
	const { connectAttempts } = pool.holdfast.stats().endpoint
	// With a signal it is not sent at once: the idle connection is asked for, and there a turn later.
	const query = pool.query({ text: 'select 1 as a', signal: new AbortController().signal })
	// What the idle timeout of pg-pool does, at the worst moment.
	;(pool as unknown as { _remove(gone: pg.PoolClient): void })._remove(client)
	expect((await query).rows).toEqual([{ a: 1 }])
	expect(pool.holdfast.stats().endpoint.connectAttempts).toBe(connectAttempts + 1)
	expect(pool.totalCount).toBe(1)
})
