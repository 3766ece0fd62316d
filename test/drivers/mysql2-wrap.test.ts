/** What does wrapping a mysql2 pool refuse, what stays as it was, and how does a wrapped pool end? */
import { commitLedger, createScheduler, HoldfastError } from 'holdfast'
import { holdfast } from 'holdfast/mysql2'
import mysql, { type Pool, type PoolConnection } from 'mysql2'
import promised from 'mysql2/promise'
import { describe, expect, test } from 'vitest'
import { handleMark } from '../support/leaks.ts'
import { flavours } from '../support/mysql.ts'
import { calledBack, ending, ground } from './mysql2-side-by-side.ts'

const nowhere = { host: '127.0.0.1', port: 1, connectionLimit: 1 }

const strangers = [undefined, null, 5, 'mysql://me:secret@host/db', {}, [], () => {}, mysql.createConnection]
for (const given of strangers) {
	test(`holdfast(${String(given).slice(0, 20)}) is refused by a TypeError that says what it got, and no more`, () => {
		const call = () => holdfast(given as never)
		expect(call).toThrow(TypeError)
		expect(call).toThrow(/^holdfast: pool must be a pool of mysql2 \(createPool\(\) or createPoolCluster\(\)\), got /)
		expect(call).not.toThrow(/secret/)
	})
}

const wrong: Record<string, { value: unknown; kind: typeof TypeError | typeof RangeError; rule: RegExp }> = {
	deadlineMs: {
		value: '5s',
		kind: TypeError,
		rule: /^deadlineMs must be a positive number of milliseconds \(Infinity for none\), got "5s"$/,
	},
	attemptTimeoutMs: { value: 0, kind: RangeError, rule: /^attemptTimeoutMs must be a positive number of milliseconds, got 0$/ },
	maxWaiting: { value: -1, kind: RangeError, rule: /^maxWaiting must be a whole number of 0 or more/ },
	readsAreSafe: { value: 'yes', kind: TypeError, rule: /^readsAreSafe must be true or false, got "yes"$/ },
	commit: { value: 'on', kind: TypeError, rule: /^commit must be 'verify', 'off' or a ledger made by commitLedger, got "on"$/ },
	signal: { value: {}, kind: TypeError, rule: /^signal must be an AbortSignal, got an object \(Object\)$/ },
	scheduler: { value: {}, kind: TypeError, rule: /^scheduler must be a scheduler made by createScheduler/ },
}
for (const [name, { value, kind, rule }] of Object.entries(wrong)) {
	test(`a bad ${name} is refused at the call, naming option, rule and value, and the pool stays bare`, () => {
		const pool = mysql.createPool(nowhere)
		const call = () => holdfast(pool, { [name]: value })
		expect(call).toThrow(kind)
		expect(call).toThrow(rule)
		expect(Object.hasOwn(pool, 'query')).toBe(false)
		pool.end()
	})
}

test("commit: 'verify' is refused with the word that it needs a ledger here, and an unknown option with those that are known", () => {
	const pool = mysql.createPool(nowhere)
	expect(() => holdfast(pool, { commit: 'verify' })).toThrow(
		/^commit must be a ledger made by commitLedger or 'off' here: .*, got "verify"$/,
	)
	expect(() => holdfast(pool, { deadline: 5 } as never)).toThrow(/^holdfast: unknown option deadline; known are scheduler, deadlineMs, /)
	expect(() => holdfast(pool, 5 as never)).toThrow(/^holdfast: options must be an object, got 5$/)
	expect(Object.hasOwn(pool, 'query')).toBe(false)
	expect(holdfast(pool, { commit: commitLedger() })).toBe(pool)
	pool.end()
})

test('wrapping twice returns the same pool; its promise pool, made before or after, is wrapped with it', async () => {
	const before = mysql.createPool(nowhere)
	const early = before.promise()
	const pool = holdfast(before, { deadlineMs: 5 })
	expect(holdfast(pool, { deadlineMs: 50_000 })).toBe(pool)
	const late = pool.promise() as unknown as { transaction: unknown; holdfast: unknown }
	expect(late.transaction).toBe(pool.transaction)
	expect(late.holdfast).toBe(pool.holdfast)
	const wrapped = holdfast(early)
	expect(wrapped).toBe(early)
	expect(wrapped.holdfast).toBe(pool.holdfast)
	expect(await ending(() => early.query('SELECT 1'))).toMatchObject({ rejected: { code: 'HOLDFAST_DEADLINE' } })
	await early.end()
})

