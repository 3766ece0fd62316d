/** Packets vanish on one link and nobody says so: who notices, how soon, and what are the callers told? */
import { commitLedger, InDoubtError, type PoolOptions, type Stats } from 'holdfast'
import { afterEach, describe, expect, test } from 'vitest'
import { caught } from '../support/caught.ts'
import { type Flavour, flavours } from '../support/mysql.ts'
import { until } from '../support/until.ts'
import { onMysqlStage, onStage } from './on-stage.ts'

/** A pool of either driver; a query gives its first row. */
interface Opened {
	query(text: string): Promise<object | undefined>
	transaction(...texts: string[]): Promise<void>
	borrow(): Promise<{ query(text: string): Promise<object | undefined>; release(): void }>
	stats(): Stats
}

// The default is 2,000: the same thing in less time.
const soon = { halfOpenAfterMs: 300 }

const onPostgres = () => {
	const at = onStage()
	const open = (options: PoolOptions = soon): Opened => {
		const pool = at.wrap(options)
		return {
			query: async (text) => (await pool.query(text)).rows[0],
			transaction: (...texts) =>
				pool.transaction(async (tx) => {
					for (const text of texts) await tx.query(text)
				}),
			async borrow() {
				const client = await pool.connect()
				return { query: async (text) => (await client.query(text)).rows[0], release: () => client.release() }
			},
			stats: () => pool.holdfast.stats(),
		}
	}
	const words = { id: 'pg_backend_pid()', sleep: 'pg_sleep(2)', begin: 'BEGIN', kill: (id: number) => `SELECT pg_terminate_backend(${id})` }
	return { at, open, ...words, verified: soon as PoolOptions }
}

const onMysql = (flavour: Flavour) => {
	const at = onMysqlStage(flavour)
	const first = (answer: unknown) => (answer as [object[]])[0][0]
	const open = (options: PoolOptions = soon): Opened => {
		const pool = at.wrap(options)
		return {
			query: async (text) => first(await pool.query(text)),
			transaction: (...texts) =>
				pool.transaction(async (tx) => {
					for (const text of texts) await tx.query(text)
				}),
			async borrow() {
				const connection = await pool.getConnection()
				return { query: async (text) => first(await connection.query(text)), release: () => connection.release() }
			},
			stats: () => pool.holdfast.stats(),
		}
	}
	const words = { id: 'CONNECTION_ID()', sleep: 'SLEEP(2)', begin: 'START TRANSACTION', kill: (id: number) => `KILL CONNECTION ${id}` }
	return { at, open, ...words, verified: { ...soon, commit: commitLedger({ create: true }) } as PoolOptions }
}

