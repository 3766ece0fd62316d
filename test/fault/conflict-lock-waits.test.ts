/** A transaction of a crowd waits long for a lock: is it run again instead of a second's deadlock, and does it get to wait all the same? */
import { commitLedger, stop } from 'holdfast'
import type { HoldfastKnex } from 'holdfast/knex'
import type { HoldfastOptions, HoldfastPool } from 'holdfast/pg'
import pg from 'pg'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { staged } from '../support/staged.ts'
import { until } from '../support/until.ts'
import { knexStage } from './knex-stage.ts'

const at = staged(knexStage)
/** Somebody else, who has locked the row. */
let other: pg.Client
beforeEach(async () => {
	await at.ask('DROP TABLE IF EXISTS hot; CREATE TABLE hot (id int PRIMARY KEY, n int NOT NULL); INSERT INTO hot VALUES (1, 0), (2, 0)')
	other = new pg.Client(at.server.config())
	await other.connect()
	await other.query('BEGIN; UPDATE hot SET n = n + 10 WHERE id = 1')
})
afterEach(() => other.end())

const value = async (id: number) => (await at.ask<{ n: number }>(`SELECT n FROM hot WHERE id = ${id}`))[0]?.n
const blocked = async () =>
	(await at.ask<{ n: number }>("SELECT count(*)::int AS n FROM pg_stat_activity WHERE wait_event_type = 'Lock'"))[0]?.n

/** Two transactions that are under way for as long as `work` is: whoever comes as well is one of a crowd. */
async function inCrowd<T>(pool: Pick<HoldfastPool, 'transaction'> | HoldfastKnex, work: () => Promise<T>): Promise<T> {
	let begun = 0
	let finish = () => {}
	const finished = new Promise<void>((resolve) => {
		finish = resolve
	})
	const two = [1, 2].map(() =>
		pool.transaction(async () => {
			begun += 1
			await finished
		}),
	)
	await until(() => begun === 2, { what: 'two transactions to be under way' })
	try {
		return await work()
	} finally {
		finish()
		await Promise.all(two)
	}
}

test.each<[string, HoldfastOptions['commit']]>([
	['verified', 'verify'],
	['left in doubt', 'off'],
	['in a ledger', commitLedger({ create: true })],
])('with commits %s it is run again, without a word of the policy, until it may wait for as long as it takes', async (_how, commit) => {
	const pool = at.wrap({ commit, stop: stop.afterAttempts(1) })
	let runs = 0
	await inCrowd(pool, async () => {
		const done = pool.transaction(async (tx) => {
			runs += 1
			await tx.query('UPDATE hot SET n = n + 1 WHERE id = 2')
			await tx.query('UPDATE hot SET n = n + 1 WHERE id = 1')
		})
		await until(async () => runs === 3 && (await blocked()) === 1, { what: 'the third run to wait for the lock' })
		await other.query('COMMIT')
		await done
	})
	expect([await value(1), await value(2)]).toEqual([11, 1])
	expect(pool.holdfast.stats().retries).toEqual({ lock_timeout: 2 })
	expect(runs).toBe(3)
})

test('a function that takes the error for its own business, in a savepoint, is run again: nobody else would have met it', async () => {
	const pool = at.wrap()
	const answers: string[] = []
	await inCrowd(pool, async () => {
		const done = pool.transaction(async (tx) => {
			const answer = await tx
				.transaction((inner) => inner.query('UPDATE hot SET n = n + 1 WHERE id = 1'))
				.then(
					() => 'done',
					() => 'busy',
				)
			answers.push(answer)
			await tx.query('UPDATE hot SET n = n + 1 WHERE id = 2')
		})
		await until(async () => answers.length === 2 && (await blocked()) === 1, { what: 'the third run to wait for the lock' })
		await other.query('COMMIT')
		await done
	})
	expect(answers).toEqual(['busy', 'busy', 'done'])
	expect([await value(1), await value(2)]).toEqual([11, 1])
})

test("a function of knex's is run again likewise", async () => {
	const knex = at.knex()
	let runs = 0
	await inCrowd(knex, async () => {
		const done = knex.transaction(async (trx) => {
			runs += 1
			await trx('hot').where({ id: 2 }).increment('n', 1)
			await trx('hot').where({ id: 1 }).increment('n', 1)
		})
		await until(async () => runs === 3 && (await blocked()) === 1, { what: 'the third run to wait for the lock' })
		await other.query('COMMIT')
		await done
	})
	expect([await value(1), await value(2), runs]).toEqual([11, 1, 3])
})

test('NOWAIT is the wish of the function: its error is left to the policy', async () => {
	const pool = at.wrap({ stop: stop.afterAttempts(1) })
	let runs = 0
	const error = await inCrowd(pool, () =>
		pool
			.transaction(async (tx) => {
				runs += 1
				await tx.query('SELECT n FROM hot WHERE id = 1 FOR UPDATE NOWAIT')
			})
			.catch((reason: unknown) => reason),
	)
	expect(error).toMatchObject({ code: '55P03' })
	expect(runs).toBe(1)
	expect(await blocked()).toBe(0)
})

test.each([
	['its deadline is near', { deadlineMs: 1_500 }],
	['nobody else is under way', undefined],
])('where %s it waits for the lock at once', async (_why, options) => {
	const pool = at.wrap({ commit: 'off' })
	let runs = 0
	const alone = options === undefined
	const work = async () => {
		const done = pool.transaction(async (tx) => {
			runs += 1
			await tx.query('SET TRANSACTION ISOLATION LEVEL READ COMMITTED')
			const { rows } = await tx.query('SHOW lock_timeout')
			expect(rows).toEqual([{ lock_timeout: '0' }])
			await tx.query('UPDATE hot SET n = n + 1 WHERE id = 1')
		}, options)
		await until(async () => (await blocked()) === 1, { what: 'it to wait for the lock' })
		await other.query('COMMIT')
		await done
	}
	await (alone ? work() : inCrowd(pool, work))
	expect(runs).toBe(1)
	expect(await value(1)).toBe(11)
})

test('in a crowd the function still chooses its isolation level by its first statement, where commits are not verified', async () => {
	const pool = at.wrap({ commit: 'off' })
	const seen = await inCrowd(pool, () =>
		pool.transaction(async (tx) => {
			await tx.query('SET TRANSACTION ISOLATION LEVEL SERIALIZABLE')
			const { rows } = await tx.query("SELECT current_setting('transaction_isolation') AS level, current_setting('lock_timeout') AS wait")
			return rows[0]
		}),
	)
	expect(seen).toEqual({ level: 'serializable', wait: '100ms' })
	expect((await pool.query('SHOW lock_timeout')).rows).toEqual([{ lock_timeout: '0' }])
})

test('a server on which the wait cannot be limited is not asked again, and the transaction runs as it is', async () => {
	await at.ask("CREATE ROLE plain LOGIN PASSWORD 'plain'; GRANT ALL ON hot TO plain; REVOKE EXECUTE ON FUNCTION set_config FROM PUBLIC")
	try {
		const pool = at.wrap({}, { user: 'plain', password: 'plain' })
		let runs = 0
		await inCrowd(pool, () =>
			pool.transaction(async (tx) => {
				runs += 1
				await tx.query('UPDATE hot SET n = n + 1 WHERE id = 2')
			}),
		)
		expect([runs, await value(2)]).toEqual([1, 1])
		expect(pool.holdfast.stats().retries).toEqual({})
	} finally {
		await at.ask('GRANT EXECUTE ON FUNCTION set_config TO PUBLIC; DROP OWNED BY plain; DROP ROLE plain')
	}
})
