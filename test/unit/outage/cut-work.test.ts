/** What does a process do when its time limits cut nearly all of its work: does it make things worse? */
import { expect, test } from 'vitest'
import { Call } from '../../../src/call.ts'
import { HoldfastError } from '../../../src/errors.ts'
import { stage as wholeStage } from './stage.ts'

const work = { idempotent: false, reads: () => true }
const cutOff = () => new HoldfastError('HOLDFAST_ATTEMPT_TIMEOUT', 'cut')

/** A pool of ten whose connections are all idle. In the middle of the jitter. */
async function stage() {
	const set = wholeStage({ random: () => 0.5, options: { wait: () => 0 } })
	const { pool, clock, server } = set
	await set.warm(10)
	const { policy } = pool.core
	/** So many work for a second and are then cut, as a driver does it. */
	const cut = async (count: number, error: unknown = cutOff()): Promise<void> => {
		const workers = Array.from({ length: count }, () => ({ call: new Call(policy, {}), caller: pool.ask() }))
		await clock.advance(100)
		policy.counters.attempts += count
		await clock.advance(900)
		for (const { call, caller } of workers) {
			const { connection } = caller
			if (connection === undefined) throw new Error(`caller ${caller.number} got none`)
			connection.alive = false
			pool.core.lost(connection)
			pool.bringBack(caller)
			await call.next(error, call.classify(error, 'statement'), 'statement', work).catch(() => {})
		}
	}
	/** What ten who come now have seen after so long. */
	const after = async (ms: number) => {
		const before = server.attempts.length
		const callers = Array.from({ length: 10 }, () => pool.ask())
		await clock.advance(ms)
		return { served: callers.filter(({ connection }) => connection !== undefined).length, attempts: server.attempts.length - before }
	}
	return { ...set, cut, after, answered: (attempts: number) => (policy.counters.attempts += attempts) }
}

test('when all work is cut, connections are opened one at a time, and each waits three times as long as the work did', async () => {
	const { cut, after, clock, server } = await stage()
	await cut(10)
	// The first is opened at once: it tells whether there is a server.
	expect(await after(1_000)).toEqual({ served: 1, attempts: 1 })
	// 1 s less what is prompt, a fifth forgotten for the login that was prompt, three times as long.
	await clock.advance(1_000)
	expect(server.attempts).toHaveLength(1)
	await clock.advance(300)
	expect(server.attempts).toHaveLength(2)
})

test('once nobody is cut any more, all connections are open again within a quarter of a minute', async () => {
	const { cut, after } = await stage()
	await cut(10)
	expect((await after(15_000)).served).toBe(10)
})

test('a statement that is cut now and then, among many that are answered, holds nobody back', async () => {
	const { cut, answered, after } = await stage()
	for (let each = 0; each < 10; each++) {
		answered(10)
		await cut(1)
	}
	expect((await after(1_000)).served).toBe(10)
})

test('seven statements of ten that are cut at the same time hold nobody back', async () => {
	const { cut, answered, after } = await stage()
	answered(100)
	await cut(7)
	expect((await after(1_000)).served).toBe(10)
})

test('the time limit may be that of the driver', async () => {
	const { cut, after } = await stage()
	await cut(10, new Error('Query read timeout'))
	expect((await after(1_000)).served).toBe(1)
})

test('connections that are lost for another reason hold nobody back', async () => {
	const { cut, after } = await stage()
	await cut(10, new Error('Connection terminated unexpectedly'))
	expect((await after(1_000)).served).toBe(10)
})