describe.each(['postgres', ...flavours] as const)('on %s', (product) => {
	const { at, open, id, sleep, begin, kill, verified } = product === 'postgres' ? onPostgres() : onMysql(product)
	// The server's ends of the links that were found dead.
	afterEach(() => at.proxy.resetAll())

	const loseCommand = (text: string) =>
		at.proxy.intercept({ from: 'client', match: (message) => message.text?.startsWith(text) ?? false, action: 'black hole' })
	/** Loses the answer to this statement, and all that comes over its link after that. */
	const loseAnswer = (text: string) => {
		let isArmed = false
		at.proxy.intercept({
			from: 'client',
			match: (message) => message.text?.startsWith(text) ?? false,
			action: 'pass',
			onHit: () => {
				isArmed = true
			},
		})
		return at.proxy.intercept({ from: 'server', match: () => isArmed, action: 'black hole' })
	}

	test('a read whose answer vanished is run again on another connection', async () => {
		const pool = open()
		const lost = loseAnswer('SELECT 42')
		expect(await pool.query('SELECT 42 AS answer')).toEqual({ answer: 42 })
		expect(lost.hits).toBe(1)
		expect(at.proxy.seen.statementsLike('SELECT 42')).toBe(2)
		expect(pool.stats()).toMatchObject({ attempts: 2, halfOpen: 1, retries: { connection_lost: 1 }, inDoubt: 0 })
	})

	test('a read that vanished on its way to the server is run again on another connection', async () => {
		const pool = open()
		loseCommand('SELECT 42')
		expect(await pool.query('SELECT 42 AS answer')).toEqual({ answer: 42 })
		expect(at.proxy.seen.statementsLike('SELECT 42')).toBe(1)
		expect(pool.stats()).toMatchObject({ attempts: 2, halfOpen: 1 })
	})

	test('a write whose answer vanished is in doubt, and the error says what was found', async () => {
		const pool = open()
		loseAnswer('INSERT')
		const error = await caught(pool.query('INSERT INTO written VALUES (1)'))
		expect(error).toBeInstanceOf(InDoubtError)
		expect(error?.cause).toMatchObject({
			code: 'HOLDFAST_LINK_LOST',
			message: expect.stringMatching(/no answer came for \d+ ms, and the server waits for a command/),
		})
		expect(await at.rows()).toBe(1)
		expect(at.proxy.seen.statementsLike('INSERT')).toBe(1)
	})

	test('a query that takes long on a healthy link is left alone, however often the server is asked', async () => {
		const pool = open({ halfOpenAfterMs: 100 })
		await pool.query(`SELECT ${sleep}`)
		expect(at.proxy.seen.statementsLike(`SELECT ${sleep}`)).toBe(1)
		const { halfOpen, attempts, endpoint } = pool.stats()
		expect({ halfOpen, attempts }).toEqual({ halfOpen: 0, attempts: 1 })
		expect(endpoint.connectAttempts).toBeGreaterThan(3)
	})

	test('with halfOpenAfterMs: false the server is never asked', async () => {
		const pool = open({ halfOpenAfterMs: false })
		await pool.query(`SELECT ${sleep}`)
		expect(pool.stats().endpoint.connectAttempts).toBe(1)
	})

	test('a link whose session is gone is found dead', async () => {
		const pool = open()
		const { session } = (await pool.query(`SELECT ${id} AS session`)) as { session: number }
		// The end of the session does not get through either.
		const lost = loseAnswer(`SELECT ${id}`)
		const answer = pool.query(`SELECT ${id} AS session`)
		await until(() => lost.hits === 1, { what: 'the answer to be lost' })
		await at.server.query(kill(session))
		expect(await answer).not.toEqual({ session })
		expect(pool.stats()).toMatchObject({ attempts: 3, halfOpen: 1 })
	})

	test('a transaction whose BEGIN vanished begins again on another connection', async () => {
		const pool = open()
		const lost = loseCommand(begin)
		await pool.transaction('INSERT INTO written VALUES (1)')
		expect({ hits: lost.hits, rows: await at.rows() }).toEqual({ hits: 1, rows: 1 })
		expect(pool.stats()).toMatchObject({ attempts: 2, halfOpen: 1, inDoubt: 0 })
	})

	test('a transaction of which a statement vanished is run again as a whole', async () => {
		const pool = open()
		const lost = loseCommand('SELECT 42')
		await pool.transaction('INSERT INTO written VALUES (1)', 'SELECT 42')
		expect({ hits: lost.hits, rows: await at.rows() }).toEqual({ hits: 1, rows: 1 })
		expect(pool.stats()).toMatchObject({ attempts: 2, halfOpen: 1, inDoubt: 0 })
	})

	test.each([
		['whose answer vanished is found applied', loseAnswer, { applied: 1, notApplied: 0, unresolved: 0 }],
		['that vanished is found not applied, and the transaction is run again', loseCommand, { applied: 0, notApplied: 1, unresolved: 0 }],
	] as const)('a COMMIT %s', async (_what, lose, resolved) => {
		const pool = open(verified)
		await pool.transaction('INSERT INTO written VALUES (1)')
		const lost = lose('COMMIT')
		await pool.transaction('INSERT INTO written VALUES (2)')
		expect({ hits: lost.hits, ids: await at.ids() }).toEqual({ hits: 1, ids: [1, 2] })
		expect(pool.stats()).toMatchObject({ halfOpen: 1, inDoubt: 1, resolved })
	})

	test('a borrower is told, and its connection is handed to nobody else', async () => {
		const pool = open()
		const borrowed = await pool.borrow()
		loseCommand('SELECT 42')
		expect(await caught(borrowed.query('SELECT 42'))).toMatchObject({ code: 'HOLDFAST_LINK_LOST' })
		borrowed.release()
		expect(await pool.query('SELECT 43 AS answer')).toEqual({ answer: 43 })
		expect(pool.stats().halfOpen).toBe(1)
	})

	test("a borrower's BEGIN that vanished is moved to another connection", async () => {
		const pool = open()
		const borrowed = await pool.borrow()
		loseCommand('BEGIN')
		for (const text of ['BEGIN', 'INSERT INTO written VALUES (1)', 'COMMIT']) await borrowed.query(text)
		borrowed.release()
		expect(await at.rows()).toBe(1)
		expect(pool.stats()).toMatchObject({ halfOpen: 1 })
	})

	test('with hosts, too, a read whose answer vanished is run again', async () => {
		const pool = open({ ...soon, hosts: [`${at.proxy.host}:${at.proxy.port}`] })
		await pool.query(`SELECT ${id}`)
		loseCommand('SELECT 42')
		expect(await pool.query('SELECT 42 AS answer')).toEqual({ answer: 42 })
		expect(pool.stats()).toMatchObject({ attempts: 3, halfOpen: 1 })
	})
})
