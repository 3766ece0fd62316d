/** What does wrapping refuse, and how does a wrapped pool end? */
import { createScheduler } from 'holdfast'
import { type HoldfastPool, holdfast } from 'holdfast/pg'
import pg from 'pg'
import { expect, test } from 'vitest'
import { assertNoBackends, handleMark } from '../support/leaks.ts'
import { calledBack, ending, ground } from './side-by-side.ts'

const setup = ground()
const { both } = setup

test('end() by promise and by callback ends as the bare pool does, and the pool says so', async () => {
	const { bare, wrapped } = await both(async (pool) => {
		await pool.query('select 1')
		const other = new pg.Pool(setup.config())
		if ('holdfast' in pool) holdfast(other)
		await other.query('select 1')
		return {
			promise: await ending(() => pool.end()),
			callback: await calledBack((done) => other.end(done as () => void)),
			state: [pool.ending, pool.ended, pool.totalCount, other.ended],
		}
	})
	expect(wrapped).toEqual(bare)
})

test('end() right behind calls: the one that has the idle connection is answered, the others are told, and nothing hangs', async () => {
	const pool = holdfast(new pg.Pool(setup.config()))
	await pool.query('select 1')
	const served = pool.query('select 2 as a')
	const calls = [ending(() => pool.query('select 3')), ending(() => pool.connect()), ending(() => pool.transaction(async () => 4))]
	await pool.end()
	expect((await served).rows).toEqual([{ a: 2 }])
	for (const call of await Promise.all(calls)) expect(JSON.stringify(call)).toContain('The pool was ended')
})

test('end() right behind a call that leaves the idle connection for a turn of the event loop: it is told, and nothing hangs', async () => {
	const { signal } = new AbortController()
	for (const call of [
		(pool: HoldfastPool) => pool.query({ text: 'select 2', signal }),
		(pool: HoldfastPool) => pool.connect(),
		(pool: HoldfastPool) => pool.transaction(async () => 3, { signal }),
	]) {
		const pool = holdfast(new pg.Pool(setup.config()))
		await pool.query('select 1')
		const told = ending(() => call(pool))
		await pool.end()
		expect(JSON.stringify(await told)).toContain('The pool was ended')
	}
})

test('no callback is called before the call that takes it has returned, and a call aborted in the same turn sends nothing', async () => {
	const { pool, counts } = { pool: setup.wrapped({ max: 1 }), counts: () => pool.holdfast.stats().attempts }
	await pool.query('select 1')
	const order: string[] = []
	await new Promise<void>((resolve) => {
		pool.connect((_error, _client, release) => {
			order.push('connected')
			release()
			resolve()
		})
		order.push('connect returned')
	})
	await new Promise<void>((resolve) => {
		pool.query(null as never, [], () => {
			order.push('refused')
			resolve()
		})
		order.push('query returned')
	})
	expect(order).toEqual(['connect returned', 'connected', 'query returned', 'refused'])
	const before = counts()
	const stop = new AbortController()
	const aborted = ending(() => pool.query({ text: 'select 2', signal: stop.signal }))
	stop.abort(new Error('not any more'))
	expect(JSON.stringify(await aborted)).toContain('not any more')
	expect(counts()).toBe(before)
})

test('a connection string in place of a pool is not repeated in the error: it may hold a password', () => {
	for (const text of ['postgres://me:secret@host/db', 'host=h password=secret'])
		expect(() => holdfast(text as never)).toThrow(
			/^holdfast: pool must be a pool of pg \(new pg\.Pool\(\)\), got a string of \d+ characters$/,
		)
})

test('end() of a pool that was never used ends at once', async () => {
	const { bare, wrapped } = await both(async (pool) => [await ending(() => pool.end()), pool.ended])
	expect(wrapped).toEqual(bare)
})

test('end() twice, and every use after it, fails with the errors of pg-pool', async () => {
	const { bare, wrapped } = await both(async (pool) => {
		await pool.end()
		return {
			end: await ending(() => pool.end()),
			endCallback: await calledBack((done) => pool.end(done as () => void)),
			query: await ending(() => pool.query('select 1')),
			queryCallback: await calledBack((done) => pool.query('select 1', done)),
			connect: await ending(() => pool.connect()),
			connectCallback: await calledBack((done) => pool.connect((error) => done(error))),
		}
	})
	expect(wrapped).toEqual(bare)
})

