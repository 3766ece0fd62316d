/** Is a unit of work applied once, or not at all, and is its connection returned once? */
import { afterEach, expect, test } from 'vitest'
import { HoldfastError, InDoubtError } from '../../../src/errors.ts'
import { retryReport } from '../../../src/report.ts'
import {
	FakeDatabase,
	type FakeTransaction,
	linkLost,
	refusedElsewhere,
	serializationFailure,
	stalePlan,
	uniqueViolation,
} from './fake-database.ts'

const databases: FakeDatabase[] = []
const database = (options?: ConstructorParameters<typeof FakeDatabase>[0]): FakeDatabase => {
	const made = new FakeDatabase(options)
	databases.push(made)
	return made
}

// On every path a connection goes back exactly once; the fake throws when it goes back twice.
afterEach(() => {
	for (const each of databases.splice(0)) {
		expect(each.leaked).toBe(0)
		expect(each.core.policy.scheduler.stats().waits).toBe(0)
		expect(each.clock.pendingTimers).toBe(0)
	}
})

const writeOnce = async (tx: FakeTransaction) => {
	await tx.query('write a')
	return 'done'
}

test('a transaction begins, runs its function, commits and resolves with its value', async () => {
	const db = database()
	expect(await db.run(writeOnce)).toEqual({ value: 'done' })
	expect(db.log).toEqual(['BEGIN', 'write a', 'COMMIT'])
	expect(db.applied).toEqual(['a'])
	expect(db.sessions[0]?.returned).toEqual({ error: undefined })
})

test('options of the transaction reach the driver', async () => {
	const db = database()
	await db.run(writeOnce, { isolation: 'serializable', readOnly: true, deferrable: true })
	expect(db.modes[0]).toMatchObject({ isolation: 'serializable', readOnly: true, deferrable: true })
})

test.each([
	['its link breaks', linkLost(), true],
	[
		'the server is shutting down',
		Object.assign(new Error('terminating connection'), { code: '57P01', severity: 'FATAL', length: 1 }),
		true,
	],
] as const)('a BEGIN that fails because %s is run again, for nothing can have been applied', async (_why, error, dies) => {
	const db = database()
	db.fail('BEGIN', error, { dies })
	expect(await db.run(writeOnce)).toEqual({ value: 'done' })
	expect(db.applied).toEqual(['a'])
	expect(db.sessions[0]?.returned?.error).toBe(error)
})

test('a BEGIN that the server refuses for good rejects with that error, and the connection is kept', async () => {
	const db = database()
	const refusal = Object.assign(new Error('invalid value'), { code: '22023', severity: 'ERROR', length: 1 })
	db.fail('BEGIN', refusal)
	expect((await db.run(writeOnce)).error).toBe(refusal)
	expect(db.sessions).toHaveLength(1)
	expect(db.sessions[0]?.returned).toEqual({ error: undefined })
})

test("an error of the user's function rolls back, rejects with the same object, and is not run again", async () => {
	const db = database()
	const own = new Error('not enough money')
	let runs = 0
	const { error } = await db.run(async (tx) => {
		runs += 1
		await tx.query('write a')
		throw own
	})
	expect(error).toBe(own)
	expect(runs).toBe(1)
	expect(db.log).toEqual(['BEGIN', 'write a', 'ROLLBACK'])
	expect(db.applied).toEqual([])
})

test.each([undefined, null, 'a text', 42])('a function that throws %s rejects with just that', async (thrown) => {
	const db = database()
	const result = await db.run(async () => {
		throw thrown
	})
	expect(result).toEqual({ error: thrown })
})

test('a serialization failure runs the whole function again', async () => {
	const db = database()
	db.fail('write b', serializationFailure(), { times: 2 })
	let runs = 0
	const { value } = await db.run(async (tx) => {
		runs += 1
		await tx.query('write a')
		await tx.query('write b')
		return runs
	})
	expect(value).toBe(3)
	expect(db.applied).toEqual(['a', 'b'])
	expect(db.core.stats().retries).toEqual({ serialization_failure: 2 })
})

test('a serialization failure that answers COMMIT runs the whole function again', async () => {
	const db = database()
	db.fail('COMMIT', serializationFailure())
	expect(await db.run(writeOnce)).toEqual({ value: 'done' })
	expect(db.applied).toEqual(['a'])
})

