/** Do retries within retries multiply? N attempts, not N to the depth. */
import { expect, test } from 'vitest'
import { InDoubtError, RetryError } from '../../../src/errors.ts'
import { retry } from '../../../src/retry/retry.ts'
import { retrying } from '../../../src/retry/retrying.ts'
import * as stop from '../../../src/retry/stop.ts'
import { TryAgain } from '../../../src/retry/try-again.ts'
import * as wait from '../../../src/retry/wait.ts'
import * as when from '../../../src/retry/when.ts'
import { stage } from '../outage/stage.ts'
import { FakeDatabase, type FakeTransaction, serializationFailure, uniqueViolation } from '../transaction/fake-database.ts'

const three = { stop: stop.afterAttempts(3), wait: wait.none() }

/** Work that always fails, and counts how often. */
function failing(error: () => unknown = () => new Error('no')) {
	const work = () => {
		work.calls += 1
		return Promise.reject(error())
	}
	work.calls = 0
	return work
}

test('three levels of retry make three attempts, and the innermost error comes out', async () => {
	const work = failing()
	const error = await retry(() => retry(() => retry(work, three), three), three).catch((thrown: unknown) => thrown)
	expect(work.calls).toBe(3)
	expect(error).toBeInstanceOf(RetryError)
	expect((error as RetryError).lastAttempt.number).toBe(3)
})

test('the same with reraise, and in the form of a loop', async () => {
	const work = failing()
	const inner = () => retry(work, { ...three, reraise: true })
	const looped = async () => {
		for await (const attempt of retrying(three)) await attempt(inner)
	}
	await expect(looped()).rejects.toThrow('no')
	expect(work.calls).toBe(3)
})

test('a rule of the user and TryAgain still say what is tried again', async () => {
	const work = failing()
	await retry(() => retry(work, three), { ...three, when: when.error() }).catch(() => {})
	expect(work.calls).toBe(9)
	const again = failing()
	await retry(() => retry(again, three).catch((cause: unknown) => Promise.reject(new TryAgain('once more', { cause }))), three).catch(
		() => {},
	)
	expect(again.calls).toBe(9)
})

test('an error object that is thrown again and again is retried each time', async () => {
	const error = new Error('always the same')
	const work = failing(() => error)
	for (let run = 1; run <= 3; run++) {
		await expect(retry(work, { ...three, reraise: true })).rejects.toBe(error)
		expect(work.calls).toBe(3 * run)
	}
})

test('an inner retry that makes one attempt leaves the others to the outer one', async () => {
	const db = new FakeDatabase({ stop: stop.afterAttempts(1), wait: () => 0 })
	db.fail('write a', serializationFailure(), { times: 10 })
	let runs = 0
	const transaction = () =>
		db.run(async (tx) => {
			runs += 1
			await tx.query('write a')
		})
	const thrown = await retry(async () => unwrap(await transaction()), three).catch((error: unknown) => error)
	expect(thrown).toBeInstanceOf(RetryError)
	expect(runs).toBe(3)
})

/** What `run` of the fake database resolves with: a value or the error. */
function unwrap(result: { value?: unknown; error?: unknown }): unknown {
	if (result.error !== undefined) throw result.error
	return result.value
}

test('retry around a transaction makes as many attempts as the transaction, and rejects with its error', async () => {
	const db = new FakeDatabase({ stop: stop.afterAttempts(4), wait: () => 0 })
	const error = serializationFailure()
	db.fail('write a', error, { times: 100 })
	let runs = 0
	const transaction = () =>
		db.run(async (tx) => {
			runs += 1
			await tx.query('write a')
		})
	await expect(retry(async () => unwrap(await transaction()), three)).rejects.toBe(error)
	expect(runs).toBe(4)
})

test('retry inside a transaction leaves an error that ends the transaction to it, and retries others', async () => {
	const db = new FakeDatabase({ wait: () => 0 })
	db.fail('write a', serializationFailure(), { times: 2 })
	let statements = 0
	const within = async (tx: FakeTransaction) =>
		retry(() => {
			statements += 1
			return tx.query('write a')
		}, three)
	expect(await db.run(within)).toEqual({ value: 'write a' })
	expect(statements).toBe(3)
	let tries = 0
	const other = failing()
	const result = await db.run(async (tx) => {
		tries += 1
		await tx.query('write b')
		await retry(other, three)
	})
	expect(result.error).toBeInstanceOf(RetryError)
	expect([tries, other.calls]).toEqual([1, 3])
})

