/** The answer to COMMIT is lost on MySQL or MariaDB: does the ledger tell the truth, whatever became of the server since? */
import { commitLedger, InDoubtError, type PoolOptions } from 'holdfast'
import mysql, { type Connection } from 'mysql2/promise'
import { describe, expect, test } from 'vitest'
import { flavours } from '../support/mysql.ts'
import { until } from '../support/until.ts'
import { onMysqlStage } from './on-stage.ts'

describe.each(flavours)('%s', (flavour) => {
	const at = onMysqlStage(flavour, { settings: { innodb_flush_log_at_trx_commit: '1' } })

	const swallowCommit = (onHit?: () => Promise<void>) =>
		at.proxy.intercept({ from: 'client', match: ({ text }) => text === 'COMMIT', action: 'black hole', ...(onHit && { onHit }) })
	/** A wrapped pool whose ledger is there, and whose first transaction is over: only what comes now is hit. */
	async function ready(options: PoolOptions = {}, config = {}) {
		const pool = at.wrap({ commit: commitLedger({ create: true }), ...options }, config)
		await pool.transaction((tx) => tx.query('SELECT 1'))
		return pool
	}

	test('the reply was lost: applied once, with the value of the attempt that was applied', async () => {
		const pool = await ready()
		const lost = at.loseCommitReply()
		expect(await at.write(pool)).toEqual({ runs: 1, told: 1, value: 1, error: undefined, rows: 1 })
		expect(lost.hits).toBe(1)
		expect(pool.holdfast.stats()).toMatchObject({ inDoubt: 1, resolved: { applied: 1, notApplied: 0, unresolved: 0 } })
	})

	test('the COMMIT never arrived: not applied, so the function is run again', async () => {
		const pool = await ready()
		const lost = at.loseCommitItself()
		expect(await at.write(pool)).toEqual({ runs: 2, told: 1, value: 2, error: undefined, rows: 1 })
		expect(lost.hits).toBe(1)
		expect(pool.holdfast.stats()).toMatchObject({ inDoubt: 1, resolved: { applied: 0, notApplied: 1, unresolved: 0 } })
	})

	test('the COMMIT vanished in a black hole: the orphan that still holds the row is killed, then the function is run again', async () => {
		const pool = await ready({ attemptTimeoutMs: 1_000 }, { connectionLimit: 1 })
		const [id] = (await at.server.connections()).map((connection) => connection.id)
		const hole = swallowCommit()
		expect(await at.write(pool)).toEqual({ runs: 2, told: 1, value: 2, error: undefined, rows: 1 })
		expect(hole.hits).toBe(1)
		expect(pool.holdfast.stats()).toMatchObject({ inDoubt: 1, resolved: { notApplied: 1 } })
		expect((await at.server.connections()).map((connection) => connection.id)).not.toContain(id)
	})

	test('an orphan that cannot be proved to be ours is not killed: it is waited for until the deadline', async () => {
		const pool = await ready({ attemptTimeoutMs: 500, deadlineMs: 2_000 }, { connectionLimit: 1 })
		const [orphan] = await at.server.connections()
		const hole = swallowCommit()
		const seen = await pool
			.transaction(async (tx) => {
				// With the lock the proof is gone.
				await tx.query('DO RELEASE_ALL_LOCKS()')
				await tx.query('INSERT INTO written VALUES (1)')
			})
			.catch((error: unknown) => error)
		expect(hole.hits).toBe(1)
		expect(seen).toBeInstanceOf(InDoubtError)
		expect(String(seen)).toContain('still running on the server')
		expect((await at.server.connections()).map(({ id }) => id)).toContain(orphan?.id)
		await at.server.killConnection(orphan?.id as number)
		expect(await at.rows()).toBe(0)
	})

	test('after kill -9 ids begin again: a stranger with the id of the lost connection is left alone', async () => {
		const pool = await ready({}, { connectionLimit: 1 })
		const ours = (await at.server.connections())[0]?.id as number
		const strangers: Connection[] = []
		let restarted: Promise<void> | undefined
		const lost = at.loseCommitItself(() => {
			restarted = (async () => {
				at.proxy.refuse()
				await at.server.restart('kill')
				while ((strangers.at(-1)?.threadId ?? 0) < ours) strangers.push(await mysql.createConnection(at.server.config()))
				await at.proxy.accept()
			})()
			return restarted
		})
		expect(await at.write(pool)).toMatchObject({ runs: 2, told: 1, error: undefined, rows: 1 })
		await restarted
		expect({ hits: lost.hits, last: strangers.at(-1)?.threadId }).toEqual({ hits: 1, last: ours })
		const left = (await at.server.connections()).map(({ id }) => id)
		for (const { threadId } of strangers) expect(left).toContain(threadId)
		for (const stranger of strangers) await stranger.end()
	})

	test('the reply was lost because the server was killed: applied, and told so after its restart', async () => {
		const pool = await ready()
		at.loseCommitReply(() => at.server.restart('kill'))
		expect(await at.write(pool)).toMatchObject({ runs: 1, told: 1, value: 1, error: undefined, rows: 1 })
	})

	test('the server was killed before the COMMIT arrived: not applied, so it is run again', async () => {
		const pool = await ready()
		at.loseCommitItself(() => at.server.restart('kill'))
		expect(await at.write(pool)).toMatchObject({ runs: 2, told: 1, value: 2, error: undefined, rows: 1 })
	})

	test('a replica, or a server that takes no writes, is not asked: the answer waits until it takes writes again', async () => {
		// As root, whom read_only does not bind.
		const pool = await ready({ deadlineMs: 20_000 }, { user: at.server.adminConfig().user })
		const asked = () => at.proxy.seen.statementsLike('SELECT @@global.read_only AS readOnly, @@innodb_read_only')
		at.loseCommitReply(async () => {
			await at.ask('SET GLOBAL read_only = 1')
		})
		const written = at.write(pool)
		await until(() => asked() > 2, { what: 'the question to be asked again and again' })
		expect(pool.holdfast.stats()).toMatchObject({ inDoubt: 1, resolved: { applied: 0, notApplied: 0, unresolved: 0 } })
		await at.ask('SET GLOBAL read_only = 0')
		expect(await written).toMatchObject({ runs: 1, told: 1, error: undefined, rows: 1 })
	})

	test('an orphan whose BEGIN was never answered keeps the row to itself: the next transaction does not wait for it', async () => {
		const pool = await ready({ attemptTimeoutMs: 1_000, deadlineMs: 15_000 }, { connectionLimit: 1 })
		// The token is in the row, uncommitted, and nobody here heard of it.
		const tag = flavour === 'mariadb' ? 'BEGIN' : 'INSERT'
		const hole = at.proxy.intercept({ from: 'server', match: (message) => message.tag === tag, action: 'black hole' })
		const swallowed = at.proxy.intercept({ from: 'client', match: ({ type }) => type === 'COM_QUIT', action: 'swallow' })
		expect(await at.write(pool)).toMatchObject({ runs: 1, told: 1, error: undefined, rows: 1 })
		swallowed.remove()
		expect({ hits: hole.hits, slots: (await at.ask('SELECT slot FROM holdfast_commits')).length }).toEqual({ hits: 1, slots: 2 })
	})

	test('a ledger that was emptied proves nothing: an InDoubtError instead of a second run', async () => {
		const pool = await ready({}, { connectionLimit: 1 })
		await at.write(pool)
		at.loseCommitReply(async () => {
			await at.ask('DELETE FROM holdfast_commits')
		})
		const seen = await at.write(pool)
		expect(seen).toMatchObject({ runs: 1, told: 0, rows: 2 })
		expect(seen.error).toMatchObject({ code: 'HOLDFAST_IN_DOUBT', phase: 'commit', token: expect.stringContaining('/') })
	})

	test('the row of a commit in doubt is not written by the next transaction, though that comes first in line', async () => {
		const pool = await ready({}, { connectionLimit: 1 })
		const lost = at.loseCommitReply()
		const first = at.write(pool)
		const others = Array.from({ length: 5 }, () => pool.transaction((tx) => tx.query('INSERT INTO written VALUES (2)')))
		expect(await first).toMatchObject({ runs: 1, told: 1, error: undefined })
		await Promise.all(others)
		expect({ hits: lost.hits, rows: await at.rows() }).toEqual({ hits: 1, rows: 6 })
	})

	test('nothing can be asked before the deadline: an InDoubtError that says so', async () => {
		const pool = await ready({ deadlineMs: 800 })
		at.loseCommitReply(async () => at.proxy.refuse())
		const seen = await at.write(pool)
		expect(seen.error).toMatchObject({ code: 'HOLDFAST_IN_DOUBT', phase: 'commit' })
		expect(String(seen.error)).toContain('could not be asked')
		expect(seen).toMatchObject({ runs: 1, told: 0, rows: 1 })
	})

	test.each([undefined, 'off'] as const)('without a ledger (commit: %s) a lost reply is an InDoubtError', async (commit) => {
		const pool = at.wrap(commit === undefined ? {} : { commit })
		at.loseCommitReply()
		const seen = await at.write(pool)
		expect(seen.error).toBeInstanceOf(InDoubtError)
		expect(seen.error).toMatchObject({ cause: { code: expect.stringMatching(/PROTOCOL_CONNECTION_LOST|ECONNRESET/) } })
		expect(seen).toMatchObject({ runs: 1, told: 0, rows: 1 })
	})

	test('a read-only transaction leaves the ledger alone, and a lost COMMIT of one is simply run again', async () => {
		const pool = at.wrap({ commit: commitLedger({ create: true }) })
		at.loseCommitReply()
		const [found] = await pool.transaction((tx) => tx.query('SELECT 7 AS n'), { readOnly: true })
		expect(found).toEqual([{ n: 7 }])
		expect(at.proxy.seen.statementsLike('INSERT')).toBe(0)
	})

	test('exactlyOnce applies an autocommit write once though its answer is lost, and gives its own result', async () => {
		const pool = await ready()
		const lost = at.loseCommitReply(() => at.server.restart('kill'))
		const [header] = await pool.query({ sql: 'INSERT INTO written VALUES (?)', values: [3], exactlyOnce: true })
		expect(header).toMatchObject({ affectedRows: 1 })
		const [again] = await pool.execute({ sql: 'INSERT INTO written VALUES (?)', exactlyOnce: true }, [4])
		expect(again).toMatchObject({ affectedRows: 1 })
		expect({ hits: lost.hits, rows: await at.rows() }).toEqual({ hits: 1, rows: 2 })
		const bare = at.wrap()
		await expect(bare.query({ sql: 'INSERT INTO written VALUES (1)', exactlyOnce: true })).rejects.toThrow(
			'exactlyOnce needs commit: commitLedger',
		)
	})
})