test('when the retries run out the last native error is thrown, with a report', async () => {
	const db = database({ stop: (attempt) => attempt.number >= 3 })
	const error = serializationFailure()
	db.fail('write a', error, { times: 9 })
	expect((await db.run(writeOnce)).error).toBe(error)
	expect(retryReport(error)).toMatchObject({ attempts: 3, faults: [{ kind: 'serialization_failure' }, {}, {}] })
	expect(db.applied).toEqual([])
})

test('a transient error that the function swallowed makes the transaction run again instead of committing', async () => {
	const db = database()
	db.fail('write b', serializationFailure())
	const { value } = await db.run(async (tx) => {
		await tx.query('write a')
		await tx.query('write b').catch(() => {})
		return 'done'
	})
	expect(value).toBe('done')
	expect(db.applied).toEqual(['a', 'b'])
	expect(db.sessions[0]?.log).not.toContain('COMMIT')
})

test('a permanent error that the function swallowed is the error of the transaction', async () => {
	const db = database()
	const error = uniqueViolation()
	db.fail('write b', error)
	const result = await db.run(async (tx) => {
		await tx.query('write b').catch(() => {})
		return 'done'
	})
	expect(result.error).toBe(error)
	expect(db.applied).toEqual([])
	expect(db.sessions).toHaveLength(1)
})

test('a transient error hidden behind the refusal of a later statement still makes it run again', async () => {
	const db = database()
	db.fail('write a', serializationFailure())
	const { value } = await db.run(async (tx) => {
		await tx.query('write a').catch(() => {})
		await tx.query('write b')
		return 'done'
	})
	expect(value).toBe('done')
	expect(db.applied).toEqual(['a', 'b'])
})

test('a transient error that the function rewords makes it run again; when the retries run out, its own words are thrown', async () => {
	const db = database({ stop: (attempt) => attempt.number >= 2 })
	db.fail('write a', serializationFailure(), { times: 9 })
	let runs = 0
	const { error } = await db.run(async (tx) => {
		runs += 1
		await tx.query('write a').catch(() => {
			throw new Error('could not save')
		})
	})
	expect(error).toMatchObject({ message: 'could not save' })
	expect(runs).toBe(2)
})

test('a COMMIT that is answered by a rollback is no success', async () => {
	const db = database()
	db.commit = async (session) => {
		await db.execute(session, 'ROLLBACK')
		return 'rolled_back'
	}
	const { error } = await db.run(writeOnce)
	expect(error).toMatchObject({ code: 'HOLDFAST_ROLLED_BACK' })
	expect(db.applied).toEqual([])
	expect(db.sessions).toHaveLength(1)
})

test('a connection that is lost during a statement before COMMIT makes it run again', async () => {
	const db = database()
	db.fail('write a', linkLost(), { dies: true })
	expect(await db.run(writeOnce)).toEqual({ value: 'done' })
	expect(db.applied).toEqual(['a'])
	expect(db.sessions[0]?.returned?.error).toBeDefined()
})

test('a connection that is lost while no statement runs makes it run again, though nothing had failed', async () => {
	const db = database()
	let runs = 0
	const { value } = await db.run(async (tx) => {
		runs += 1
		await tx.query('write a')
		const [session] = db.sessions
		if (runs === 1 && session) session.status = 'dead'
		return runs
	})
	expect(value).toBe(2)
	expect(db.applied).toEqual(['a'])
})

test('a connection that is lost after COMMIT was sent is an InDoubtError, and never runs again', async () => {
	const db = database()
	const lost = linkLost()
	db.fail('COMMIT', lost, { dies: true, applies: true })
	let runs = 0
	const { error } = await db.run(async (tx) => {
		runs += 1
		await tx.query('write a')
	})
	expect(error).toBeInstanceOf(InDoubtError)
	expect(error).toMatchObject({ cause: lost, attempts: 1, phase: 'commit', outcome: 'unknown' })
	expect(runs).toBe(1)
	expect(db.applied).toEqual(['a'])
	expect(db.core.stats()).toMatchObject({ inDoubt: 1, resolved: { applied: 0, notApplied: 0, unresolved: 1 } })
})

test.each([
	['always', { when: () => true, stop: () => false, wait: () => 1 }],
	['by an eager policy', { when: (attempt: { fault?: { kind?: string } | undefined }) => attempt.fault?.kind !== 'permanent' }],
])('a policy that retries %s cannot run a commit in doubt again', async (_how, options) => {
	const db = database(options)
	db.fail('COMMIT', linkLost(), { dies: true, applies: true })
	expect((await db.run(writeOnce)).error).toBeInstanceOf(InDoubtError)
	expect(db.applied).toEqual(['a'])
})

