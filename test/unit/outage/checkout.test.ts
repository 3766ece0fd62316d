/** Who gets which connection of a pool: idle ones, asked ones, new ones? */
import { expect, test } from 'vitest'
import { stage } from './stage.ts'

test('an idle connection is handed out without asking the server', async () => {
	const { clock, pool, server, warm, expectQuiet } = stage()
	await warm(1)
	const caller = pool.ask()
	await clock.advance(0)
	expect(caller.connection).toBeDefined()
	expect(server.asked).toBe(0)
	expect(server.attempts).toHaveLength(0)
	expectQuiet()
})

test('who may go at once has an idle connection before the call returns; nobody else has, not even behind such a caller', async () => {
	const { clock, pool, server, warm, callers, expectQuiet } = stage({ capacity: 2 })
	await warm(2)
	expect(pool.ask({ mayGoAtOnce: true }).connection).toBeDefined()
	const patient = pool.ask()
	expect(patient.told).toBe(0)
	const late = pool.ask({ mayGoAtOnce: true })
	await clock.advance(0)
	expect([patient.connection !== undefined, late.told]).toEqual([true, 0])
	for (const caller of [callers[0], patient]) if (caller) pool.bringBack(caller)
	await clock.advance(0)
	expect(late.connection).toBeDefined()
	expect([server.asked, server.attempts.length]).toEqual([0, 0])
	expectQuiet()
})

test('who may go at once waits in its place while the idle connection that there is is asked', async () => {
	const { clock, pool, server, warm } = stage({ capacity: 2 })
	await warm(2)
	const [first] = pool.source.idleConnections
	if (first) pool.source.break(first)
	const order: number[] = []
	for (let each = 0; each < 2; each++) pool.ask({ mayGoAtOnce: true, onTold: (caller) => order.push(caller.number) })
	expect(order).toEqual([])
	await clock.advance(100)
	expect(server.asked).toBe(1)
	expect(order).toEqual([0, 1])
})

test('two callers at the same moment with one idle connection both get one: the second is opened', async () => {
	const { clock, pool, server, warm } = stage()
	await warm(1)
	const callers = [pool.ask(), pool.ask()]
	await clock.advance(100)
	expect(callers.every(({ connection }) => connection !== undefined)).toBe(true)
	expect(server.attempts).toHaveLength(1)
})

test('a burst of callers uses the idle connections and opens as many as are missing, no more', async () => {
	const { clock, pool, server, warm, callers, expectQuiet } = stage({ capacity: 10 })
	await warm(3)
	for (let each = 0; each < 8; each++) pool.ask()
	await clock.advance(1_000)
	expect(callers.every(({ connection }) => connection !== undefined)).toBe(true)
	expect(server.attempts).toHaveLength(5)
	expect(pool.source.total()).toBe(8)
	expectQuiet()
})

test('a pool never has more connections than it may have', async () => {
	const { clock, pool, callers } = stage({ capacity: 3 })
	for (let each = 0; each < 50; each++) pool.ask({ onTold: (caller) => clock.setTimer(() => pool.bringBack(caller), 5) })
	await clock.advance(5_000)
	expect(callers.every(({ told }) => told === 1)).toBe(true)
	expect(pool.source.mostConnections).toBe(3)
})

test('callers whose idle connections turn out stale keep their places in the line', async () => {
	const { clock, pool, server, warm } = stage({ capacity: 3 })
	await warm(3)
	const [first] = pool.source.idleConnections
	if (first) pool.source.break(first)
	const order: number[] = []
	for (let each = 0; each < 3; each++) pool.ask({ onTold: (caller) => order.push(caller.number) })
	await clock.advance(100)
	expect(server.asked).toBe(2)
	expect(order).toEqual([0, 1, 2])
})

test('one caller has one idle connection asked, not all of them', async () => {
	const { clock, pool, server, warm } = stage({ capacity: 10 })
	await warm(10)
	const [first] = pool.source.idleConnections
	if (first) pool.source.break(first)
	const caller = pool.ask()
	await clock.advance(100)
	expect(caller.connection).toBeDefined()
	expect(server.asked).toBe(1)
})

