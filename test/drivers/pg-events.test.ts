/** Does a wrapped pool look the same from outside: events, counters, classes, subclasses? */

import { holdfast } from 'holdfast/pg'
import pg from 'pg'
import { expect, test } from 'vitest'
import { until } from '../support/until.ts'
import { ground, type Untyped } from './side-by-side.ts'

const setup = ground()
const { both } = setup

const eventsOf = (pool: pg.Pool): string[] => {
	const told: string[] = []
	for (const name of ['connect', 'acquire', 'release', 'remove', 'error'] as const) {
		pool.on(name, (...given: unknown[]) =>
			told.push(`${name}(${given.map((each) => (each as object | undefined)?.constructor.name).join(', ')})`),
		)
	}
	return told
}

test('statements, a borrower and the end cause the same events in the same order', async () => {
	const { bare, wrapped } = await both(async (pool) => {
		const told = eventsOf(pool)
		await pool.query('select 1')
		await pool.query('select 2')
		const client = await pool.connect()
		const other = await pool.connect()
		client.release()
		other.release()
		await pool.end()
		return told
	})
	expect(wrapped).toEqual(bare)
})

test('an idle connection that is lost causes an error event and leaves the pool, with or without a listener', async () => {
	const { bare, wrapped } = await both(async (pool) => {
		const told = eventsOf(pool)
		await pool.query('select 1')
		await setup.server.query(
			`select pg_terminate_backend(pid) from pg_stat_activity where application_name = '${pool.options.application_name}'`,
		)
		await until(() => told.some((event) => event.startsWith('remove')), { what: 'the pool to notice' })
		return { told, total: pool.totalCount }
	})
	expect(wrapped).toEqual(bare)
})

test('the counters follow borrowing, waiting and returning', async () => {
	const { bare, wrapped } = await both(
		async (pool) => {
			const counts = () => [pool.totalCount, pool.idleCount, pool.waitingCount]
			const seen = [counts()]
			const client = await pool.connect()
			seen.push(counts())
			const second = pool.connect()
			const third = pool.query('select 1')
			seen.push(counts())
			client.release()
			const lent = await second
			seen.push(counts())
			lent.release()
			await third
			seen.push(counts())
			return seen
		},
		{ max: 1 },
	)
	expect(wrapped).toEqual(bare)
})

test('waitingCount includes callers that are parked at the gate', async () => {
	const pool = holdfast(new pg.Pool({ host: '127.0.0.1', port: 1 }), { deadlineMs: Number.POSITIVE_INFINITY })
	const calls = Promise.allSettled([pool.query('select 1'), pool.query('select 1'), pool.connect()])
	expect(pool.waitingCount).toBe(3)
	await pool.end()
	const ends = await calls
	expect(ends.map((end) => end.status === 'rejected' && end.reason.code)).toEqual(Array(3).fill('HOLDFAST_CLOSED'))
	expect(pool.waitingCount).toBe(0)
})

test('pool and clients are what they were: instanceof, Client, options', async () => {
	const { bare, wrapped } = await both(async (pool) => {
		const client = await pool.connect()
		const { Client } = pool as pg.Pool & { Client: typeof pg.Client }
		const { options } = pool as pg.Pool & { options: object }
		const facts = {
			pool: pool instanceof pg.Pool,
			client: client instanceof pg.Client,
			ownClient: client instanceof Client,
			sameClass: Client === pg.Client,
			constructor: client.constructor === pg.Client,
			options: Object.keys(options).filter((name) => name !== 'application_name'),
			keys: Object.keys(pool),
		}
		client.release()
		return facts
	})
	const { keys, ...facts } = wrapped
	const { keys: bareKeys, ...bareFacts } = bare
	expect(facts).toEqual(bareFacts)
	expect(keys).toEqual(bareKeys)
})

test('clients that a pool had before it was wrapped are instances of its Client and are used on', async () => {
	const pool = new pg.Pool(setup.config({ max: 1 }))
	const before = await pool.connect()
	const { rows } = await before.query('select pg_backend_pid() as pid')
	before.release()
	const wrapped = holdfast(pool)
	const after = await wrapped.connect()
	expect(after).toBe(before)
	expect(after).toBeInstanceOf((pool as unknown as { Client: typeof pg.Client }).Client)
	expect((await after.query('select pg_backend_pid() as pid')).rows).toEqual(rows)
	after.release()
	await pool.end()
})

