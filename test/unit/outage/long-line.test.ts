/** Who is served, shed or let wait when many wait? One timer for all, batch work behind the others, and no wait that cannot end well. */
import { expect, test } from 'vitest'
import { Call } from '../../../src/call.ts'
import { DeadlineError, OverloadError } from '../../../src/errors.ts'
import { type Caller, type Stage, stage } from './stage.ts'

/** Serves callers of a pool of one connection, one every `everyMs`. */
async function serveEach(set: Stage, everyMs: number, untilMs: number): Promise<void> {
	while (set.clock.now() < untilMs) {
		await set.clock.advance(everyMs)
		const holder = set.callers.find(({ connection }) => connection !== undefined)
		if (holder !== undefined) set.pool.bringBack(holder)
	}
}

const served = (callers: readonly Caller[]) => callers.filter(({ told, error }) => told > 0 && error === undefined).length

test('however many wait at the gate, they share one wake-up and one timer', async () => {
	const set = stage({ options: { maxWaiting: 100_000 } })
	set.server.manner = 'hangs'
	for (let number = 0; number < 10_000; number++) set.pool.ask({ deadlineMs: 30_000 })
	await set.clock.advance(1)
	// Theirs, and the time limit of the attempt.
	expect(set.scheduler.stats().waits).toBe(2)
	expect(set.schedulerTimers()).toBe(1)
	set.scheduler.close()
	await set.clock.advance(0)
	set.expectQuiet()
})

test('each caller is told at its own deadline, in whatever order deadlines come', async () => {
	const set = stage()
	set.server.manner = 'refuses'
	const deadlines = [900, 300, 1_200, 1_200, 600, Number.POSITIVE_INFINITY, 1_300, 200, 1_250]
	const callers = deadlines.map((deadlineMs) => set.pool.ask({ deadlineMs }))
	await set.clock.advance(2_000)
	expect(callers.map(({ atMs }) => atMs)).toEqual(
		deadlines.map((deadlineMs) => (deadlineMs === Number.POSITIVE_INFINITY ? undefined : deadlineMs)),
	)
	for (const { error } of callers) if (error !== undefined) expect(error).toBeInstanceOf(DeadlineError)
	set.scheduler.close()
	set.expectQuiet()
})

test('who comes back when it is told, or takes others with it, disturbs nobody', async () => {
	const set = stage()
	set.server.manner = 'refuses'
	const controller = new AbortController()
	const again: Caller[] = []
	const first = set.pool.ask({ deadlineMs: 500, onTold: () => controller.abort(new Error('with it')) })
	const second = set.pool.ask({ deadlineMs: 500, signal: controller.signal })
	const third = set.pool.ask({ deadlineMs: 500, onTold: () => again.push(set.pool.ask({ deadlineMs: 500 })) })
	const last = set.pool.ask({ deadlineMs: 800, signal: controller.signal })
	await set.clock.advance(2_000)
	expect([first, second, third, last, ...again].map(({ told, atMs }) => [told, atMs])).toEqual([
		[1, 500],
		[1, 500],
		[1, 500],
		[1, 500],
		[1, 1_000],
	])
	set.expectQuiet()
})

test('batch callers let the others go first, and still get every eighth connection', async () => {
	const set = stage({ capacity: 1 })
	await set.warm(1)
	const holder = set.pool.ask()
	await set.clock.advance(0)
	const order: string[] = []
	const asking = (name: string, isBatch: boolean) =>
		set.pool.core.borrow({
			deadlineAtMs: Number.POSITIVE_INFINITY,
			isBatch,
			done(_error, connection) {
				order.push(name)
				set.clock.setTimer(() => connection && set.pool.source.release(connection), 0)
			},
		})
	for (let number = 0; number < 3; number++) asking('batch', true)
	for (let number = 0; number < 16; number++) asking('normal', false)
	set.pool.bringBack(holder)
	await set.clock.advance(100)
	const normal = (count: number) => Array.from({ length: count }, () => 'normal')
	expect(order).toEqual([...normal(7), 'batch', ...normal(7), 'batch', ...normal(2), 'batch'])
})

test('the priority of a call is its own, else that of its pool', () => {
	const { policy } = stage({ options: { priority: 'batch' } }).pool.core
	expect(new Call(policy, {}).isBatch).toBe(true)
	expect(new Call(policy, { priority: 'normal' }).isBatch).toBe(false)
	expect(new Call(stage().pool.core.policy, {}).isBatch).toBe(false)
})