test('a transaction is not run again for what a transaction on another database has given up on', async () => {
	const elsewhere = new FakeDatabase({ stop: stop.afterAttempts(3), wait: () => 0 })
	const error = serializationFailure()
	elsewhere.fail('write a', error, { times: 100 })
	const db = new FakeDatabase({ wait: () => 0 })
	let outer = 0
	let inner = 0
	const result = await db.run(async (tx) => {
		outer += 1
		await tx.query('write b')
		unwrap(
			await elsewhere.run(async (other) => {
				inner += 1
				await other.query('write a')
			}),
		)
	})
	expect(result.error).toBe(error)
	expect([outer, inner]).toEqual([1, 3])
})

/** What query builders do with an error: one of their own, with the driver's as its cause. */
const wrapped = (cause: unknown) => Promise.reject(new Error('the query has failed', { cause }))

test('an error that wraps one whose retries are used up is not retried again, however deep it is, nor does a ring of errors stop anything', async () => {
	const work = failing()
	const inner = () =>
		retry(work, { ...three, reraise: true })
			.catch(wrapped)
			.catch(wrapped)
	await expect(retry(inner, three)).rejects.toMatchObject({ cause: { cause: { message: 'no' } } })
	expect(work.calls).toBe(3)
	const ring = failing(() => {
		const error = new Error('a ring')
		error.cause = new Error('of errors', { cause: error })
		return error
	})
	await expect(retry(ring, three)).rejects.toBeInstanceOf(RetryError)
	expect(ring.calls).toBe(3)
})

test('a transaction is not run again for what another database has given up on where that error comes wrapped', async () => {
	const elsewhere = new FakeDatabase({ stop: stop.afterAttempts(3), wait: () => 0 })
	elsewhere.fail('write a', serializationFailure(), { times: 100 })
	const db = new FakeDatabase({ wait: () => 0 })
	let outer = 0
	let inner = 0
	const other = (tx: FakeTransaction) => {
		inner += 1
		return tx.query('write a')
	}
	const result = await db.run(async (tx) => {
		outer += 1
		await tx.query('write b')
		await elsewhere.run(other).then(unwrap).catch(wrapped)
	})
	expect(result.error).toMatchObject({ message: 'the query has failed', cause: { code: '40001' } })
	expect([outer, inner]).toEqual([1, 3])
})

test('a transaction is run again for its own conflict in a savepoint, also where that comes wrapped', async () => {
	const db = new FakeDatabase({ wait: () => 0 })
	db.fail('write a', serializationFailure())
	const within = (tx: FakeTransaction) => tx.transaction((savepoint) => savepoint.query('write a')).catch(wrapped)
	expect(await db.run(within)).toEqual({ value: 'write a' })
})

test('a permanent error of a pool is no longer the business of the pool: retry goes on as it always does', async () => {
	const db = new FakeDatabase()
	db.fail('write a', uniqueViolation(), { times: 2 })
	const write = async () => unwrap(await db.run(async (tx) => tx.query('write a')))
	expect(await retry(write, three)).toBe('write a')
})

test('retry repeats no work in doubt, and waits no second time for a database that was down until the deadline', async () => {
	const { pool, server, clock } = stage()
	const call = pool.core.call({ deadlineMs: 1_000 })
	let commits = 0
	const commit = () => {
		commits += 1
		const lost = new Error('Connection terminated unexpectedly')
		return call.next(lost, call.classify(lost, 'commit'), 'commit', { idempotent: false, reads: () => false })
	}
	await expect(retry(commit, three)).rejects.toBeInstanceOf(InDoubtError)
	expect(commits).toBe(1)
	server.manner = 'refuses'
	let asked = 0
	const ask = () => {
		asked += 1
		return pool.core.acquire(pool.core.call({ deadlineMs: 1_000 }))
	}
	const ended = retry(ask, three).catch((error: unknown) => error)
	await clock.advance(5_000)
	expect(await ended).toMatchObject({ code: 'HOLDFAST_DEADLINE' })
	expect(asked).toBe(1)
})