test('wrapping a promise pool wraps the callback pool in it, and pools and classes stay what they were', async () => {
	const pool = holdfast(promised.createPool(nowhere), { deadlineMs: 5 })
	const inner = (pool as unknown as { pool: Pool & { holdfast: unknown } }).pool
	expect(inner.holdfast).toBe(pool.holdfast)
	expect(inner).toBeInstanceOf((mysql as unknown as { Pool: new () => object }).Pool ?? Object)
	expect(pool.constructor.name).toBe('PromisePool')
	expect(inner.constructor.name).toBe('Pool')
	expect(inner.config.connectionLimit).toBe(1)
	expect(pool.escape("a'b")).toBe("'a\\'b'")
	expect(pool.format('SELECT ??', ['a'])).toBe('SELECT `a`')
	expect(await calledBack((done) => inner.query('SELECT 1', done))).toMatchObject({ error: { code: 'HOLDFAST_DEADLINE' } })
	await pool.end()
})

test('endpoints are shared by address, whatever the driver: a host with its port, or a socket', async () => {
	const scheduler = createScheduler()
	const pool = holdfast(mysql.createPool(nowhere), { scheduler })
	const sixth = holdfast(mysql.createPool({ ...nowhere, host: '::1' }), { scheduler })
	const listed = holdfast(mysql.createPool(nowhere), { scheduler, hosts: ['[::1]:1'] })
	const socket = holdfast(mysql.createPool({ socketPath: '/no/such.sock' }), { scheduler, deadlineMs: 5 })
	expect(pool.holdfast.stats().endpoint.address).toBe('127.0.0.1:1')
	expect(sixth.holdfast.stats().endpoint.address).toBe('[::1]:1')
	expect(listed.holdfast.stats().hosts?.map(({ address }) => address)).toEqual(['[::1]:1'])
	expect(socket.holdfast.stats().endpoint.address).toBe('/no/such.sock')
	expect(await calledBack((done) => socket.query('SELECT 1', done))).toMatchObject({ error: { code: 'HOLDFAST_DEADLINE' } })
	for (const each of [pool, sixth, listed, socket]) each.end()
})