test('where the gate is full, the batch caller who came last makes room for another caller', async () => {
	const set = stage({ options: { maxWaiting: 3 } })
	set.server.manner = 'refuses'
	const ask = (isBatch: boolean) => {
		const told: unknown[] = []
		set.pool.core.borrow({ deadlineAtMs: 60_000, isBatch, done: (error) => told.push(error) })
		return told
	}
	set.pool.ask({ deadlineMs: 60_000 })
	await set.clock.advance(10)
	const [older, newer] = [ask(true), ask(true)]
	const normal = ask(false)
	expect([older.length, newer.length, normal.length]).toEqual([0, 1, 0])
	expect(newer[0]).toBeInstanceOf(OverloadError)
	expect(ask(true)[0]).toBeInstanceOf(OverloadError)
	set.scheduler.close()
})

test('in a long line those are told early who could not be served in time, and everybody else is served', async () => {
	const set = stage({ capacity: 1 })
	await set.warm(1)
	// 100 are served a second: of 1,000 with a deadline of 5 s half can be.
	const callers = Array.from({ length: 1_000 }, () => set.pool.ask({ deadlineMs: 5_000 }))
	const from = set.clock.now()
	await serveEach(set, 10, from + 3_500)
	const shed = callers.filter(({ error }) => error !== undefined)
	expect(shed.length).toBeGreaterThan(450)
	for (const { error } of shed) expect(error).toBeInstanceOf(OverloadError)
	expect(String(shed[0]?.error)).toMatch(
		/\d+ callers wait for a connection to db:5432 before this one, and (99|100|101) a second are served/,
	)
	// Nobody who was shed could have been served: those before them take all the time there is.
	await serveEach(set, 10, from + 6_000)
	expect(served(callers)).toBeGreaterThan(495)
	expect(served(callers) + shed.length).toBeGreaterThan(990)
})

test('a server that is slow at first, after an outage say, sheds nobody who is served in time once it is warm', async () => {
	const set = stage({ capacity: 1, options: { maxWaiting: 10_000 } })
	await set.warm(1)
	const callers = Array.from({ length: 2_000 }, () => set.pool.ask({ deadlineMs: 30_000 }))
	// 20 a second, and 20 more with each second that goes by: at the pace of any of the first seconds most would be without hope.
	const from = set.clock.now()
	for (let second = 1; second < 30; second++) await serveEach(set, 50 / second, from + 1_000 * second)
	expect(callers.filter(({ error }) => error !== undefined)).toHaveLength(0)
	expect(served(callers)).toBe(2_000)
})

test('a newcomer who could not be served in time is refused at once, and one with more patience is not', async () => {
	const set = stage({ capacity: 1 })
	await set.warm(1)
	for (let number = 0; number < 1_000; number++) set.pool.ask({ deadlineMs: 60_000 })
	await serveEach(set, 10, set.clock.now() + 3_500)
	const hasty = set.pool.ask({ deadlineMs: 1_000 })
	const patient = set.pool.ask({ deadlineMs: 20_000 })
	expect(hasty.error).toBeInstanceOf(OverloadError)
	expect(patient.told).toBe(0)
	set.scheduler.close()
})

test('a line that is short, or in which all can be served, is left alone', async () => {
	const set = stage({ capacity: 1 })
	await set.warm(1)
	const callers = Array.from({ length: 450 }, () => set.pool.ask({ deadlineMs: 5_000 }))
	await serveEach(set, 10, set.clock.now() + 5_000)
	expect(served(callers)).toBe(450)
})

test('an outage sheds nobody: those who wait for its end have their deadlines', async () => {
	const set = stage({ capacity: 1 })
	await set.warm(1)
	const callers = Array.from({ length: 500 }, () => set.pool.ask({ deadlineMs: 30_000 }))
	await serveEach(set, 50, set.clock.now() + 1_000)
	set.server.kill('refuses')
	const holder = set.callers.find(({ connection }) => connection !== undefined)
	if (holder !== undefined) set.pool.bringBack(holder)
	await set.clock.advance(10_000)
	expect(callers.filter(({ error }) => error !== undefined)).toEqual([])
	set.scheduler.close()
})