test.each([{ idempotent: true }, { readOnly: true }])('a commit in doubt runs again with %o', async (options) => {
	const db = database()
	db.fail('COMMIT', linkLost(), { dies: true })
	expect(await db.run(writeOnce, options)).toEqual({ value: 'done' })
	expect(db.sessions).toHaveLength(2)
})

test('a commit in doubt that the database knows as applied is a success, and its callbacks run', async () => {
	const db = database()
	db.mark = { xid: '42' }
	db.verdicts.push({ state: 'running' }, { state: 'applied' })
	db.fail('COMMIT', linkLost(), { dies: true, applies: true })
	let told = 0
	const result = await db.run(async (tx) => {
		tx.onCommit(() => {
			told += 1
		})
		return writeOnce(tx)
	})
	expect(result).toEqual({ value: 'done' })
	expect(told).toBe(1)
	expect(db.applied).toEqual(['a'])
})

test('a commit in doubt that the database knows as not applied runs again', async () => {
	const db = database()
	db.mark = { xid: '42' }
	db.verdicts.push({ state: 'not applied' })
	db.fail('COMMIT', linkLost(), { dies: true })
	expect(await db.run(writeOnce)).toEqual({ value: 'done' })
	expect(db.applied).toEqual(['a'])
})

test('a constraint that fails at COMMIT is that error, and nothing runs again', async () => {
	const db = database()
	const error = uniqueViolation()
	db.fail('COMMIT', error)
	expect((await db.run(writeOnce)).error).toBe(error)
	expect(db.sessions).toHaveLength(1)
	expect(db.sessions[0]?.returned).toEqual({ error: undefined })
})

test('a transaction that its function ended by hand is an error, and no policy runs it again', async () => {
	const db = database({ when: () => true, wait: () => 1, stop: (attempt) => attempt.number >= 3 })
	const { error } = await db.run(async (tx) => {
		await tx.query('write a')
		await tx.query('COMMIT')
		return 'done'
	})
	expect(error).toMatchObject({ code: 'HOLDFAST_TRANSACTION_CONTROL' })
	expect(db.applied).toEqual(['a'])
	expect(db.sessions).toHaveLength(1)
})

test('a function that ends its transaction by hand and then meets a conflict is not run again', async () => {
	const db = database()
	const { error } = await db.run(async (tx) => {
		await tx.query('write a')
		await tx.query('COMMIT')
		throw serializationFailure()
	})
	expect(error).toMatchObject({ code: '40001' })
	expect(db.applied).toEqual(['a'])
	expect(db.sessions).toHaveLength(1)
})

test('a function that ends its transaction by hand and then fails is run again by no policy', async () => {
	const db = database({ when: () => true, wait: () => 1, stop: (attempt) => attempt.number >= 3 })
	const own = new Error('own')
	const { error } = await db.run(async (tx) => {
		await tx.query('write a')
		await tx.query('COMMIT')
		throw own
	})
	expect(error).toBe(own)
	expect(db.applied).toEqual(['a'])
})

test('when the retries run out behind the refusal of a later statement, the error that aborted the transaction is thrown', async () => {
	const db = database({ stop: () => true })
	const error = serializationFailure()
	db.fail('write a', error)
	const result = await db.run(async (tx) => {
		await tx.query('write a').catch(() => {})
		await tx.query('write b')
	})
	expect(result.error).toBe(error)
})

test('a server that rolls the transaction back by itself, as MySQL does in a deadlock, makes it run again', async () => {
	const db = database()
	const deadlock = Object.assign(new Error('Deadlock found when trying to get lock; try restarting transaction'), {
		code: 'ER_LOCK_DEADLOCK',
		errno: 1213,
		sqlState: '40001',
	})
	let runs = 0
	const { value } = await db.run(async (tx) => {
		runs += 1
		if (runs === 1) {
			db.fail('write a', deadlock)
			await tx.query('write a').catch((error: unknown) => {
				for (const session of db.sessions) session.status = 'none'
				throw error
			})
		}
		return writeOnce(tx)
	})
	expect(value).toBe('done')
	expect(db.applied).toEqual(['a'])
})

test('a function that is not async is refused, and its work is rolled back', async () => {
	const db = database()
	const notAsync = ((tx: FakeTransaction) => {
		tx.query('write a').catch(() => {})
		return 'value'
	}) as unknown as (tx: FakeTransaction) => Promise<string>
	const { error } = await db.run(notAsync)
	expect(error).toBeInstanceOf(TypeError)
	expect((error as Error).message).toMatch(/must be async.*"value"/)
	expect(db.applied).toEqual([])
})

