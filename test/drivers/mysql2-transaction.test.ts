/** What does pool.transaction give its function over mysql2, in every form that mysql2 has? On real servers. */
import type { PassThrough } from 'node:stream'
import { commitLedger, createScheduler, type PoolOptions } from 'holdfast'
import { holdfast } from 'holdfast/mysql2'
import mysql, { type ResultSetHeader, type RowDataPacket } from 'mysql2'
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { flavours, type MysqlServer, startMysql } from '../support/mysql.ts'
import { type FaultProxy, startProxy } from '../support/proxy.ts'

const modes = ['a promise pool', 'a callback pool'] as const

describe.each(flavours)('%s', (flavour) => {
	let server: MysqlServer
	let proxy: FaultProxy
	const ends: Array<() => Promise<void>> = []
	beforeAll(async () => {
		server = await startMysql({ flavour })
		proxy = await startProxy({ target: server, protocol: 'mysql' })
	})
	afterAll(async () => {
		await proxy.close()
		await server.dispose()
	})
	beforeEach(async () => {
		await server.query('DROP TABLE IF EXISTS t, holdfast_commits; CREATE TABLE t (id int PRIMARY KEY, n int)')
		await server.query('INSERT INTO t VALUES (1, 10), (2, 20)')
		proxy.resetCounters()
	})
	afterEach(async () => {
		for (const end of ends.splice(0)) await end()
	})

	function pools(options: PoolOptions = {}, config: mysql.PoolOptions = {}) {
		const bare = mysql.createPool({ ...server.config(), host: proxy.host, port: proxy.port, ...config })
		const callback = holdfast(bare, { scheduler: createScheduler(), ...options })
		ends.push(() => callback.promise().end())
		return { 'a callback pool': callback, 'a promise pool': holdfast(callback.promise()) }
	}
	const sent = () => [...proxy.seen.statements.keys()]
	const ids = async () => (await server.query<{ id: number }>('SELECT id FROM t ORDER BY id')).map(({ id }) => id)

	test.each(modes)('%s: statements answer [rows, fields], and the value of the function comes out', async (mode) => {
		const pool = pools()[mode]
		const value = await pool.transaction(async (tx) => {
			const [rows, fields] = await tx.query<RowDataPacket[]>('SELECT n FROM t WHERE id = ?', [1])
			expect(fields.map(({ name }) => name)).toEqual(['n'])
			const [prepared] = await tx.execute<RowDataPacket[]>('SELECT n FROM t WHERE id = ?', [2])
			const [header] = await tx.query<ResultSetHeader>({ sql: 'INSERT INTO t VALUES (?, ?)', values: [3, 30] })
			const [arrays] = await tx.query<RowDataPacket[][]>({ sql: 'SELECT id, n FROM t', rowsAsArray: true })
			return { rows, prepared, affected: header.affectedRows, arrays }
		})
		expect(value).toEqual({
			rows: [{ n: 10 }],
			prepared: [{ n: 20 }],
			affected: 1,
			arrays: [
				[1, 10],
				[2, 20],
				[3, 30],
			],
		})
		expect(await ids()).toEqual([1, 2, 3])
	})

	test('a callback gets what mysql2 calls back with, also in a promise pool', async () => {
		const pool = pools()['a promise pool']
		await pool.transaction(async (tx) => {
			const called = await new Promise((resolve) => {
				const returned: unknown = (tx as unknown as mysql.Connection).query('SELECT n FROM t WHERE id = ?', [1], (error, rows) =>
					process.nextTick(() => resolve({ error, rows, returned })),
				)
			})
			expect(called).toEqual({ error: null, rows: [{ n: 10 }], returned: undefined })
			const failed = await new Promise((resolve) => {
				;(tx as unknown as mysql.Connection).execute('SELECT no_such FROM t', (error) => resolve(error))
			})
			expect(failed).toMatchObject({ code: 'ER_BAD_FIELD_ERROR' })
		})
	})

	test('named placeholders and what else the pool is configured with hold inside', async () => {
		const pool = pools({ commit: commitLedger({ create: true }) }, { namedPlaceholders: true, rowsAsArray: true })['a promise pool']
		const [rows] = await pool.transaction((tx) => tx.query('SELECT id FROM t WHERE n = :n', { n: 20 }))
		expect(rows).toEqual([[2]])
	})

	test.each(['query', 'execute'] as const)('%s(…).stream() gives the rows one by one, and its error', async (method) => {
		const pool = pools()['a callback pool']
		type Streaming = Record<'query' | 'execute', (sql: string) => { stream(): PassThrough }>
		await pool.transaction(async (tx) => {
			const seen: number[] = []
			for await (const row of (tx as unknown as Streaming)[method]('SELECT id FROM t ORDER BY id').stream()) seen.push(row.id)
			expect(seen).toEqual([1, 2])
			const waiting = tx.query('DO SLEEP(0.05)')
			const behind = (tx as unknown as Streaming)[method]('SELECT id FROM t').stream()
			await waiting
			expect((await behind.toArray()).length).toBe(2)
			const failing = (tx as unknown as Streaming)[method]('SELECT no_such FROM t').stream()
			await expect(failing.toArray()).rejects.toMatchObject({ code: 'ER_BAD_FIELD_ERROR' })
			await tx.query('INSERT INTO t VALUES (3, 30)')
		})
		expect(await ids()).toEqual([1, 2, 3])
	})

	test('a stream that nobody reads to its end does not hold up COMMIT, and its reader is told', async () => {
		const pool = pools()['a callback pool']
		let told: unknown
		await pool.transaction(async (tx) => {
			await tx.query('INSERT INTO t VALUES (3, 30)')
			const many = Array.from({ length: 12 }, (_, at) => `t t${at}`).join(', ')
			const stream = (tx as unknown as { query(sql: string): { stream(): PassThrough } })
				.query(`SELECT REPEAT('x', 200) FROM ${many}`)
				.stream()
			stream.on('error', (error) => {
				told = error
			})
			await new Promise((resolve) => stream.once('data', resolve))
			stream.pause()
		})
		expect(told).toMatchObject({ code: 'HOLDFAST_TRANSACTION_ENDED' })
		expect(await ids()).toEqual([1, 2, 3])
	})

	test.each([
		['without a ledger', undefined],
		['with the ledger', commitLedger({ create: true })],
	] as const)('%s: the isolation level is that of this transaction only', async (_how, commit) => {
		const pool = pools({ commit }, { connectionLimit: 1 })['a promise pool']
		const levelOf = async (isolation: 'serializable' | 'read committed' | undefined) =>
			pool.transaction(
				async (tx) => {
					await tx.query('UPDATE t SET n = n + 1 WHERE id = 1')
					// Not asked for a while, InnoDB shows what is.
					await tx.query('DO SLEEP(0.15)')
					const [trx] = await server.query<{ level: string }>('SELECT trx_isolation_level AS level FROM information_schema.innodb_trx')
					return trx?.level
				},
				{ isolation },
			)
		expect(await levelOf('serializable')).toBe('SERIALIZABLE')
		expect(await levelOf(undefined)).toBe('REPEATABLE READ')
		expect(await levelOf('read committed')).toBe('READ COMMITTED')
	})

	test('readOnly is kept by the server, and SELECT … FOR UPDATE locks until the end', async () => {
		const pool = pools()['a promise pool']
		await expect(pool.transaction((tx) => tx.query('UPDATE t SET n = 0'), { readOnly: true })).rejects.toMatchObject({ errno: 1792 })
		await pool.transaction(async (tx) => {
			await tx.query('SELECT * FROM t WHERE id = 1 FOR UPDATE')
			await expect(server.query('SELECT * FROM t WHERE id = 1 FOR UPDATE NOWAIT')).rejects.toMatchObject({ errno: expect.any(Number) })
		})
		await server.query('SELECT * FROM t WHERE id = 1 FOR UPDATE NOWAIT')
	})

	test('a transaction is one round trip more than its statements at each end; the ledger costs one more on MySQL and none on MariaDB', async () => {
		const count = async (options: PoolOptions, config: mysql.PoolOptions = {}) => {
			const pool = pools(options, { connectionLimit: 1, ...config })['a promise pool']
			await pool.transaction((tx) => tx.query('SELECT 1'))
			proxy.resetCounters()
			await pool.transaction((tx) => tx.query('INSERT INTO t VALUES (3, 30)'), { isolation: 'read committed' })
			await server.query('DELETE FROM t WHERE id = 3')
			return [...proxy.seen.statements.values()].reduce((sum, times) => sum + times, 0)
		}
		const block = flavour === 'mariadb'
		expect(await count({})).toBe(block ? 3 : 4)
		expect(await count({ commit: commitLedger({ create: true }) })).toBe(block ? 3 : 5)
		expect(await count({ commit: commitLedger({ create: true }) }, { multipleStatements: true })).toBe(3)
	})

	test('deferrable is refused at the call, with the rule and the value', async () => {
		const pool = pools()['a promise pool']
		await expect(pool.transaction(async () => 1, { deferrable: true })).rejects.toThrow(
			'deferrable is for PostgreSQL: MySQL and MariaDB have no such transactions, got true',
		)
		await expect(pool.transaction(async () => 1, { isolation: 'snapshot' as 'serializable' })).rejects.toThrow(TypeError)
		expect(sent()).toEqual([])
	})

	test('a statement behind the end is refused, on every path', async () => {
		const pool = pools()['a promise pool']
		let kept: { query(sql: string): Promise<unknown> } | undefined
		await pool.transaction(async (tx) => {
			kept = tx
		})
		await expect(kept?.query('INSERT INTO t VALUES (9, 9)')).rejects.toMatchObject({ code: 'HOLDFAST_TRANSACTION_ENDED' })
		expect(await ids()).toEqual([1, 2])
	})
})