test('a transaction and ready() after the end fail with a clear error', async () => {
	const pool = setup.wrapped()
	await pool.end()
	await expect(pool.transaction(async () => 1)).rejects.toMatchObject({ code: 'HOLDFAST_CLOSED' })
	await expect(pool.holdfast.ready()).rejects.toMatchObject({ code: 'HOLDFAST_CLOSED' })
})

test('end() waits for borrowed clients and for running queries, as the bare pool does', async () => {
	const { bare, wrapped } = await both(async (pool) => {
		await pool.query('select 1')
		const order: string[] = []
		const client = await pool.connect()
		const end = pool.end().then(() => order.push('ended'))
		order.push((await client.query('select 1 as a')).rows[0].a)
		client.release()
		await end
		return order
	})
	expect(wrapped).toEqual(bare)
})

test('end() while a released client still works waits for it, and nothing is left', async () => {
	const config = setup.config()
	const pool = holdfast(new pg.Pool(config))
	const client = await pool.connect()
	const handles = handleMark()
	const result = client.query('select pg_sleep(0.03), 1 as a')
	client.release()
	await pool.end()
	expect((await result).rows[0].a).toBe(1)
	await assertNoBackends(setup.server, config.application_name)
	handles.stop()
})

test('end() tells those who wait for a connection, and nobody hangs', async () => {
	const pool = holdfast(new pg.Pool(setup.config({ max: 1 })))
	const client = await pool.connect()
	const waiting = Promise.allSettled([pool.query('select 1'), pool.connect(), pool.transaction(async () => 1)])
	const end = pool.end()
	expect((await waiting).map((end) => end.status === 'rejected' && end.reason.code)).toEqual(Array(3).fill('HOLDFAST_CLOSED'))
	client.release()
	await end
})

test('endpoints are shared by address: a name, an address of either kind, a socket, as they stand in hosts as well', async () => {
	const scheduler = createScheduler()
	const places = { 'db.example': 'db.example:1', '127.0.0.1': '127.0.0.1:1', '::1': '[::1]:1', '/no/such': '/no/such/.s.PGSQL.1' }
	for (const [host, address] of Object.entries(places)) {
		const pool = holdfast(new pg.Pool({ host, port: 1 }), { scheduler })
		const listed = holdfast(new pg.Pool({ port: 1 }), { scheduler, hosts: [{ host }] })
		expect([pool.holdfast.stats().endpoint.address, listed.holdfast.stats().hosts?.[0]?.address]).toEqual([address, address])
		await pool.end()
		await listed.end()
	}
})

test('wrapping twice returns the same pool, with the options of the first time', async () => {
	const bare = new pg.Pool(setup.config())
	const first = holdfast(bare, { deadlineMs: 5 })
	const { query, connect, transaction } = first
	const second = holdfast(first, { deadlineMs: 50_000 })
	expect(second).toBe(bare)
	expect([second.query, second.connect, second.transaction]).toEqual([query, connect, transaction])
	expect(second.listenerCount('error')).toBe(1)
	await second.end()
})

const noPools: [unknown, string][] = [
	[undefined, 'undefined'],
	[null, 'null'],
	[5, '5'],
	['postgres://x', 'a string of 12 characters'],
	[{}, 'an object'],
	[() => {}, ''],
	[new pg.Client({ host: '127.0.0.1', port: 1 }), ''],
	[pg.Pool, ''],
	[{ query() {}, connect() {}, end() {} }, ''],
]

for (const [given, shown] of noPools) {
	test(`holdfast(${shown || String(given).slice(0, 20)}) is refused by a TypeError that says what it got`, () => {
		expect(() => holdfast(given as pg.Pool)).toThrow(TypeError)
		expect(() => holdfast(given as pg.Pool)).toThrow(/^holdfast: pool must be a pool of pg \(new pg\.Pool\(\)\), got /)
		if (shown) expect(() => holdfast(given as pg.Pool)).toThrow(`got ${shown}`)
	})
}

