/** A MySQL or MariaDB server is set read-only, or its address answers from one that is: what do callers who write notice? Nothing. */
import { commitLedger, DeadlineError } from 'holdfast'
import { afterEach, describe, expect, test } from 'vitest'
import { flavours } from '../support/mysql.ts'
import { until } from '../support/until.ts'
import type { WrappedPool } from './mysql-stage.ts'
import { onMysqlStage } from './on-stage.ts'

describe.each(flavours)('%s', (flavour) => {
	const at = onMysqlStage(flavour)
	afterEach(() => at.ask('SET GLOBAL read_only = 0'))

	const write = (pool: WrappedPool, id: number) => pool.query('INSERT INTO written VALUES (?)', [id])
	const transaction = (pool: WrappedPool, id: number) =>
		pool.transaction(async (tx) => {
			await tx.query('SELECT 1')
			await tx.query('INSERT INTO written VALUES (?)', [id])
		})
	/** The pool has heard that all its links are lost. */
	const noticed = (pool: WrappedPool) =>
		until(() => (pool.pool as unknown as { _allConnections: { length: number } })._allConnections.length === 0, {
			what: 'the losses to be noticed',
		})
	const refusals: ReadonlyArray<readonly [setting: string, on: string, off: string]> = [
		['read_only', 'SET GLOBAL read_only = 1', 'SET GLOBAL read_only = 0'],
		...(flavour === 'mysql'
			? ([['super_read_only', 'SET GLOBAL super_read_only = 1', 'SET GLOBAL super_read_only = 0, GLOBAL read_only = 0']] as const)
			: []),
	]

	test.each(refusals)(
		'%s: whoever writes waits until the server takes writes again, and each write is run once',
		async (_name, on, off) => {
			const pool = at.wrap({}, { connectionLimit: 4 })
			await Promise.all([1, 2, 3, 4].map((id) => write(pool, id)))
			await at.ask(on)
			at.proxy.resetCounters()
			const writes = Array.from({ length: 20 }, (_, at) => (at % 2 === 0 ? write : transaction)(pool, at + 5))
			await until(() => pool.holdfast.stats().endpoint.lastFault?.kind === 'read_only', { what: 'the refusal' })
			await until(() => at.proxy.attempts >= 4, { what: 'the server to be asked again' })
			// One at a time, by a question: only those who had a connection already were refused.
			expect(at.proxy.maxInFlightAttempts).toBe(1)
			expect(at.proxy.seen.statementsLike('INSERT')).toBeLessThanOrEqual(4)
			await at.ask(off)
			await Promise.all(writes)
			expect(await at.ids()).toEqual(Array.from({ length: 24 }, (_, at) => at + 1))
			expect(pool.holdfast.stats()).toMatchObject({ inDoubt: 0, outages: 1, endpoint: { state: 'up' } })
		},
	)

	test('a server whose transactions are read-only by default (1792) is waited for as well; whoever asked for that himself is told', async () => {
		const name = flavour === 'mysql' ? 'transaction_read_only' : 'tx_read_only'
		const pool = at.wrap({}, { connectionLimit: 3 })
		await Promise.all([write(pool, 1), transaction(pool, 2)])
		await at.ask(`SET GLOBAL ${name} = 1`)
		// A session has what was set when it began.
		for (const { id } of await at.server.connections()) await at.server.killConnection(id)
		await noticed(pool)
		const writes = [transaction(pool, 3), write(pool, 4)]
		await until(() => pool.holdfast.stats().endpoint.lastFault?.kind === 'read_only', { what: 'the refusal' })
		await at.ask(`SET GLOBAL ${name} = 0`)
		await Promise.all(writes)
		expect(await at.ids()).toEqual([1, 2, 3, 4])

		const asked = pool.transaction((tx) => tx.query('INSERT INTO written VALUES (5)'), { readOnly: true })
		await expect(asked).rejects.toMatchObject({ errno: 1792 })
		const borrowed = await pool.getConnection()
		await borrowed.query(`SET SESSION ${name} = 1`)
		await expect(borrowed.query('INSERT INTO written VALUES (6)')).rejects.toMatchObject({ errno: 1792 })
		borrowed.destroy()
		expect(pool.holdfast.stats().outages).toBe(1)
	})

	test('after a loss a borrower of a pool that writes gets no connection to a server that takes none', async () => {
		const pool = at.wrap({}, { connectionLimit: 2 })
		await write(pool, 1)
		await at.ask('SET GLOBAL read_only = 1')
		at.proxy.resetAll()
		await noticed(pool)
		const borrowing = pool.getConnection()
		await until(() => pool.holdfast.stats().endpoint.lastFault?.kind === 'read_only', { what: 'the server to be found read-only' })
		await at.ask('SET GLOBAL read_only = 0')
		const borrowed = await borrowing
		await borrowed.query('INSERT INTO written VALUES (2)')
		borrowed.release()
		expect(await at.ids()).toEqual([1, 2])
	})

	test('whom read_only does not bind writes on', async () => {
		const { user } = at.server.adminConfig()
		const pool = at.wrap({}, { connectionLimit: 2, user })
		await write(pool, 1)
		await at.ask('SET GLOBAL read_only = 1')
		at.proxy.resetAll()
		await noticed(pool)
		await write(pool, 2)
		expect(pool.holdfast.stats().outages).toBe(0)
		expect(await at.ids()).toEqual([1, 2])
	})

	test('reads go on while the server takes no writes: those that wait already, new ones, and read-only transactions', async () => {
		const pool = at.wrap({}, { connectionLimit: 2 })
		await Promise.all([write(pool, 1), write(pool, 2)])
		const holders = await Promise.all([pool.getConnection(), pool.getConnection()])
		await holders[0]?.query('SET @held = 1')
		const waiting = pool.query('SELECT COUNT(*) AS n FROM written')
		await at.ask('SET GLOBAL read_only = 1')
		await expect(holders[0]?.query('INSERT INTO written VALUES (3)')).rejects.toMatchObject({ errno: 1290 })
		const write4 = write(pool, 4)
		expect(await waiting).toMatchObject([[{ n: 2 }], {}])
		expect(await pool.query('SELECT COUNT(*) AS n FROM written')).toMatchObject([[{ n: 2 }], {}])
		expect(await pool.execute('SELECT COUNT(*) AS n FROM written')).toMatchObject([[{ n: 2 }], {}])
		const counted = pool.transaction(async (tx) => tx.query('SELECT COUNT(*) AS n FROM written'), { readOnly: true })
		expect(await counted).toMatchObject([[{ n: 2 }], {}])
		// Two writes, three reads and the transaction, wherever they went.
		expect(pool.holdfast.stats().attempts).toBe(6)
		await at.ask('SET GLOBAL read_only = 0')
		for (const holder of holders) holder.release()
		await write4
		expect(await at.ids()).toEqual([1, 2, 4])
	})

	test('a read that goes on elsewhere leaves its line: it fills no queueLimit, and its connection comes back to whom it belongs', async () => {
		const pool = at.wrap({}, { connectionLimit: 1, queueLimit: 2 })
		await write(pool, 1)
		const holder = await pool.getConnection()
		await holder.query('SET @held = 1')
		const reads = [1, 2].map(() => pool.query('SELECT COUNT(*) AS n FROM written'))
		expect(pool.holdfast.stats().waiting).toBe(2)
		await at.ask('SET GLOBAL read_only = 1')
		await expect(holder.query('INSERT INTO written VALUES (2)')).rejects.toMatchObject({ errno: 1290 })
		for (const read of reads) expect(await read).toMatchObject([[{ n: 1 }], {}])
		const writes = [write(pool, 3), write(pool, 4)]
		await expect(write(pool, 5)).rejects.toThrow('Queue limit reached.')
		await at.ask('SET GLOBAL read_only = 0')
		holder.release()
		await Promise.all(writes)
		expect(await at.ids()).toEqual([1, 3, 4])
		expect(pool.holdfast.stats()).toMatchObject({ inDoubt: 0, waiting: 0 })
	})

	test('a read that waits for a server goes on when that comes back and takes no writes', async () => {
		const pool = at.wrap({}, { connectionLimit: 2 })
		await write(pool, 1)
		await at.proxy.rejectConnections()
		at.proxy.resetAll()
		await noticed(pool)
		const [read, wrote] = [pool.query('SELECT COUNT(*) AS n FROM written'), write(pool, 2)]
		await until(() => pool.holdfast.stats().endpoint.state === 'down', { what: 'the outage' })
		await at.ask('SET GLOBAL read_only = 1')
		await at.proxy.accept()
		expect(await read).toMatchObject([[{ n: 1 }], {}])
		await at.ask('SET GLOBAL read_only = 0')
		await wrote
		expect(await at.ids()).toEqual([1, 2])
		expect(pool.holdfast.stats()).toMatchObject({ inDoubt: 0, waiting: 0 })
	})

	test('however often the server was asked in vain, the error of a wait has the refusal as its cause’s cause', async () => {
		const pool = at.wrap({}, { connectionLimit: 1 })
		await write(pool, 1)
		await at.ask('SET GLOBAL read_only = 1')
		at.proxy.resetCounters()
		const waiting = write(pool, 2)
		await until(() => at.proxy.attempts >= 5, { what: 'the server to be asked again and again' })
		const late = (await pool
			.query({ sql: 'INSERT INTO written VALUES (3)', deadlineMs: 20 })
			.catch((error: unknown) => error)) as DeadlineError
		expect(late).toBeInstanceOf(DeadlineError)
		expect(late.cause).toMatchObject({ code: 'HOLDFAST_NO_HOST', cause: { errno: 1290 } })
		await at.ask('SET GLOBAL read_only = 0')
		await waiting
		expect(await at.ids()).toEqual([1, 2])
		expect(pool.holdfast.stats()).toMatchObject({ inDoubt: 0, waiting: 0 })
	})

	test('a commit in doubt is looked for where writes are taken: not before the server takes them again', async () => {
		const pool = at.wrap({ commit: commitLedger({ create: true }) }, { connectionLimit: 2 })
		await transaction(pool, 1)
		const lost = at.proxy.intercept({
			from: 'server',
			match: ({ tag }) => tag === 'COMMIT',
			action: 'cut before',
			how: 'reset',
			onHit: async () => void (await at.ask('SET GLOBAL read_only = 1')),
		})
		const doubtful = transaction(pool, 2)
		await until(() => pool.holdfast.stats().endpoint.lastFault?.kind === 'read_only', { what: 'the server to be found read-only' })
		await at.ask('SET GLOBAL read_only = 0')
		await doubtful
		expect(lost.hits).toBe(1)
		expect(pool.holdfast.stats().resolved).toEqual({ applied: 1, notApplied: 0, unresolved: 0 })
		expect(await at.ids()).toEqual([1, 2])
	})
})