describe.each(flavours)('the ledger’s table on %s', (flavour) => {
	let server: MysqlServer
	beforeAll(async () => {
		server = await startMysql({ flavour })
	})
	afterAll(() => server.dispose())
	const ends: Array<() => Promise<void>> = []
	beforeEach(async () => {
		await server.query('DROP TABLE IF EXISTS written, holdfast_commits; CREATE TABLE written (id int)')
	})
	afterEach(async () => {
		for (const end of ends.splice(0)) await end()
	})
	const rows = async (table: string) => Number((await server.query<{ n: number }>(`SELECT count(*) AS n FROM ${table}`))[0]?.n)
	function wrap(options: Parameters<typeof commitLedger>[0], config: mysql.PoolOptions = {}) {
		const pool = holdfast(mysql.createPool({ ...server.config(), ...config }), {
			commit: commitLedger(options),
			scheduler: createScheduler(),
		})
		ends.push(() => pool.promise().end())
		return pool
	}
	const write = (pool: ReturnType<typeof wrap>) => pool.transaction((tx) => tx.query('INSERT INTO written VALUES (1)'))
	const failed = async (pool: ReturnType<typeof wrap>) => {
		const error = await write(pool).catch((reason: unknown) => reason)
		expect(await rows('written')).toBe(0)
		return error
	}

	test('one row for each place in the pool, however many transactions were run', async () => {
		const pool = wrap({ create: true }, { connectionLimit: 3 })
		await Promise.all(Array.from({ length: 60 }, () => write(pool)))
		expect(await rows('holdfast_commits')).toBeLessThanOrEqual(3)
		expect(await rows('written')).toBe(60)
	})

	test('a table that is missing is told before anything is run, with the statement that makes it', async () => {
		const error = await failed(wrap({ table: 'no_such_ledger' }))
		expect(error).toMatchObject({ code: 'HOLDFAST_LEDGER', cause: { errno: 1146 } })
		expect(String(error)).toContain('CREATE TABLE IF NOT EXISTS `no_such_ledger`')
	})

	test('the migration makes a table that serves', async () => {
		await server.query(commitLedger().migration('mysql'))
		await write(wrap({}))
		expect(await rows('holdfast_commits')).toBe(1)
	})

	test('a table that takes no part in transactions is refused: its token would outlive a rollback', async () => {
		await server.query(`${commitLedger().migration('mysql').replace('InnoDB', 'MyISAM')}`)
		const error = await failed(wrap({ create: true }))
		expect(error).toMatchObject({ code: 'HOLDFAST_LEDGER', message: expect.stringContaining('ENGINE = InnoDB') })
	})

	test('a table of that name that is no ledger is told', async () => {
		await server.query('CREATE TABLE holdfast_commits (slot varchar(64) PRIMARY KEY, other int)')
		expect(await failed(wrap({ create: true }))).toMatchObject({
			code: 'HOLDFAST_LEDGER',
			message: expect.stringContaining('is not a commit ledger'),
		})
	})

	test('a user who may not write it, or not create it, is told', async () => {
		await server.query("DROP USER IF EXISTS weak@'%'; CREATE USER weak@'%'; GRANT SELECT, INSERT ON holdfast.written TO weak@'%'")
		const missing = await failed(wrap({ create: true }, { user: 'weak' }))
		expect(missing).toMatchObject({ code: 'HOLDFAST_LEDGER' })
		await server.query(commitLedger().migration('mysql'))
		await server.query("GRANT SELECT ON holdfast.holdfast_commits TO weak@'%'")
		expect(await failed(wrap({}, { user: 'weak' }))).toMatchObject({ code: 'HOLDFAST_LEDGER', cause: { errno: 1142 } })
	})

	test('rows of processes that are gone are cleared away by the next pool', async () => {
		await server.query(commitLedger().migration('mysql'))
		await server.query(
			"INSERT INTO holdfast_commits VALUES ('old', 'x', NOW() - INTERVAL 25 HOUR), ('young', 'x', NOW() - INTERVAL 23 HOUR)",
		)
		await write(wrap({}))
		const left = await server.query<{ slot: string }>("SELECT slot FROM holdfast_commits WHERE token = 'x'")
		expect(left).toEqual([{ slot: 'young' }])
	})

	test('the table may be dropped while the pool is in use: it is created again outside the transaction', async () => {
		const pool = wrap({ create: true })
		await write(pool)
		await server.query('DROP TABLE holdfast_commits')
		await write(pool)
		expect({ written: await rows('written'), ledger: await rows('holdfast_commits') }).toEqual({ written: 2, ledger: 1 })
	})

	test('a server that takes no writes is read all the same', async () => {
		const pool = wrap({})
		await server.query(commitLedger().migration('mysql'))
		await server.query('SET GLOBAL read_only = 1')
		try {
			const [found] = await pool.transaction((tx) => tx.query<RowDataPacket[]>('SELECT 5 AS n'))
			expect(found).toEqual([{ n: 5 }])
		} finally {
			await server.query('SET GLOBAL read_only = 0')
		}
	})

	test('with a schema the table is found in another database', async () => {
		const schema = await server.createDatabase('ledger')
		await write(wrap({ create: true, schema }))
		expect(await rows(`${schema}.holdfast_commits`)).toBe(1)
	})
})
