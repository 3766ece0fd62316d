/** What ends a transaction on MySQL and MariaDB, and what does pool.transaction make of it? On real servers. */
import { commitLedger, createScheduler, type PoolOptions, retryReport } from 'holdfast'
import { type HoldfastPool, holdfast } from 'holdfast/mysql2'
import mysql, { type Connection, type PoolOptions as MysqlPoolOptions, type Pool } from 'mysql2/promise'
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { caught } from '../support/caught.ts'
import { flavours, type MysqlServer, startMysql } from '../support/mysql.ts'
import { until } from '../support/until.ts'

// InnoDB keeps what this table shows for as long as it is asked more often than every 100 ms.
const pollMs = 120

describe.each(flavours)('%s', (flavour) => {
	let server: MysqlServer
	let pools: HoldfastPool<Pool>[] = []
	let rival: Connection
	beforeAll(async () => {
		server = await startMysql({ flavour })
		rival = await mysql.createConnection(server.adminConfig())
	})
	afterAll(async () => {
		await rival.end()
		await server.dispose()
	})
	beforeEach(async () => {
		await server.query('DROP TABLE IF EXISTS t, heavy, made; CREATE TABLE t (id int PRIMARY KEY, n int); CREATE TABLE heavy (id int)')
		await server.query('INSERT INTO t VALUES (1, 0), (2, 0)')
	})
	afterEach(async () => {
		const open = 'SELECT 1 FROM information_schema.innodb_trx'
		await until(async () => (await server.query(open)).length === 0, { what: 'no transaction to be left open', everyMs: pollMs })
		for (const pool of pools) await pool.end()
		pools = []
	})

	function wrap(options: PoolOptions = {}, config: MysqlPoolOptions = {}) {
		const pool = holdfast(mysql.createPool({ ...server.config(), ...config }), { scheduler: createScheduler(), ...options })
		pools.push(pool)
		return pool
	}
	const ids = async () => (await server.query<{ id: number }>('SELECT id FROM t ORDER BY id')).map(({ id }) => id)

	/** The rival holds row 2, and asks for row 1 once the transaction has it; having written more, it is not the victim. */
	async function trap() {
		await rival.query('START TRANSACTION')
		await rival.query(`INSERT INTO heavy VALUES ${Array.from({ length: 300 }, (_, i) => `(${i})`).join()}`)
		await rival.query('UPDATE t SET n = n + 1 WHERE id = 2')
		let ended: Promise<unknown> | undefined
		return {
			async spring() {
				ended = rival.query('UPDATE t SET n = n + 1 WHERE id = 1').then(() => rival.query('ROLLBACK'))
				const waits = "SELECT 1 FROM information_schema.innodb_trx WHERE trx_state = 'LOCK WAIT'"
				await until(async () => (await server.query(waits)).length > 0, { what: 'the rival to wait', everyMs: pollMs })
			},
			ended: () => ended,
		}
	}

	const commits = [
		['without a ledger', () => ({})],
		['with the ledger', () => ({ commit: commitLedger({ create: true }) })],
	] as const

	test.each(commits)('%s: a deadlock rolls everything back, and the whole function is run again', async (_how, options) => {
		const pool = wrap(options(), { connectionLimit: 1 })
		const { spring, ended } = await trap()
		let runs = 0
		await pool.transaction(async (tx) => {
			runs += 1
			await tx.query('INSERT INTO t VALUES (10, 0)')
			await tx.query('UPDATE t SET n = n + 1 WHERE id = 1')
			if (runs === 1) await spring()
			await tx.query('UPDATE t SET n = n + 1 WHERE id = 2')
		})
		await ended()
		expect({ runs, ids: await ids(), rows: await server.query('SELECT n FROM t WHERE id < 3') }).toEqual({
			runs: 2,
			ids: [1, 2, 10],
			rows: [{ n: 1 }, { n: 1 }],
		})
		expect(pool.holdfast.stats().retries).toMatchObject({ deadlock: 1 })
		// The deadlock is over, and no matter of whoever borrows the connection next.
		const connection = await pool.getConnection()
		await connection.query('SELECT 1')
		connection.release()
	})

	test('a swallowed deadlock is never committed: what follows is refused instead of run in autocommit, and the function is run again', async () => {
		const pool = wrap()
		const { spring, ended } = await trap()
		const errors: unknown[] = []
		let runs = 0
		const value = await pool.transaction(async (tx) => {
			runs += 1
			await tx.query('UPDATE t SET n = n + 1 WHERE id = 1')
			if (runs > 1) return 'second'
			await spring()
			errors.push(await caught(tx.query('UPDATE t SET n = n + 1 WHERE id = 2')))
			errors.push(await caught(tx.query('INSERT INTO t VALUES (20, 0)')))
			errors.push(await caught(tx.execute('INSERT INTO t VALUES (?, 0)', [21])))
			errors.push(await caught(tx.transaction((inner) => inner.query('INSERT INTO t VALUES (22, 0)'))))
			return 'first'
		})
		await ended()
		expect({ value, runs, ids: await ids() }).toEqual({ value: 'second', runs: 2, ids: [1, 2] })
		expect(errors[0]).toMatchObject({ errno: 1213 })
		for (const error of errors) expect(error).toBe(errors[0])
	})

	test('statements that were sent along with the victim of a deadlock are not run after it', async () => {
		const pool = wrap()
		const { spring, ended } = await trap()
		let runs = 0
		await pool.transaction(async (tx) => {
			runs += 1
			if (runs > 1) return
			await tx.query('UPDATE t SET n = n + 1 WHERE id = 1')
			await spring()
			const settled = await Promise.allSettled([
				tx.query('UPDATE t SET n = n + 1 WHERE id = 2'),
				...Array.from({ length: 3_000 }, (_, i) => tx.query(`INSERT INTO t VALUES (${i + 100}, 0)`)),
			])
			expect(settled.every(({ status }) => status === 'rejected')).toBe(true)
		})
		await ended()
		expect({ runs, ids: await ids() }).toEqual({ runs: 2, ids: [1, 2] })
	})

	test('a lock timeout undoes only its statement, so all is rolled back and run again, also where it was swallowed', async () => {
		const pool = wrap()
		await rival.query('START TRANSACTION')
		await rival.query('UPDATE t SET n = n + 1 WHERE id = 2')
		let runs = 0
		const value = await pool.transaction(async (tx) => {
			runs += 1
			await tx.query('SET SESSION innodb_lock_wait_timeout = 1')
			await tx.query(`INSERT INTO t VALUES (${30 + runs}, 0)`)
			const error = await caught(tx.query('SELECT * FROM t WHERE id = 2 FOR UPDATE'))
			if (runs === 1) expect(error).toMatchObject({ errno: 1205 })
			await rival.query('ROLLBACK')
			return runs
		})
		expect({ value, runs, ids: await ids() }).toEqual({ value: 2, runs: 2, ids: [1, 2, 32] })
	})

	test('a savepoint heals a lock timeout, as the transaction is still there; after a deadlock it cannot', async () => {
		const pool = wrap()
		await rival.query('START TRANSACTION')
		await rival.query('UPDATE t SET n = n + 1 WHERE id = 2')
		let runs = 0
		await pool.transaction(async (tx) => {
			runs += 1
			await tx.query('SET SESSION innodb_lock_wait_timeout = 1')
			await tx.query('INSERT INTO t VALUES (40, 0)')
			expect(await caught(tx.transaction((inner) => inner.query('UPDATE t SET n = 9 WHERE id = 2')))).toMatchObject({ errno: 1205 })
			await tx.query('INSERT INTO t VALUES (41, 0)')
		})
		await rival.query('ROLLBACK')
		expect({ runs, ids: await ids() }).toEqual({ runs: 1, ids: [1, 2, 40, 41] })
		const { spring, ended } = await trap()
		runs = 0
		await pool.transaction(async (tx) => {
			runs += 1
			await tx.query('INSERT INTO t VALUES (50, 0)')
			await tx.query('UPDATE t SET n = n + 1 WHERE id = 1')
			if (runs > 1) return
			await spring()
			await caught(tx.transaction((inner) => inner.query('UPDATE t SET n = 9 WHERE id = 2')))
			await caught(tx.query('INSERT INTO t VALUES (51, 0)'))
		})
		await ended()
		expect({ runs, ids: await ids() }).toEqual({ runs: 2, ids: [1, 2, 40, 41, 50] })
	})

	test('an error of one statement leaves the transaction as it is, and a deadlock behind it still counts', async () => {
		const pool = wrap()
		await pool.transaction(async (tx) => {
			await tx.query('INSERT INTO t VALUES (60, 0)')
			expect(await caught(tx.query('INSERT INTO t VALUES (1, 0)'))).toMatchObject({ code: 'ER_DUP_ENTRY' })
		})
		expect(await ids()).toEqual([1, 2, 60])
		const { spring, ended } = await trap()
		let runs = 0
		await pool.transaction(async (tx) => {
			runs += 1
			await tx.query('UPDATE t SET n = n + 1 WHERE id = 1')
			if (runs === 1) await spring()
			await caught(tx.query('INSERT INTO t VALUES (1, 0)'))
			await tx.query('UPDATE t SET n = n + 1 WHERE id = 2')
		})
		await ended()
		expect(runs).toBe(2)
	})

	const deadlock = () => Object.assign(new Error('Deadlock found'), { code: 'ER_LOCK_DEADLOCK', errno: 1213 })

	test.each(commits)(
		'%s: a function that ran DDL is not run again after a transient error, and the error says why',
		async (_how, options) => {
			const pool = wrap(options())
			let runs = 0
			const error = await caught(
				pool.transaction(async (tx) => {
					runs += 1
					await tx.query('INSERT INTO t VALUES (70, 0)')
					await tx.query('CREATE TABLE made (id int)')
					await tx.query('INSERT INTO t VALUES (71, 0)')
					throw deadlock()
				}),
			)
			expect(error).toMatchObject({ code: 'HOLDFAST_PARTLY_COMMITTED', cause: { code: 'ER_LOCK_DEADLOCK' } })
			expect(error?.message).toContain('CREATE TABLE commits implicitly')
			// What came before it is committed; what came after it was in a transaction of its own, and not in autocommit.
			expect({ runs, ids: await ids() }).toEqual({ runs: 1, ids: [1, 2, 70] })
		},
	)

	test('with DDL in it a function that succeeds is committed, and one that fails gets its own error untouched', async () => {
		const pool = wrap()
		const value = await pool.transaction(async (tx) => {
			await tx.query('INSERT INTO t VALUES (72, 0)')
			await tx.query('/* why */ create TABLE made (id int)')
			await tx.query('INSERT INTO t VALUES (73, 0)')
			return 'done'
		})
		expect({ value, ids: await ids() }).toEqual({ value: 'done', ids: [1, 2, 72, 73] })
		const own = new Error('changed my mind')
		expect(
			await caught(
				pool.transaction(async (tx) => {
					await tx.query('DROP TABLE made')
					await tx.query('INSERT INTO t VALUES (74, 0)')
					throw own
				}),
			),
		).toBe(own)
		expect(await ids()).toEqual([1, 2, 72, 73])
	})

	test('DDL that fails has committed all the same; DDL that is no SQL has not', async () => {
		const pool = wrap()
		const failing = (text: string, id: number) =>
			pool.transaction(
				async (tx) => {
					await tx.query(`INSERT INTO t VALUES (${id}, 0)`)
					await caught(tx.query(text))
					await tx.query(`INSERT INTO t VALUES (${id + 1}, 0)`)
					throw deadlock()
				},
				{ deadlineMs: 300 },
			)
		expect(await caught(failing('CREATE TABLE t (id int)', 80))).toMatchObject({ code: 'HOLDFAST_PARTLY_COMMITTED' })
		expect(await ids()).toEqual([1, 2, 80])
		const error = await caught(failing('CREATE TABLE TABLE', 82))
		expect(error).toMatchObject({ code: 'ER_LOCK_DEADLOCK' })
		expect(retryReport(error)?.attempts).toBeGreaterThan(1)
		expect(await ids()).toEqual([1, 2, 80])
	})

	test('idempotent: true lets a function with DDL in it be run again', async () => {
		const pool = wrap()
		let runs = 0
		await pool.transaction(
			async (tx) => {
				runs += 1
				await tx.query('CREATE TABLE IF NOT EXISTS made (id int)')
				if (runs === 1) throw deadlock()
			},
			{ idempotent: true },
		)
		expect(runs).toBe(2)
	})

	test('a temporary table commits nothing, so its function is run again like any other', async () => {
		const pool = wrap()
		let runs = 0
		await pool.transaction(async (tx) => {
			runs += 1
			await tx.query('INSERT INTO t VALUES (90, 0)')
			await tx.query('CREATE TEMPORARY TABLE IF NOT EXISTS mine (id int)')
			await tx.query('DROP TEMPORARY TABLE mine')
			if (runs === 1) throw deadlock()
		})
		expect({ runs, ids: await ids() }).toEqual({ runs: 2, ids: [1, 2, 90] })
	})

	test('a procedure that commits ends the transaction: nothing more is run, and the function is not run again', async () => {
		await server.query('DROP PROCEDURE IF EXISTS commits; CREATE PROCEDURE commits() COMMIT')
		const pool = wrap()
		let runs = 0
		const error = await caught(
			pool.transaction(async (tx) => {
				runs += 1
				await tx.query('INSERT INTO t VALUES (91, 0)')
				await tx.query('CALL commits()')
				await tx.query('INSERT INTO t VALUES (92, 0)')
			}),
		)
		expect(error).toMatchObject({ code: 'HOLDFAST_TRANSACTION_CONTROL' })
		expect({ runs, ids: await ids() }).toEqual({ runs: 1, ids: [1, 2, 91] })
	})

	test.each([
		'BEGIN',
		'START TRANSACTION',
		'begin work',
		'COMMIT',
		'/* x */ commit',
		'ROLLBACK',
		"XA START 'x'",
		"XA COMMIT 'x'",
		'LOCK TABLES t WRITE',
		'UNLOCK TABLES',
		'SET autocommit = 1',
		'SET @@session.autocommit = 0',
		'set @x = 1, Autocommit=0',
	])('%s inside transaction() is refused, and nothing is sent', async (text) => {
		const pool = wrap()
		const error = await caught(
			pool.transaction(async (tx) => {
				await tx.query('INSERT INTO t VALUES (93, 0)')
				await tx.query(text)
			}),
		)
		expect(error).toMatchObject({ code: 'HOLDFAST_TRANSACTION_CONTROL', message: expect.stringContaining('Nothing was sent') })
		expect(await ids()).toEqual([1, 2])
	})

	test('KILL QUERY inside a transaction is somebody’s wish: rolled back, and the error passed through', async () => {
		const pool = wrap()
		let runs = 0
		const error = await caught(
			pool.transaction(async (tx) => {
				runs += 1
				await tx.query('INSERT INTO t VALUES (94, 0)')
				const [rows] = await tx.query('SELECT CONNECTION_ID() AS id')
				const { id } = (rows as Array<{ id: number }>)[0] as { id: number }
				const slow = tx.query('SELECT id FROM t WHERE SLEEP(20) = 0')
				const runs1 = `SELECT 1 FROM information_schema.processlist WHERE id = ${id} AND info LIKE '%SLEEP(20)%' AND command IN ('Query')`
				await until(async () => (await server.query(runs1)).length > 0, { what: 'the statement to run' })
				await server.query(`KILL QUERY ${id}`)
				await slow
			}),
		)
		expect(error).toMatchObject({ errno: 1317 })
		expect({ runs, ids: await ids() }).toEqual({ runs: 1, ids: [1, 2] })
	})

	test('sessions without autocommit: transactions commit, and none is left open behind them', async () => {
		const pool = wrap({ commit: commitLedger({ create: true }) }, { connectionLimit: 2 })
		pool.pool.on('connection', (connection) => connection.query('SET autocommit = 0'))
		await pool.transaction((tx) => tx.query('INSERT INTO t VALUES (95, 0)'))
		await caught(
			pool.transaction(async (tx) => {
				await tx.query('INSERT INTO t VALUES (96, 0)')
				throw new Error('no')
			}),
		)
		expect(await ids()).toEqual([1, 2, 95])
	})

	test('a COMMIT that the server answers with an error has not committed: rolled back, and run again when it takes writes', async () => {
		const pool = wrap()
		let runs = 0
		try {
			await pool.transaction(async (tx) => {
				runs += 1
				await tx.query('INSERT INTO t VALUES (97, 0)')
				if (runs === 1) await server.query('SET GLOBAL read_only = 1')
				if (runs === 1)
					void until(async () => pool.holdfast.stats().retries.read_only, { what: 'the refusal' }).then(() =>
						server.query('SET GLOBAL read_only = 0'),
					)
			})
		} finally {
			await server.query('SET GLOBAL read_only = 0')
		}
		expect({ runs, ids: await ids() }).toEqual({ runs: expect.any(Number), ids: [1, 2, 97] })
		expect(pool.holdfast.stats().retries).toMatchObject({ read_only: expect.any(Number) })
	})
})
