/** A statement was sent and its answer never came: what may be run again, and what is told? */
import { InDoubtError, retryReport } from 'holdfast'
import { expect, test } from 'vitest'
import { onStage } from './on-stage.ts'

const at = onStage()

test('a read whose answer is lost is run again and the caller sees no error', async () => {
	const pool = at.wrap()
	const lost = at.loseReply('SELECT 1')
	expect((await pool.query('SELECT 42 AS answer')).rows).toEqual([{ answer: 42 }])
	expect(lost.hits).toBe(1)
	expect(at.proxy.seen.statementsLike('SELECT 42')).toBe(2)
	expect(pool.holdfast.stats()).toMatchObject({ attempts: 2, retries: { connection_lost: 1 }, inDoubt: 0 })
})

test('a read that is run again sends what the call said, whatever became of the array of values since', async () => {
	const pool = at.wrap()
	at.loseReply('SELECT 1')
	const values = [1]
	const config = { text: 'SELECT $1::int AS n', values }
	const answers = [pool.query('SELECT $1::int AS n', values), pool.query(config)]
	values[0] = 2
	expect((await Promise.all(answers)).map(({ rows }) => rows[0].n)).toEqual([1, 1])
})

test('with readsAreSafe: false an undeclared read is in doubt, as a write is', async () => {
	const pool = at.wrap({ readsAreSafe: false })
	at.loseReply('SELECT 1')
	await expect(pool.query('SELECT 42 AS answer')).rejects.toBeInstanceOf(InDoubtError)
	expect(at.proxy.seen.statementsLike('SELECT 42')).toBe(1)
})

test('a write whose answer is lost is in doubt and never run twice', async () => {
	const pool = at.wrap()
	at.loseReply('INSERT 0 1')
	const error = await pool.query('INSERT INTO written VALUES ($1)', [1_234_567]).catch((reason: unknown) => reason)
	expect(error).toBeInstanceOf(InDoubtError)
	expect(error).toMatchObject({ code: 'HOLDFAST_IN_DOUBT', outcome: 'unknown', phase: 'statement', attempts: 1 })
	expect((error as Error).cause).toBeInstanceOf(Error)
	expect(String(error)).not.toContain('1234567')
	expect(retryReport(error)).toMatchObject({ attempts: 1, faults: [{ kind: 'connection_lost', outcome: 'unknown' }] })
	expect(at.proxy.seen.statementsLike('INSERT')).toBe(1)
	expect(await at.rows()).toBe(1)
	expect(pool.holdfast.stats()).toMatchObject({ attempts: 1, inDoubt: 1, resolved: { unresolved: 1 } })
})

test('a write declared idempotent is run again', async () => {
	const pool = at.wrap()
	at.loseReply('INSERT 0 1')
	await pool.query({ text: 'INSERT INTO written VALUES (1)', idempotent: true })
	expect(at.proxy.seen.statementsLike('INSERT')).toBe(2)
	expect(await at.rows()).toBe(2)
})

test('a write that was cut off before it reached the server is still in doubt: only the server could tell', async () => {
	const pool = at.wrap()
	await pool.query('SELECT 1')
	at.proxy.intercept({ from: 'client', match: (message) => message.text?.startsWith('INSERT') ?? false, action: 'cut before', times: 1 })
	await expect(pool.query('INSERT INTO written VALUES (1)')).rejects.toBeInstanceOf(InDoubtError)
	expect(await at.rows()).toBe(0)
})

test('a transaction that loses its connection before COMMIT is run again as a whole, once applied', async () => {
	const pool = at.wrap()
	const lost = at.loseReply('INSERT 0 1')
	let runs = 0
	const committed: number[] = []
	const value = await pool.transaction(async (tx) => {
		runs += 1
		const run = runs
		tx.onCommit(() => committed.push(run))
		await tx.query('INSERT INTO written VALUES (1)')
		await tx.query('INSERT INTO written VALUES (2)')
		return run
	})
	expect({ value, runs, committed, lost: lost.hits }).toEqual({ value: 2, runs: 2, committed: [2], lost: 1 })
	expect(await at.rows()).toBe(2)
	expect(at.proxy.seen.statementsLike('COMMIT')).toBe(1)
})

test('with commit: off a COMMIT whose answer is lost is in doubt: the function is not run again and no callback is told', async () => {
	const pool = at.wrap({ commit: 'off' })
	at.loseReply('COMMIT')
	let runs = 0
	let told = 0
	const error = await pool
		.transaction(async (tx) => {
			runs += 1
			tx.onCommit(() => {
				told += 1
			})
			await tx.query('INSERT INTO written VALUES (1)')
		})
		.catch((reason: unknown) => reason)
	expect(error).toMatchObject({ code: 'HOLDFAST_IN_DOUBT', phase: 'commit', attempts: 1 })
	expect({ runs, told, rows: await at.rows() }).toEqual({ runs: 1, told: 0, rows: 1 })
	expect(at.proxy.seen.statementsLike('COMMIT')).toBe(1)
})

test.each([
	['idempotent', { idempotent: true }, 'INSERT INTO written VALUES (1)'],
	['read-only', { readOnly: true }, 'SELECT 1'],
])('with commit: off a COMMIT in doubt of %s work is answered by running it again', async (_what, options, text) => {
	const pool = at.wrap({ commit: 'off' })
	at.loseReply('COMMIT')
	let runs = 0
	await pool.transaction(async (tx) => {
		runs += 1
		await tx.query(text)
	}, options)
	expect(runs).toBe(2)
})

test('a BEGIN whose answer is lost, and that of the statement it came with, costs the caller nothing', async () => {
	const pool = at.wrap()
	at.loseReply('BEGIN')
	let runs = 0
	await pool.transaction(async (tx) => {
		runs += 1
		await tx.query('INSERT INTO written VALUES (1)')
	})
	expect({ runs, rows: await at.rows() }).toEqual({ runs: 2, rows: 1 })
})