test('a pool wrapped while clients are out hears their loss, takes them back, and serves those who wait', async () => {
	const pool = new pg.Pool(setup.config({ max: 2 }))
	const [clean, lost] = [await pool.connect(), await pool.connect()]
	const wrapped = holdfast(pool)
	const waiting = [wrapped.query('select 1 as a'), wrapped.query('select 2 as a')]
	const end = new Promise((resolve) => lost.once('end', resolve))
	const { rows } = await lost.query('select pg_backend_pid() as pid')
	await setup.server.query(`select pg_terminate_backend(${rows[0].pid})`)
	await end
	clean.release()
	lost.release()
	expect((await Promise.all(waiting)).map(({ rows: [row] }) => row.a)).toEqual([1, 2])
	await pool.end()
})

test('a client with an open transaction that was out when the pool was wrapped is not handed on', async () => {
	const pool = new pg.Pool(setup.config({ max: 1 }))
	const client = await pool.connect()
	await client.query('begin')
	const wrapped = holdfast(pool)
	client.release()
	const { rows } = await wrapped.query('select now() = statement_timestamp() as fresh, pg_current_xact_id_if_assigned() as xid')
	expect(rows).toEqual([{ fresh: true, xid: null }])
	expect(wrapped.holdfast.stats().discarded).toBe(1)
	await pool.end()
})

// The overloads of @types/pg cannot be overridden in one signature.
const Base = pg.Pool as unknown as new (config: pg.PoolConfig) => Untyped

class Logged extends Base {
	readonly calls: string[] = []
	override query(...given: unknown[]): unknown {
		this.calls.push(`query ${given[0]}`)
		return super.query(...given)
	}
	override end(...given: unknown[]): unknown {
		this.calls.push('end')
		return super.end(...given)
	}
}

class Tenant extends Logged {
	override connect(...given: unknown[]): unknown {
		this.calls.push('connect')
		return super.connect(...given)
	}
}

const tenants = () => new Tenant(setup.config({ max: 1 })) as unknown as pg.Pool & { calls: string[] }

test('the overrides of a subclass run, and what they call with super is the wrapped pool', async () => {
	const pool = holdfast(tenants())
	expect(pool).toBeInstanceOf(Tenant)
	const before = (await pool.query('select pg_backend_pid() as pid')).rows
	await expect(pool.query('select 1/0')).rejects.toMatchObject({ code: '22012' })
	expect((await pool.query('select pg_backend_pid() as pid')).rows).toEqual(before)
	const client = await pool.connect()
	await client.query('begin')
	client.release()
	expect(pool.holdfast.stats().discarded).toBe(1)
	expect(await pool.transaction(async (tx) => (await tx.query('select 1 as a')).rows)).toEqual([{ a: 1 }])
	await pool.end()
	expect(pool.calls).toEqual([
		'query select pg_backend_pid() as pid',
		'connect',
		'query select 1/0',
		'connect',
		'query select pg_backend_pid() as pid',
		'connect',
		'connect',
		'connect',
		'end',
	])
})

test('other pools of the subclass, and of pg, are not touched by wrapping one', async () => {
	const wrapped = holdfast(tenants())
	const other = tenants()
	const { rows } = await other.query('select pg_backend_pid() as pid')
	await expect(other.query('select 1/0')).rejects.toMatchObject({ code: '22012' })
	expect((await other.query('select pg_backend_pid() as pid')).rows).not.toEqual(rows)
	expect(other.listenerCount('error')).toBe(0)
	expect(Object.hasOwn(pg.Pool.prototype, 'query')).toBe(false)
	await Promise.all([other.end(), wrapped.end()])
})

class Prepared extends Base {
	override async connect(): Promise<unknown> {
		const client = (await super.connect()) as pg.PoolClient
		await client.query("set application_name to 'tenant-7'")
		return client
	}
}

test('a connect override that only knows promises is in force for statements and transactions, too', async () => {
	const pool = holdfast(new Prepared(setup.config({ max: 2 })) as unknown as pg.Pool)
	const name = 'select current_setting($1) as name'
	expect((await pool.query(name, ['application_name'])).rows).toEqual([{ name: 'tenant-7' }])
	expect(await pool.transaction(async (tx) => (await tx.query(name, ['application_name'])).rows)).toEqual([{ name: 'tenant-7' }])
	await pool.end()
})