test.each([
	[undefined, /fn must be an async function, got undefined/],
	['select 1', /fn must be an async function, got "select 1"/],
])('a transaction without a function is a TypeError: %s', async (fn, message) => {
	const db = database()
	const { error } = await db.run(fn as never)
	expect(error).toBeInstanceOf(TypeError)
	expect((error as Error).message).toMatch(message)
	expect(db.sessions).toHaveLength(0)
})

test.each([
	[{ isolation: 'snapshot' }, TypeError, /isolation must be one of 'read uncommitted'.*got "snapshot"/],
	[{ deadlineMs: -1 }, RangeError, /deadlineMs must be a positive number of milliseconds.*got -1/],
	[{ readonly: true }, TypeError, /unknown option readonly; known are isolation/],
	[null, TypeError, /options must be an object, got null/],
])('bad options are refused before a connection is asked for: %o', async (options, kind, message) => {
	const db = database()
	const { error } = await db.run(writeOnce, options as never)
	expect(error).toBeInstanceOf(kind)
	expect((error as Error).message).toMatch(message)
	expect(db.sessions).toHaveLength(0)
})

test('transaction() on the pool inside a transaction of the same pool is refused, and works again afterwards', async () => {
	const db = database()
	const { error } = await db.run(async () => db.transaction(writeOnce))
	expect(error).toMatchObject({ code: 'HOLDFAST_TRANSACTION_CONTROL', message: expect.stringContaining('tx.transaction(fn)') })
	expect(db.sessions).toHaveLength(1)
	expect(await db.run(writeOnce)).toEqual({ value: 'done' })
})

test('a transaction of another pool inside is nobody else’s business', async () => {
	const [db, other] = [database(), database()]
	const { value } = await db.run(async (tx) => {
		await tx.query('write a')
		return other.transaction(writeOnce)
	})
	expect(value).toBe('done')
	expect(db.applied).toEqual(['a'])
	expect(other.applied).toEqual(['a'])
})

test('a nested call is also found through another pool in between', async () => {
	const [db, other] = [database(), database()]
	const { error } = await db.run(async () => other.transaction(async () => db.transaction(writeOnce)))
	expect(error).toMatchObject({ code: 'HOLDFAST_TRANSACTION_CONTROL' })
})

test('a callback of onCommit may begin a transaction of the same pool', async () => {
	const db = database()
	let inner: unknown
	await db.run(async (tx) => {
		tx.onCommit(async () => {
			inner = await db.transaction(async (next) => next.query('write b'))
		})
		return writeOnce(tx)
	})
	expect(inner).toBe('write b')
	expect(db.applied).toEqual(['a', 'b'])
})

test('a transaction that is used after its end is refused, and nothing is sent', async () => {
	const db = database()
	let kept: FakeTransaction | undefined
	await db.run(async (tx) => {
		kept = tx
		return writeOnce(tx)
	})
	const before = db.log.length
	await expect(kept?.query('write b')).rejects.toMatchObject({ code: 'HOLDFAST_TRANSACTION_ENDED' })
	await expect(kept?.transaction(writeOnce)).rejects.toMatchObject({ code: 'HOLDFAST_TRANSACTION_ENDED' })
	expect(() => kept?.onCommit(() => {})).toThrow(HoldfastError)
	expect(db.log).toHaveLength(before)
})

test('the handle of an attempt that failed cannot be used in the next one', async () => {
	const db = database()
	db.fail('write a', serializationFailure())
	const handles: FakeTransaction[] = []
	await db.run(async (tx) => {
		handles.push(tx)
		await tx.query('write a')
	})
	expect(handles).toHaveLength(2)
	await expect(handles[0]?.query('write c')).rejects.toMatchObject({ code: 'HOLDFAST_TRANSACTION_ENDED' })
})

test('an abort while the function runs rolls back before COMMIT and rejects with its reason', async () => {
	const db = database()
	const aborting = new AbortController()
	const reason = new Error('the user has gone')
	const { error } = await db.run(
		async (tx) => {
			await tx.query('write a')
			aborting.abort(reason)
			return 'done'
		},
		{ signal: aborting.signal },
	)
	expect(error).toBe(reason)
	expect(db.log).toEqual(['BEGIN', 'write a', 'ROLLBACK'])
})

