/** What does a call that succeeds leave in the process? No timer and no listener beyond those of the bare pool. */
import { EventEmitter } from 'node:events'
import { createScheduler } from 'holdfast'
import { holdfast } from 'holdfast/pg'
import pg from 'pg'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { type PostgresServer, startPostgres } from '../support/postgres.ts'

let server: PostgresServer
beforeAll(async () => {
	server = await startPostgres({ major: 18 })
})
afterAll(() => server.dispose())

// The bare pool would set a timer at each release to close the connection when it is idle for long.
const poolOf = () => new pg.Pool({ ...server.config(), max: 2, idleTimeoutMillis: 0 })

interface Taken {
	timers: number
	listeners: number
}

/** Counts what calls add while `work` runs. */
async function taken(work: () => Promise<unknown>): Promise<Taken> {
	const counts: Taken = { timers: 0, listeners: 0 }
	const { setTimeout, setInterval, setImmediate } = globalThis
	const { on, addListener } = EventEmitter.prototype
	const { addEventListener } = EventTarget.prototype
	const timer = <F extends (...args: never[]) => unknown>(original: F): F =>
		Object.assign((...args: never[]) => {
			counts.timers += 1
			return original(...args)
		}, original) as never
	function counted<F extends (...args: never[]) => unknown>(original: F): F {
		return function (this: unknown, ...args: never[]) {
			counts.listeners += 1
			return original.apply(this, args)
		} as never
	}
	Object.assign(globalThis, { setTimeout: timer(setTimeout), setInterval: timer(setInterval), setImmediate: timer(setImmediate) })
	Object.assign(EventEmitter.prototype, { on: counted(on), addListener: counted(addListener) })
	EventTarget.prototype.addEventListener = counted(addEventListener)
	try {
		await work()
	} finally {
		Object.assign(globalThis, { setTimeout, setInterval, setImmediate })
		Object.assign(EventEmitter.prototype, { on, addListener })
		EventTarget.prototype.addEventListener = addEventListener
	}
	return counts
}

const calls = 100
// The watch over links has a timer now and then, for all calls together; on a busy machine it looks more often.
const ofTheWatch = calls / 10

async function takenBy(pool: pg.Pool, call: () => Promise<unknown>): Promise<Taken> {
	try {
		for (let warmUp = 0; warmUp < 5; warmUp++) await call()
		return await taken(async () => {
			for (let left = calls; left > 0; left--) await call()
		})
	} finally {
		await pool.end()
	}
}

test('a query that succeeds sets no timer, and adds fewer listeners than the bare pool does', async () => {
	const bare = poolOf()
	const wrapped = holdfast(poolOf(), { scheduler: createScheduler() })
	const byBare = await takenBy(bare, () => bare.query('select 1'))
	const byWrapped = await takenBy(wrapped, () => wrapped.query('select 1'))
	expect(byBare).toEqual({ timers: 0, listeners: 2 * calls })
	// The one is pg-pool's own, for errors of an idle connection.
	expect(byWrapped.listeners).toBe(calls)
	expect(byWrapped.timers).toBeLessThan(ofTheWatch)
})

test('a transaction that succeeds sets no timer and adds no listener of its own', async () => {
	const wrapped = holdfast(poolOf(), { scheduler: createScheduler() })
	const transaction = () =>
		wrapped.transaction(async (tx) => {
			await tx.query('select 1')
			await tx.query('select 2')
		})
	const { timers, listeners } = await takenBy(wrapped, transaction)
	expect(listeners).toBe(calls)
	expect(timers).toBeLessThan(ofTheWatch)
})

test('calls that wait for a busy pool share one timer', async () => {
	const wrapped = holdfast(poolOf(), { scheduler: createScheduler() })
	const { timers } = await takenBy(wrapped, () => Promise.all(Array.from({ length: 50 }, () => wrapped.query('select 1'))))
	// One for each time that the line forms anew, of 5,000 calls.
	expect(timers).toBeLessThanOrEqual(2 * calls)
})