describe.each(flavours)('%s', (flavour) => {
	const setup = ground(flavour)

	test('end() by promise and by callback ends as the bare pool does, and every use after it is refused in its words', async () => {
		const { bare, wrapped } = await setup.both(async (pool) => {
			const other = mysql.createPool(setup.config())
			if ('holdfast' in pool) holdfast(other)
			await other.promise().query('SELECT 1')
			return {
				never: await calledBack((done) => mysql.createPool(setup.config()).end(done)),
				callback: await calledBack((done) => other.end(done)),
				query: await calledBack((done) => other.query('SELECT 1', done)),
				execute: await calledBack((done) => other.execute('SELECT 1', done)),
				connect: await calledBack((done) => other.getConnection((error) => done(error))),
				promise: await ending(() => other.promise().query('SELECT 1')),
			}
		})
		expect(wrapped).toEqual(bare)
		expect(JSON.stringify(wrapped)).toContain('Pool is closed.')
	})

	test('end() tells those who wait for a connection, lets what is running finish, and leaves nothing', async () => {
		const handles = handleMark()
		const pool = holdfast(mysql.createPool({ ...setup.config(), connectionLimit: 1 }))
		const running = pool.promise().query('SELECT SLEEP(0.05) AS a')
		const waiting = [
			ending(() => pool.promise().query('SELECT 1')),
			ending(() => pool.transaction(async () => 1)),
			ending(() => pool.holdfast.ready()),
		]
		const end = pool.promise().end()
		for (const call of await Promise.all(waiting)) expect(call).toMatchObject({ rejected: { code: 'HOLDFAST_CLOSED' } })
		await ending(() => running)
		await end
		handles.stop()
	})

	test('a borrower that never gives back its connection does not keep end() waiting', async () => {
		const pool = holdfast(mysql.createPool({ ...setup.config(), connectionLimit: 1 }))
		const connection = await new Promise<PoolConnection>((resolve) => pool.getConnection((_error, lent) => resolve(lent)))
		await connection.promise().query('SELECT 1')
		await pool.promise().end()
	})

	for (const [name, value] of Object.entries({ deadlineMs: 'soon', idempotent: 'yes', signal: {}, label: '' })) {
		test(`a bad ${name} in the options of a statement is refused before a connection is taken`, async () => {
			const pool = setup.wrapped()
			const statement = { sql: 'SELECT 1', [name]: value } as never
			for (const end of [await ending(() => pool.promise().query(statement)), await ending(() => pool.promise().execute(statement))])
				expect(end).toMatchObject({ rejected: { message: expect.stringContaining(`${name} must be `) } })
			expect(pool.holdfast.stats().endpoint.connectAttempts).toBe(0)
		})
	}

	test('enabled: false leaves the methods of mysql2 alone, while transaction, ready and stats work', async () => {
		const pool = setup.wrapped({ connectionLimit: 1 }, { enabled: false })
		for (const name of ['query', 'execute', 'getConnection', 'releaseConnection', 'end', 'promise'])
			expect(Object.hasOwn(pool, name), name).toBe(false)
		await pool.holdfast.ready()
		for (let round = 0; round < 3; round++) {
			expect(await pool.transaction(async (tx) => (await tx.query('SELECT 1 AS a'))[0])).toEqual([{ a: 1 }])
			expect((await pool.promise().query('SELECT 1 AS a'))[0]).toEqual([{ a: 1 }])
		}
		expect(pool.holdfast.stats().attempts).toBe(4)
	})

	test('a getConnection of the user in front of that of mysql2 is asked for each use of a connection, also by those who wait', async () => {
		const pool = mysql.createPool({ ...setup.config(), connectionLimit: 1 })
		const base = Object.getPrototypeOf(pool) as Pool
		let handedOut = 0
		const getConnection: Pool['getConnection'] = function (this: Pool, callback) {
			base.getConnection.call(this, (error, connection) => {
				handedOut += 1
				callback(error, connection)
			})
		}
		Object.setPrototypeOf(pool, Object.assign(Object.create(base), { getConnection }))
		const wrapped = holdfast(pool).promise()
		for (let turn = 0; turn < 3; turn++) await wrapped.query('SELECT 1')
		await Promise.all(Array.from({ length: 4 }, () => wrapped.query('SELECT 1')))
		await wrapped.end()
		expect(handedOut).toBe(7)
	})

	test('an aborted signal ends a call with its reason: at once, or while it waits', async () => {
		const pool = setup.wrapped({ connectionLimit: 1 })
		const reason = new Error('enough')
		expect(await ending(() => pool.promise().query({ sql: 'SELECT 1', signal: AbortSignal.abort(reason) } as never))).toMatchObject({
			rejected: { message: 'enough' },
		})
		const held = await pool.promise().getConnection()
		const controller = new AbortController()
		const waiting = ending(() => pool.promise().query({ sql: 'SELECT 1', signal: controller.signal } as never))
		controller.abort(reason)
		expect(await waiting).toMatchObject({ rejected: { message: 'enough' } })
		held.release()
	})

	test('errors of the server are the identical native errors, after one attempt, and the connection lives on', async () => {
		const { bare, wrapped } = await setup.promised(
			async (pool) => {
				const ends = []
				for (const sql of ['SELECT * FROM FROM', 'SELECT * FROM no_such_table', 'SIGNAL SQLSTATE "45000" SET MESSAGE_TEXT = "mine"']) {
					const [[before]] = (await pool.query('SELECT CONNECTION_ID() AS id')) as unknown as [[{ id: number }]]
					ends.push(await ending(() => pool.query(sql)), await ending(() => pool.execute(sql)))
					const [[after]] = (await pool.query('SELECT CONNECTION_ID() AS id')) as unknown as [[{ id: number }]]
					ends.push(before.id === after.id)
				}
				return ends
			},
			{ connectionLimit: 1 },
		)
		expect(wrapped).toEqual(bare)
	})

	test('a wrong password and an unknown database fail at once with the error of the server', async () => {
		for (const options of [{ password: 'wrong' }, { database: 'no_such_database' }]) {
			const bare = mysql.createPool({ ...setup.config(), ...options })
			const wrapped = holdfast(mysql.createPool({ ...setup.config(), ...options }), { scheduler: createScheduler() })
			const ends = [await ending(() => bare.promise().query('SELECT 1')), await ending(() => wrapped.promise().query('SELECT 1'))]
			expect(ends[1]).toEqual(ends[0])
			expect(wrapped.holdfast.stats()).toMatchObject({ endpoint: { connectAttempts: 1, outages: 0 } })
			await bare.promise().end()
			await wrapped.promise().end()
		}
	})

	test('the time limit of a statement is mysql2’s error, once, and its connection is not used on', async () => {
		const pool = setup.wrapped({ connectionLimit: 1 })
		expect(await ending(() => pool.promise().query({ sql: 'SELECT SLEEP(2)', timeout: 30 }))).toMatchObject({
			rejected: { code: 'PROTOCOL_SEQUENCE_TIMEOUT' },
		})
		expect((await pool.promise().query('SELECT 1 AS a'))[0]).toEqual([{ a: 1 }])
		const cut = setup.wrapped({ connectionLimit: 1 }, { attemptTimeoutMs: 50, deadlineMs: 200 })
		const error = await cut
			.promise()
			.query('SELECT SLEEP(2)')
			.catch((thrown: unknown) => thrown)
		expect(HoldfastError.is(error) && error.code).toBe('HOLDFAST_ATTEMPT_TIMEOUT')
	})
})