test("an abort of the pool's signal rolls back as well", async () => {
	const aborting = new AbortController()
	const db = database({ signal: aborting.signal })
	const { error } = await db.run(async (tx) => {
		await tx.query('write a')
		aborting.abort()
	})
	expect(error).toBe(aborting.signal.reason)
	expect(db.applied).toEqual([])
})

test('an abort between two attempts ends the wait at once', async () => {
	const db = database({ wait: () => 1_000 })
	const aborting = new AbortController()
	db.fail('write a', serializationFailure(), { times: 9 })
	const ended = db.transaction(writeOnce, { signal: aborting.signal }).catch((error: unknown) => error)
	await db.clock.advance(1_500)
	aborting.abort()
	expect(await ended).toBe(aborting.signal.reason)
	expect(db.sessions).toHaveLength(2)
})

test('a signal that was aborted before takes no connection', async () => {
	const db = database()
	const { error } = await db.run(writeOnce, { signal: AbortSignal.abort(new Error('too late')) })
	expect(error).toMatchObject({ message: 'too late' })
	expect(db.sessions).toHaveLength(0)
})

test("another server's refused connection is the function's own error: not run again, and no outage of this endpoint", async () => {
	const db = database()
	const foreign = refusedElsewhere()
	let runs = 0
	const { error } = await db.run(async (tx) => {
		runs += 1
		await tx.query('write a')
		throw foreign
	})
	expect(error).toBe(foreign)
	expect(runs).toBe(1)
	expect(db.core.stats().endpoint).toMatchObject({ outages: 0, lastFault: undefined })
	expect(db.sessions[0]?.returned).toEqual({ error: undefined })
})

test('a connection whose plans no longer fit is closed before the function runs again', async () => {
	const db = database()
	db.fail('write a', stalePlan())
	expect(await db.run(writeOnce)).toEqual({ value: 'done' })
	expect(db.sessions[0]?.returned?.error).toBeDefined()
	expect(db.sessions[1]?.returned).toEqual({ error: undefined })
})

test('a connection after an ordinary error goes back healthy', async () => {
	const db = database()
	db.fail('write a', uniqueViolation())
	await db.run(writeOnce)
	expect(db.sessions[0]?.returned).toEqual({ error: undefined })
})

test('a ROLLBACK that fails closes the connection, and the error of the function is what is thrown', async () => {
	const db = database()
	const own = new Error('own')
	db.fail('ROLLBACK', linkLost(), { dies: true })
	const { error } = await db.run(async () => {
		throw own
	})
	expect(error).toBe(own)
	expect(db.sessions[0]?.returned?.error).toBeDefined()
})

test('attemptTimeoutMs cuts an attempt, and the next one gets its time anew', async () => {
	const db = database({ attemptTimeoutMs: 50 })
	let runs = 0
	const { value } = await db.run(async (tx) => {
		runs += 1
		await tx.query('write a')
		if (runs < 3) await db.core.policy.scheduler.wait(60, [], db.core.policy.ending)
		await tx.query('write b')
		return runs
	})
	expect(value).toBe(3)
	expect(db.cuts).toHaveLength(2)
	expect(db.cuts[0]).toMatchObject({ code: 'HOLDFAST_ATTEMPT_TIMEOUT' })
	expect(db.applied).toEqual(['a', 'b'])
})

test('a pool that ends between two attempts starts no further one and throws the native error', async () => {
	const db = database({ wait: () => 1_000 })
	const error = serializationFailure()
	db.fail('write a', error, { times: 9 })
	const ended = db.transaction(writeOnce).catch((thrown: unknown) => thrown)
	await db.clock.advance(100)
	db.core.end()
	expect(await ended).toBe(error)
	expect(db.sessions).toHaveLength(1)
})

test.each(['begin', 'commit', 'status', 'release'] as const)(
	'a driver whose %s breaks its contract loses no connection',
	async (method) => {
		const db = database()
		const broken = new TypeError('a mistake in the driver')
		const own = db[method].bind(db) as (...args: unknown[]) => unknown
		let calls = 0
		Object.assign(db, {
			[method]: (...args: unknown[]) => {
				calls += 1
				if (method === 'release') own(...args)
				if (calls === 1) throw broken
				return method === 'release' ? undefined : own(...args)
			},
		})
		const { error } = await db.run(writeOnce)
		if (method === 'commit') expect(error).toBeInstanceOf(InDoubtError)
		else expect(error).toBe(broken)
	},
)