const milliseconds = ['5s', 0, -1, Number.NaN, null, {}, 5n]
const functions = ['x', 5, null, {}]

const badOptions: [name: string, values: unknown[]][] = [
	['scheduler', [{}, null, 'shared', createScheduler]],
	['deadlineMs', milliseconds],
	['attemptTimeoutMs', [...milliseconds, Number.POSITIVE_INFINITY]],
	['stop', functions],
	['wait', [...functions, 100]],
	['when', functions],
	['maxWaiting', [-1, 1.5, '10', null, Number.NaN]],
	['commit', ['on', true, null, 5]],
	['readsAreSafe', ['yes', 1, null]],
	['onRetry', functions],
	['onBudgetSpent', functions],
	['signal', [{}, null, new AbortController()]],
	['classify', ['rows', {}, null]],
	['enabled', ['no', 0, null]],
]

for (const [name, values] of badOptions) {
	test(`a bad ${name} is refused at the call, naming option, rule and value, and the pool stays bare`, async () => {
		const pool = new pg.Pool(setup.config())
		for (const value of values) {
			const call = () => holdfast(pool, { [name]: value } as object)
			expect(call, String(value)).toThrow(new RegExp(`^(holdfast: )?${name} must be .+, got .+`))
			try {
				call()
			} catch (error) {
				expect(error instanceof TypeError || error instanceof RangeError).toBe(true)
			}
		}
		expect(Object.hasOwn(pool, 'query')).toBe(false)
		await pool.end()
	})
}

test('an unknown option and options that are no object are refused', async () => {
	const pool = new pg.Pool(setup.config())
	expect(() => holdfast(pool, { deadline: 5 } as object)).toThrow(/deadline.*deadlineMs/)
	for (const options of [null, 5, 'x', []]) expect(() => holdfast(pool, options as object), String(options)).toThrow(TypeError)
	await pool.end()
})

const badQueries: [name: string, value: unknown][] = [
	['idempotent', 'yes'],
	['deadlineMs', '5s'],
	['deadlineMs', -1],
	['signal', {}],
	['label', 5],
]

for (const [name, value] of badQueries) {
	test(`a bad ${name} (${JSON.stringify(value)}) in a query config is refused before a connection is taken`, async () => {
		const pool = setup.wrapped()
		const config = { text: 'select 1', [name]: value } as unknown as pg.QueryConfig
		const text = new RegExp(`^(query: )?${name} must be .+, got `)
		await expect(pool.query(config)).rejects.toThrow(text)
		expect(() => pool.query(config, () => {})).toThrow(text)
		expect(pool.totalCount).toBe(0)
	})
}

test('bad arguments of transaction() are refused before a connection is taken', async () => {
	const pool = setup.wrapped()
	const calls: [unknown, unknown, RegExp][] = [
		[5, undefined, /fn must be an async function, got 5/],
		[undefined, undefined, /fn must be an async function/],
		[async () => 1, { isolation: 'snapshot' }, /isolation must be .+, got "snapshot"/],
		[async () => 1, { readOnly: 'yes' }, /readOnly must be .+, got "yes"/],
		[async () => 1, { deferrable: 1 }, /deferrable must be .+, got 1/],
		[async () => 1, { timeout: 5 }, /timeout/],
		[async () => 1, { deadlineMs: 0 }, /deadlineMs must be .+, got 0/],
	]
	for (const [fn, options, text] of calls) {
		await expect(pool.transaction(fn as () => Promise<unknown>, options as object)).rejects.toThrow(text)
	}
	expect(pool.totalCount).toBe(0)
})

test('an aborted signal at the start ends the call with its reason, before a connection is taken', async () => {
	const pool = setup.wrapped()
	const signal = AbortSignal.abort(new Error('not any more'))
	await expect(pool.query({ text: 'select 1', signal })).rejects.toThrow('not any more')
	await expect(pool.transaction(async () => 1, { signal })).rejects.toThrow('not any more')
	await expect(pool.holdfast.ready({ signal })).rejects.toThrow('not any more')
	expect(pool.totalCount).toBe(0)
})
