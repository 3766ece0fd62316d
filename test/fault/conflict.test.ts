/** Transactions that get into each other's way: are they run again as a whole, until each is applied once? */
import { retryReport } from 'holdfast'
import { beforeEach, expect, test } from 'vitest'
import { noRetries } from '../support/no-retries.ts'
import { staged } from '../support/staged.ts'
import { crossTransfers } from './cross-transfers.ts'
import { stage } from './stage.ts'

const at = staged(() => stage({ deadlock_timeout: '50ms' }))
beforeEach(() =>
	at.ask(
		'DROP TABLE IF EXISTS account; CREATE TABLE account (id int PRIMARY KEY, balance int NOT NULL); INSERT INTO account VALUES (1, 0), (2, 0)',
	),
)

const balances = async () => (await at.ask<{ balance: number }>('SELECT balance FROM account ORDER BY id')).map((row) => row.balance)

test('serialization failures are run again until every increment is applied once', async () => {
	const pool = at.wrap({}, { max: 8 })
	let runs = 0
	await Promise.all(
		Array.from({ length: 40 }, () =>
			pool.transaction(
				async (tx) => {
					runs += 1
					const { rows } = await tx.query('SELECT balance FROM account WHERE id = 1')
					await tx.query('UPDATE account SET balance = $1 WHERE id = 1', [rows[0].balance + 1])
				},
				{ isolation: 'serializable' },
			),
		),
	)
	expect(await balances()).toEqual([40, 0])
	expect(runs).toBeGreaterThan(40)
	expect(pool.holdfast.stats().retries.serialization_failure).toBe(runs - 40)
})

test('deadlocks are run again until every transfer is applied once', async () => {
	const pool = at.wrap({}, { max: 8 })
	await crossTransfers(16, (from, to, met) =>
		pool.transaction(async (tx) => {
			await tx.query('UPDATE account SET balance = balance - 1 WHERE id = $1', [from])
			await met()
			await tx.query('UPDATE account SET balance = balance + 1 WHERE id = $1', [to])
		}),
	)
	expect(await balances()).toEqual([0, 0])
	expect(pool.holdfast.stats().retries.deadlock).toBeGreaterThan(0)
})

test('a function that swallows the error which aborted its transaction is run again, not committed', async () => {
	const pool = at.wrap()
	const other = at.wrap()
	let runs = 0
	await pool.transaction(
		async (tx) => {
			runs += 1
			await tx.query('SELECT balance FROM account WHERE id = 1')
			if (runs === 1) await other.query('UPDATE account SET balance = 10 WHERE id = 1')
			await tx.query('UPDATE account SET balance = balance + 1 WHERE id = 1').catch(() => undefined)
		},
		{ isolation: 'repeatable read' },
	)
	expect({ runs, balances: await balances() }).toEqual({ runs: 2, balances: [11, 0] })
})

test('a function that swallows a permanent error is told of it: nothing was committed', async () => {
	const pool = at.wrap()
	const error = await pool
		.transaction(async (tx) => {
			await tx.query('UPDATE account SET balance = 5 WHERE id = 2')
			await tx.query('INSERT INTO account VALUES (1, 0)').catch(() => undefined)
			return 'all is well'
		})
		.catch((reason: unknown) => reason)
	expect(error).toMatchObject({ code: '23505' })
	expect(await balances()).toEqual([0, 0])
})

test('when retries run out the last native error is thrown, with the report of what was tried', async () => {
	const pool = at.wrap({ stop: (attempt) => attempt.number >= 3, wait: () => 1 })
	const other = at.wrap()
	const error = await pool
		.transaction(
			async (tx) => {
				await tx.query('SELECT balance FROM account WHERE id = 1')
				await other.query('UPDATE account SET balance = balance + 1 WHERE id = 1')
				await tx.query('UPDATE account SET balance = 0 WHERE id = 1')
			},
			{ isolation: 'repeatable read' },
		)
		.catch((reason: unknown) => reason)
	expect(error).toMatchObject({ code: '40001', severity: 'ERROR' })
	expect(retryReport(error)).toMatchObject({
		attempts: 3,
		faults: [1, 2, 3].map(() => ({ kind: 'serialization_failure', outcome: 'rolled_back' })),
	})
	expect(await balances()).toEqual([3, 0])
})

test('a permanent error passes through as the identical object, without a retry, and the connection stays', async () => {
	const pool = at.wrap({}, { max: 1 })
	const before = (await pool.query('SELECT pg_backend_pid() AS pid')).rows[0].pid
	const own = new Error('no')
	await expect(pool.transaction(async () => Promise.reject(own))).rejects.toBe(own)
	await expect(pool.query('SELECT nonsense')).rejects.toMatchObject({ code: '42703' })
	expect((await pool.query('SELECT pg_backend_pid() AS pid')).rows[0].pid).toBe(before)
	expect(pool.holdfast.stats()).toMatchObject({ retries: noRetries, discarded: 0 })
})
