/** Does getConnection hand out and take back connections as mysql2 does, but for those that the next borrower must not get? */
import type { Pool, PoolConnection, PoolOptions } from 'mysql2'
import { describe, expect, test } from 'vitest'
import { accidentMark } from '../support/leaks.ts'
import { meeting } from '../support/meeting.ts'
import { flavours } from '../support/mysql.ts'
import { until } from '../support/until.ts'
import { calledBack, ending, ground } from './mysql2-side-by-side.ts'

const one: PoolOptions = { connectionLimit: 1, multipleStatements: true }

const borrow = (pool: Pool) =>
	new Promise<PoolConnection>((resolve, reject) => pool.getConnection((error, connection) => (error ? reject(error) : resolve(connection))))
const ask = async <T>(on: Pool | PoolConnection, sql: string): Promise<T> => {
	const [rows] = await on.promise().query(sql)
	return (rows as T[])[0] as T
}
const idOf = async (on: Pool | PoolConnection) => (await ask<{ id: number }>(on, 'SELECT CONNECTION_ID() AS id')).id

describe.each(flavours)('%s', (flavour) => {
	const setup = ground(flavour)
	const { both, promised } = setup
	const sizes = (pool: Pool) => {
		const { _allConnections: all, _freeConnections: free } = pool as unknown as Record<string, { length: number }>
		return { all: all?.length, free: free?.length }
	}

	test('a connection is one of mysql2, used on after its release, and released once however often it is told', async () => {
		const { bare, wrapped } = await both(async (pool) => {
			const connection = await borrow(pool)
			const seen: unknown[] = [connection.constructor.name, typeof connection.threadId, sizes(pool)]
			connection.release()
			connection.release()
			seen.push(sizes(pool))
			const again = await borrow(pool)
			seen.push(again === connection)
			pool.releaseConnection(again)
			return [...seen, sizes(pool)]
		}, one)
		expect(wrapped).toEqual(bare)
	})

	test('a promise pool hands out its own kind of connection, with all its methods', async () => {
		const { bare, wrapped } = await promised(async (pool) => {
			const connection = await pool.getConnection()
			await connection.beginTransaction()
			await connection.execute('DO 1')
			await connection.commit()
			await connection.ping()
			const prepared = await connection.prepare('SELECT ? + 1 AS a')
			const [rows] = await prepared.execute([1])
			await prepared.close()
			const name = connection.constructor.name
			connection.release()
			return [name, rows]
		}, one)
		expect(wrapped).toEqual(bare)
	})

	test('waitForConnections: false and queueLimit refuse as mysql2 does, and a call that was refused takes no place', async () => {
		for (const options of [
			{ ...one, waitForConnections: false },
			{ ...one, queueLimit: 1 },
		]) {
			const { bare, wrapped } = await both(async (pool) => {
				const held = await borrow(pool)
				const first = calledBack((done) => pool.query('SELECT 1 AS a', done))
				const second = await calledBack((done) => pool.query('SELECT 2 AS a', done))
				const third = await calledBack((done) => pool.getConnection((error) => done(error)))
				held.release()
				return { ends: [await first, second, third], after: await calledBack((done) => pool.query('SELECT 3 AS a', done)) }
			}, options)
			expect(wrapped).toEqual(bare)
			expect(JSON.stringify(wrapped)).toContain(options.queueLimit === 1 ? 'Queue limit reached.' : 'No connections available.')
		}
	})

	test('connectionLimit bounds the connections, 0 is no limit, and maxIdle with idleTimeout closes what is idle', async () => {
		const few = setup.wrapped({ ...one, connectionLimit: 3 })
		const met = meeting(3)
		await Promise.all(
			Array.from({ length: 30 }, async () => {
				const connection = await borrow(few)
				await met()
				connection.release()
			}),
		)
		expect(sizes(few)).toEqual({ all: 3, free: 3 })
		const many = setup.wrapped({ ...one, connectionLimit: 0 })
		const lent = await Promise.all(Array.from({ length: 14 }, () => borrow(many)))
		expect(sizes(many)).toEqual({ all: 14, free: 0 })
		for (const connection of lent) connection.release()
		const idle = setup.wrapped({ ...one, connectionLimit: 3, maxIdle: 1, idleTimeout: 60_000 })
		for (const connection of await Promise.all([borrow(idle), borrow(idle), borrow(idle)])) connection.release()
		await until(() => sizes(idle).all === 1, { what: 'the idle connections to be closed' })
		expect(idle.holdfast.stats()).toMatchObject({ discarded: 0, endpoint: { outages: 0 } })
	})

	test('an idle connection that the server ends, or that dies without a word, leaves the pool and harms nobody', async () => {
		const accidents = accidentMark()
		const pool = setup.wrapped({ ...one, connectionLimit: 2 })
		const lent = await Promise.all([borrow(pool), borrow(pool)])
		const ids = await Promise.all(lent.map(idOf))
		for (const connection of lent) connection.release()
		await setup.server.killConnection(ids[0] as number)
		await until(() => sizes(pool).all === 1, { what: 'the pool to hear of it' })
		expect(await idOf(pool)).not.toBe(ids[0])
		expect(pool.holdfast.stats()).toMatchObject({ endpoint: { outages: 0 } })
		await accidents.assertNone()
		accidents.stop()
	})

	test('a borrowed connection that dies is an event for its borrower, no accident, and its place is free again', async () => {
		const accidents = accidentMark()
		const pool = setup.wrapped(one)
		const connection = await borrow(pool)
		const errors: unknown[] = []
		connection.on('error', (error) => errors.push(error))
		await setup.server.killConnection(await idOf(connection))
		await until(() => sizes(pool).all === 0, { what: 'the pool to hear of it' })
		// Before it was released: as bare mysql2 frees its place.
		const id = await idOf(pool)
		expect(await ending(() => connection.promise().query('SELECT 1'))).toMatchObject({ rejected: { fatal: true } })
		connection.release()
		expect(await idOf(pool)).toBe(id)
		await accidents.assertNone()
		accidents.stop()
	})

	test('a connection released with statements still running comes back when they are answered, and not before', async () => {
		const pool = setup.wrapped(one)
		const connection = await borrow(pool)
		const id = await idOf(connection)
		const order: string[] = []
		connection.query('SELECT SLEEP(0.05)', () => order.push('first'))
		connection.query('SELECT 1', () => order.push('second'))
		connection.release()
		expect(await idOf(pool)).toBe(id)
		order.push('next')
		expect(order).toEqual(['first', 'second', 'next'])
	})

	test('a connection released with a transaction open, or a stream that nobody reads, is closed', async () => {
		const pool = setup.wrapped(one)
		await ask(pool, 'CREATE TABLE IF NOT EXISTS dirty (id INT PRIMARY KEY) ENGINE = InnoDB')
		const connection = await borrow(pool)
		const id = await idOf(connection)
		await connection.promise().query('BEGIN; INSERT INTO dirty VALUES (1)')
		connection.release()
		expect(await idOf(pool)).not.toBe(id)
		expect(await ask(pool, 'SELECT COUNT(*) AS n FROM dirty')).toEqual({ n: 0 })
		const reader = await borrow(pool)
		const many = 'WITH RECURSIVE n AS (SELECT 1 AS n UNION ALL SELECT n + 1 FROM n WHERE n < 900) SELECT n FROM n'
		const stream = reader.query(many).stream({ highWaterMark: 1 })
		stream.once('data', () => stream.pause())
		await until(() => (reader as unknown as { _paused: boolean })._paused, { what: 'the stream to be full' })
		reader.release()
		expect(await idOf(pool)).not.toBe(await Promise.resolve(reader.threadId))
		expect(pool.holdfast.stats().discarded).toBe(2)
	})

	test.each(['LOCK TABLES dirty WRITE', ' /* mine */ lock table dirty read', 'SELECT 1; LOCK TABLES dirty WRITE'])(
		'tables that a borrower has left locked are free again, and the next caller gets another connection: %s',
		async (text) => {
			const pool = setup.wrapped(one)
			await ask(pool, 'CREATE TABLE IF NOT EXISTS dirty (id INT PRIMARY KEY) ENGINE = InnoDB')
			const connection = await borrow(pool)
			const id = await idOf(connection)
			await connection.promise().query(text)
			connection.release()
			expect(await idOf(pool)).not.toBe(id)
			// From another session: it would wait.
			await setup.server.query('INSERT INTO dirty VALUES (7); DELETE FROM dirty', setup.config().database)
			expect(pool.holdfast.stats().discarded).toBe(1)
		},
	)

	test('tables that a borrower has locked and unlocked, or a reset has, cost no connection', async () => {
		const pool = setup.wrapped(one)
		await ask(pool, 'CREATE TABLE IF NOT EXISTS dirty (id INT PRIMARY KEY) ENGINE = InnoDB')
		for (const unlock of [
			(connection: PoolConnection) => connection.promise().query('UNLOCK TABLES'),
			(connection: PoolConnection) => calledBack((done) => connection.reset(done)),
		]) {
			const connection = await borrow(pool)
			await connection.promise().query('LOCK TABLES dirty WRITE')
			await unlock(connection)
			const id = await idOf(connection)
			connection.release()
			expect(await idOf(pool)).toBe(id)
		}
		expect(pool.holdfast.stats().discarded).toBe(0)
	})

	test('after a deadlock a reset, or another user, begins the session anew: what follows is run', async () => {
		const pool = setup.wrapped(one)
		for (const anew of [
			(connection: PoolConnection) => calledBack((done) => connection.reset(done)),
			(connection: PoolConnection) => calledBack((done) => connection.changeUser(setup.config(), done)),
		]) {
			const connection = await borrow(pool)
			await connection.promise().query('BEGIN')
			const deadlock = connection.promise().query("SIGNAL SQLSTATE '40001' SET MYSQL_ERRNO = 1213")
			await expect(deadlock).rejects.toMatchObject({ errno: 1213 })
			await expect(connection.promise().query('DO 1')).rejects.toMatchObject({ code: 'HOLDFAST_ROLLED_BACK' })
			await anew(connection)
			expect(await ask(connection, 'SELECT 1 AS a')).toEqual({ a: 1 })
			connection.release()
		}
	})

	test('a BEGIN, or autocommit turned off, through the pool leaves no transaction behind', async () => {
		const pool = setup.wrapped(one)
		await ask(pool, 'CREATE TABLE IF NOT EXISTS dirty (id INT PRIMARY KEY) ENGINE = InnoDB')
		await pool.promise().query('BEGIN; INSERT INTO dirty VALUES (1)')
		await pool.promise().query('SET autocommit = 0; INSERT INTO dirty VALUES (2)')
		expect(await ask(pool, 'SELECT (SELECT COUNT(*) FROM dirty) AS n, @@autocommit AS autocommit')).toEqual({ n: 0, autocommit: 1 })
	})

	test('autocommit that a borrower has turned off is not for the next caller, and a session without it loses no write silently', async () => {
		const pool = setup.wrapped(one)
		await ask(pool, 'CREATE TABLE IF NOT EXISTS off (id INT PRIMARY KEY) ENGINE = InnoDB')
		const connection = await borrow(pool)
		await connection.promise().query('SET autocommit = 0; INSERT INTO off VALUES (1)')
		await connection.promise().commit()
		connection.release()
		await pool.promise().query('INSERT INTO off VALUES (2)')
		const listening = setup.wrapped(one)
		listening.on('connection', (fresh) => fresh.query('SET @a = 1'))
		const first = await borrow(listening)
		await first.promise().query('SET autocommit = 0')
		first.release()
		expect(await idOf(listening)).not.toBe(first.threadId)
		const without = setup.wrapped(one)
		without.on('connection', (fresh) => fresh.query('SET autocommit = 0'))
		const insert = 'INSERT INTO off VALUES (3)'
		for (const call of [() => without.promise().query(insert), () => without.promise().execute(insert)])
			await expect(call()).rejects.toMatchObject({ code: 'HOLDFAST_ROLLED_BACK' })
		expect(await ask(without, 'SELECT GROUP_CONCAT(id ORDER BY id) AS ids FROM off')).toEqual({ ids: '1,2' })
		await without.transaction(async (tx) => tx.query('INSERT INTO off VALUES (4)'))
		const borrowed = await borrow(without)
		await borrowed.promise().query('INSERT INTO off VALUES (5)')
		await borrowed.promise().commit()
		const id = borrowed.threadId
		borrowed.release()
		expect(await idOf(without)).toBe(id)
		expect(await ask(pool, 'SELECT GROUP_CONCAT(id ORDER BY id) AS ids FROM off')).toEqual({ ids: '1,2,4,5' })
	})

	test('a typeCast that throws ends its connection: rows that still come are not taken for the next answer', async () => {
		const pool = setup.wrapped(one)
		const slow = "SELECT n, REPEAT('x', 40000) AS x, SLEEP(0.05) FROM (SELECT 1 AS n UNION ALL SELECT 2 UNION ALL SELECT 3) AS t"
		const mine = new Error('mine')
		const typeCast = () => {
			throw mine
		}
		const failed = { sql: slow, typeCast }
		const caught = (call: Promise<unknown>) => call.catch((error: unknown) => error)
		expect(await caught(pool.promise().query(failed))).toBe(mine)
		expect(await ask(pool, 'SELECT 1 AS n')).toEqual({ n: 1 })
		const connection = await borrow(pool)
		expect(await caught(connection.promise().execute(failed))).toBe(mine)
		connection.release()
		expect(await ask(pool, 'SELECT 2 AS n')).toEqual({ n: 2 })
		expect(await caught(pool.transaction((tx) => tx.query(failed)))).toBe(mine)
		expect(await ask(pool, 'SELECT 3 AS n')).toEqual({ n: 3 })
	})

	test('resetOnRelease resets what a borrower has set, and the connection is used on', async () => {
		const pool = setup.wrapped({ ...one, resetOnRelease: true } as PoolOptions)
		const connection = await borrow(pool)
		const id = await idOf(connection)
		await connection.promise().query('SET @mine = 1')
		connection.release()
		expect(await ask(pool, 'SELECT @mine AS mine, CONNECTION_ID() AS id')).toEqual({ mine: null, id })
	})

	test('a replaced connection is a new one: USE and SET of the old one are gone, and the database is that of the pool', async () => {
		const pool = setup.wrapped(one)
		const state = () => ask(pool, 'SELECT DATABASE() AS d, @mine AS mine, @@SESSION.sql_safe_updates AS safe')
		const fresh = { d: setup.config().database, mine: null, safe: 0 }
		expect(await state()).toEqual(fresh)
		await ask(pool, 'USE information_schema; SET @mine = 1, SESSION sql_safe_updates = 1')
		expect(await state()).toEqual({ d: 'information_schema', mine: 1, safe: 1 })
		await setup.server.killConnection(await idOf(pool))
		expect(await state()).toEqual(fresh)
	})

	test('prepared statements are prepared anew on a new connection, and after the server has forgotten them', async () => {
		const pool = setup.wrapped(one)
		const connection = await borrow(pool)
		const twice = async () => (await connection.promise().execute('SELECT ? AS a', ['x']))[0]
		await twice()
		await new Promise((resolve) => connection.changeUser({}, resolve))
		// COM_CHANGE_USER forgets them on the server, and not in mysql2.
		await ending(twice)
		expect(await twice()).toEqual([{ a: 'x' }])
		connection.release()
		expect((await pool.promise().execute('SELECT ? AS a', ['y']))[0]).toEqual([{ a: 'y' }])
		await setup.server.killConnection(await idOf(pool))
		expect((await pool.promise().execute('SELECT ? AS a', ['z']))[0]).toEqual([{ a: 'z' }])
	})

	test('a pool wrapped while connections are out takes them back, and closes those with a transaction open', async () => {
		const { createPool } = await import('mysql2')
		const { holdfast } = await import('holdfast/mysql2')
		const bare = createPool({ ...setup.config(), ...one, connectionLimit: 2 })
		const [clean, dirty] = [await borrow(bare), await borrow(bare)]
		const cleanId = await idOf(clean)
		const pool = holdfast(bare)
		await dirty.promise().query('BEGIN')
		dirty.release()
		clean.release()
		const listed = async () => (await setup.server.connections()).map(({ id }) => id)
		await until(async () => !(await listed()).includes(dirty.threadId), { what: 'the dirty one to be closed' })
		await until(() => sizes(pool).free === 1, { what: 'the clean one to be back' })
		expect(await idOf(pool)).toBe(cleanId)
		await new Promise((resolve) => pool.end(resolve))
	})
})