test('while an old connection is asked, one new attempt goes beside it: it decides sooner than a silent link', async () => {
	const { clock, pool, server, warm } = stage({ capacity: 10 })
	await warm(3)
	const [first, second, third] = pool.source.idleConnections
	for (const silent of [second, third]) if (silent) silent.answers = false
	if (first) pool.source.break(first)
	const caller = pool.ask()
	await clock.advance(server.connectMs)
	expect(caller.connection).toBeDefined()
	expect(server.attempts).toHaveLength(1)
})

test('a connection that does not answer within the time limit of a probe is closed, and its caller gets another', async () => {
	const { clock, pool, server, warm, expectQuiet } = stage({ capacity: 1 })
	await warm(1)
	const [silent] = pool.source.idleConnections
	if (silent) silent.answers = false
	// Something else on the endpoint was lost: what this pool holds is asked.
	stageLoss(pool)
	const caller = pool.ask()
	await clock.advance(4_999)
	expect(caller.told).toBe(0)
	await clock.advance(1 + server.connectMs)
	expect(caller.connection).toBeDefined()
	expect(caller.connection).not.toBe(silent)
	expect(silent?.place).toBe('gone')
	expectQuiet()
})

test('connections from before an outage are replaced, not handed out and not asked', async () => {
	const { clock, pool, server, warm, callers } = stage({ capacity: 5 })
	await warm(4)
	const old = [...pool.source.idleConnections]
	const held = Array.from({ length: 4 }, () => pool.ask())
	await clock.advance(0)
	server.manner = 'refuses'
	pool.ask()
	await clock.advance(1_000)
	for (const caller of held) pool.bringBack(caller)
	server.manner = 'accepts'
	const later = Array.from({ length: 4 }, () => pool.ask())
	await clock.advance(2_000)
	expect(callers.every(({ told }) => told === 1)).toBe(true)
	expect(later.some(({ connection }) => connection && old.includes(connection))).toBe(false)
	expect(server.asked).toBe(0)
	expect(pool.source.discarded).toBe(4)
})

test('a connection that comes back dirty is closed before anybody gets it', async () => {
	const { clock, pool, warm } = stage({ capacity: 1 })
	await warm(1)
	const first = pool.ask()
	await clock.advance(0)
	const dirty = first.connection
	if (dirty) dirty.dirty = true
	const second = pool.ask()
	pool.bringBack(first)
	await clock.advance(100)
	expect(second.connection).toBeDefined()
	expect(second.connection).not.toBe(dirty)
	expect(pool.source.discarded).toBe(1)
})

test('a connection whose last caller has gone before it was opened goes into the pool', async () => {
	const { clock, pool, server, expectQuiet } = stage()
	const leaving = new AbortController()
	pool.ask({ signal: leaving.signal })
	leaving.abort(new Error('gone'))
	await clock.advance(server.connectMs)
	expect(pool.source.idle()).toBe(1)
	expectQuiet()
})

test('an idle connection that vanishes before it is handed over costs its caller nothing but time', async () => {
	const { clock, pool, warm } = stage({ capacity: 2 })
	await warm(1)
	const caller = pool.ask()
	const [vanishing] = pool.source.idleConnections
	if (vanishing) pool.source.remove(vanishing)
	await clock.advance(100)
	expect(caller.connection).toBeDefined()
})

test('a callback that throws harms nobody else: the others are served, and its error surfaces as uncaught', async () => {
	const { clock, pool, server } = stage({ capacity: 3 })
	const surfaced = catchUncaught()
	server.manner = 'refuses'
	const failing = pool.ask({
		onTold: () => {
			throw new Error('thrown by a callback')
		},
	})
	const others = [pool.ask(), pool.ask()]
	await clock.advance(500)
	server.manner = 'accepts'
	await clock.advance(2_000)
	expect(failing.told).toBe(1)
	expect(others.every(({ connection }) => connection !== undefined)).toBe(true)
	expect((await surfaced()).map(({ message }) => message)).toEqual(['thrown by a callback'])
})

test('a callback that throws at the end of the pool does not keep the other callers waiting', async () => {
	const { clock, pool, server, callers, expectQuiet } = stage()
	const surfaced = catchUncaught()
	server.manner = 'refuses'
	pool.ask({
		onTold: () => {
			throw new Error('thrown by a callback')
		},
	})
	pool.ask()
	pool.ask()
	await clock.advance(100)
	pool.core.end()
	await clock.advance(10)
	expect(callers.map(({ told }) => told)).toEqual([1, 1, 1])
	expect(await surfaced()).toHaveLength(1)
	expectQuiet()
})

test('a caller that asks again from within its callback waits behind those who were there before', async () => {
	const { clock, pool, server } = stage({ capacity: 1 })
	const order: string[] = []
	server.manner = 'refuses'
	const again = (name: string) => ({
		onTold: (caller: Parameters<typeof pool.bringBack>[0]) => {
			order.push(name)
			if (name === 'first') pool.ask(again('again'))
			clock.setTimer(() => pool.bringBack(caller), 1)
		},
	})
	pool.ask(again('first'))
	pool.ask(again('second'))
	await clock.advance(500)
	server.manner = 'accepts'
	await clock.advance(2_000)
	expect(order).toEqual(['first', 'second', 'again'])
})

test('a pool whose driver throws when it opens a connection passes the error on and goes on working', async () => {
	const { clock, pool, server, expectQuiet } = stage()
	pool.source.throwsOnOpen = new TypeError('cannot make a client of this')
	const caller = pool.ask()
	await clock.advance(10)
	expect(caller.error).toBe(pool.source.throwsOnOpen)
	pool.source.throwsOnOpen = undefined
	const next = pool.ask()
	await clock.advance(server.connectMs)
	expect(next.connection).toBeDefined()
	expectQuiet()
})

test('a connection that comes back to a busy pool goes straight to the caller who waited longest', async () => {
	const { clock, pool, warm } = stage({ capacity: 1, takesOrders: true })
	await warm(1)
	const [holder, first, second] = [pool.ask(), pool.ask(), pool.ask()]
	await clock.advance(0)
	pool.bringBack(holder)
	expect([first.told, second.told]).toEqual([1, 0])
	pool.bringBack(first)
	expect(second.connection).toBeDefined()
})

test('nothing is ordered for a caller whose connection is being opened: it would be taken out once more when it comes back', async () => {
	const { clock, pool } = stage({ capacity: 1, takesOrders: true })
	const caller = pool.ask()
	await clock.advance(100)
	expect(pool.source.ordered).toBe(0)
	pool.bringBack(caller)
	expect(pool.source.idle()).toBe(1)
})

test('an order for which nobody waits any more is taken back: the connection that comes back is taken out for nobody', async () => {
	const { clock, pool, warm } = stage({ capacity: 1, takesOrders: true })
	await warm(1)
	const [holder, impatient] = [pool.ask(), pool.ask({ deadlineMs: 10 })]
	await clock.advance(20)
	expect([impatient.told, pool.source.orders]).toEqual([1, 0])
	const next = pool.ask()
	expect(pool.source.orders).toBe(1)
	pool.bringBack(holder)
	expect([next.told, pool.source.orders]).toEqual([1, 0])
})

/** Another connection of the same endpoint is lost. */
function stageLoss(pool: ReturnType<typeof stage>['pool']): void {
	const { policy } = pool.core
	policy.endpoint.lost(policy.endpoint.generation)
}

/** Collects what would end the process, instead of the test runner. */
function catchUncaught(): () => Promise<Error[]> {
	const before = process.listeners('uncaughtException')
	process.removeAllListeners('uncaughtException')
	const caught: Error[] = []
	process.on('uncaughtException', (error) => caught.push(error))
	return async () => {
		await new Promise((resolve) => setImmediate(resolve))
		process.removeAllListeners('uncaughtException')
		for (const listener of before) process.on('uncaughtException', listener)
		return caught
	}
}
