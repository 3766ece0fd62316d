/** Rule 4: how many connection attempts does a server see that is down, and at which pace? */
import { expect, test } from 'vitest'
import { stage } from './stage.ts'

const gaps = (times: readonly number[]) => times.slice(1).map((time, index) => time - (times[index] as number))

test('a cold pool opens one connection for one caller', async () => {
	const { clock, pool, server, endpoint, expectQuiet } = stage()
	const caller = pool.ask()
	await clock.advance(100)
	expect(caller.connection).toBeDefined()
	expect(server.attempts).toHaveLength(1)
	expect(endpoint.state).toBe('up')
	expectQuiet()
})

test('a thousand callers on three pools make at most one connection attempt at a time while the server is down', async () => {
	const { clock, pools, server } = stage({ pools: 3 })
	server.manner = 'refuses'
	let most = 0
	server.onAttempt = (inFlight) => {
		most = Math.max(most, inFlight)
	}
	for (let each = 0; each < 999; each++) pools[each % 3]?.ask()
	await clock.advance(5_000)
	expect(most).toBe(1)
	expect(server.attempts.length).toBeGreaterThan(10)
	expect(server.attempts.length).toBeLessThanOrEqual(20)
})

test('a thousand callers that wait cost the clock one timer', async () => {
	const { clock, pools, server, schedulerTimers } = stage({ pools: 3 })
	server.manner = 'refuses'
	for (let each = 0; each < 1_000; each++) pools[each % 3]?.ask({ deadlineMs: 10_000 + each })
	expect(schedulerTimers()).toBe(1)
	await clock.advance(100)
	expect(schedulerTimers()).toBe(1)
})

test('nobody probes a server that is down once nobody waits for it', async () => {
	const { clock, pool, server, expectQuiet } = stage()
	server.manner = 'refuses'
	const caller = pool.ask({ deadlineMs: 1_000 })
	await clock.advance(1_000)
	expect(caller.told).toBe(1)
	const seen = server.attempts.length
	await clock.advance(60_000)
	expect(server.attempts.length).toBe(seen)
	expectQuiet()
	expect(clock.pendingTimers).toBe(0)
})

test('the next caller after a silence probes at once, if the last probe is long enough ago', async () => {
	const { clock, pool, server } = stage()
	server.manner = 'refuses'
	pool.ask({ deadlineMs: 1_000 })
	await clock.advance(60_000)
	server.manner = 'accepts'
	const caller = pool.ask()
	await clock.advance(server.connectMs)
	expect(caller.connection).toBeDefined()
})

test('the waits between probes double from 25 to 500 ms, each spread over the quarter below', async () => {
	for (const seed of [1, 2, 3, 4, 5]) {
		const { clock, pool, server } = stage({ seed })
		server.manner = 'refuses'
		server.connectMs = 0
		pool.ask()
		await clock.advance(10_000)
		const waits = gaps(server.attempts.map(({ atMs }) => atMs))
		expect(waits.length).toBeGreaterThan(15)
		for (const [index, wait] of waits.entries()) {
			const boundMs = Math.min(25 * 2 ** index, 500)
			expect(wait).toBeGreaterThanOrEqual(boundMs * 0.75)
			expect(wait).toBeLessThanOrEqual(boundMs)
		}
	}
})

test('after a recovery the waits between probes begin at 25 ms again', async () => {
	const { clock, pool, server } = stage({ capacity: 2 })
	server.manner = 'refuses'
	pool.ask()
	await clock.advance(5_000)
	server.manner = 'accepts'
	await clock.advance(1_000)
	server.attempts.length = 0
	server.manner = 'refuses'
	pool.ask()
	await clock.advance(server.connectMs + 25)
	expect(server.attempts).toHaveLength(2)
})

test('a connection of before the outage that is lost after it makes nothing suspect', async () => {
	const { clock, pool, server, endpoint, warm } = stage({ capacity: 3 })
	await warm(1)
	const old = pool.ask()
	await clock.advance(0)
	server.manner = 'refuses'
	pool.ask()
	await clock.advance(1_000)
	server.manner = 'accepts'
	await clock.advance(1_000)
	expect(endpoint.state).toBe('up')
	if (old.connection) pool.source.break(old.connection)
	expect(endpoint.state).toBe('up')
})

test('probes at the cap do not fall into step: their waits differ', async () => {
	const { clock, pool, server } = stage()
	server.manner = 'refuses'
	pool.ask()
	await clock.advance(30_000)
	const capped = gaps(server.attempts.map(({ atMs }) => atMs)).slice(6)
	expect(new Set(capped).size).toBe(capped.length)
})

test('a full server is probed at a quarter of the pace, and its connections are kept', async () => {
	const { clock, pool, server, endpoint, warm } = stage({ capacity: 3 })
	await warm(2)
	const held = [pool.ask(), pool.ask()]
	await clock.advance(0)
	server.manner = 'is full'
	server.connectMs = 0
	pool.ask()
	await clock.advance(20_000)
	const waits = gaps(server.attempts.map(({ atMs }) => atMs))
	for (const [index, wait] of waits.entries()) {
		const boundMs = 4 * Math.min(25 * 2 ** index, 500)
		expect(wait).toBeGreaterThanOrEqual(boundMs * 0.75)
		expect(wait).toBeLessThanOrEqual(boundMs)
	}
	expect(endpoint.generation).toBe(0)
	const [first] = held
	if (first) pool.bringBack(first)
	await clock.advance(10)
	expect(pool.source.discarded).toBe(0)
	expect(pool.core.waiting).toBe(0)
})

test.each([
	['refuses', 1],
	['starts', 1],
	['stops', 1],
	['is full', 0],
	['resets', 0],
	['hangs', 0],
] as const)('when the server %s, the generation of connections grows by %i', async (manner, growth) => {
	const { clock, pool, server, endpoint, warm } = stage({ capacity: 2 })
	await warm(1)
	const held = pool.ask()
	await clock.advance(0)
	server.manner = manner
	const waiting = pool.ask()
	await clock.advance(6_000)
	expect(endpoint.state).toBe('down')
	expect(endpoint.generation).toBe(growth)
	const old = held.connection
	pool.bringBack(held)
	await clock.advance(10)
	expect(waiting.connection === old).toBe(growth === 0)
	expect(pool.source.discarded).toBe(growth)
})

test('a probe that hangs ends after 5 s in the state down, and the next one follows', async () => {
	const { clock, pool, server, endpoint } = stage()
	server.manner = 'hangs'
	const caller = pool.ask({ deadlineMs: 60_000 })
	await clock.advance(4_999)
	expect(endpoint.state).toBe('suspect')
	await clock.advance(1)
	expect(endpoint.state).toBe('down')
	expect(endpoint.lastFault?.kind).toBe('connect_timeout')
	server.manner = 'accepts'
	await clock.advance(25 + server.connectMs)
	expect(caller.connection).toBeDefined()
	expect(server.attempts).toHaveLength(2)
})

test('the time limit of a probe is an option of the scheduler', async () => {
	const { clock, pool, server, endpoint } = stage({ scheduler: { probeTimeoutMs: 300 } })
	server.manner = 'hangs'
	pool.ask()
	await clock.advance(300)
	expect(endpoint.state).toBe('down')
})

test('what the probe connects is used by the caller who waited longest', async () => {
	const { clock, pool, server, callers } = stage()
	server.manner = 'refuses'
	for (let each = 0; each < 5; each++) pool.ask()
	await clock.advance(2_000)
	server.manner = 'accepts'
	const before = server.attempts.length
	while (callers[0]?.told === 0) await clock.advance(1)
	expect(server.attempts.filter(({ manner }) => manner === 'accepts').length).toBeGreaterThanOrEqual(1)
	expect(callers[0]?.connection?.id).toBe(before + 1)
	expect(callers.slice(1).every(({ told }) => told === 0)).toBe(true)
})

test('after the first success connections are opened 2, 4 and 8 at a time, and then the endpoint is up', async () => {
	const { clock, pool, server, endpoint } = stage({ capacity: 15 })
	server.manner = 'refuses'
	for (let each = 0; each < 100; each++) pool.ask()
	await clock.advance(3_000)
	server.manner = 'accepts'
	server.connectMs = 10
	const accepted = () => server.attempts.filter(({ manner }) => manner === 'accepts')
	while (accepted().length === 0) await clock.advance(1)
	expect(server.inFlight).toBe(1)
	await clock.advance(10)
	expect(endpoint.state).toBe('recovering')
	expect(server.inFlight).toBe(2)
	await clock.advance(10)
	expect(server.inFlight).toBeGreaterThanOrEqual(4)
	await clock.advance(100)
	expect(endpoint.state).toBe('up')
	expect(pool.source.total()).toBe(15)
	expect(accepted()).toHaveLength(15)
})

test('an endpoint whose callers have all been served is up again, however few they were', async () => {
	const { clock, pool, server, endpoint, callers, expectQuiet } = stage({ capacity: 10 })
	server.manner = 'refuses'
	for (let each = 0; each < 3; each++) pool.ask()
	await clock.advance(1_000)
	server.manner = 'accepts'
	await clock.advance(1_000)
	expect(callers.every(({ connection }) => connection !== undefined)).toBe(true)
	expect(endpoint.state).toBe('up')
	expectQuiet()
})

test('recovery ends also when its callers leave in the middle of it', async () => {
	const { clock, pool, server, endpoint, expectQuiet } = stage({ capacity: 10 })
	const leaving = new AbortController()
	server.manner = 'refuses'
	for (let each = 0; each < 9; each++) pool.ask({ signal: leaving.signal })
	await clock.advance(1_000)
	server.manner = 'accepts'
	while (endpoint.state !== 'recovering') await clock.advance(1)
	leaving.abort()
	await clock.advance(1_000)
	expect(endpoint.state).toBe('up')
	expectQuiet()
})

test('callers are served first come, first served', async () => {
	const { clock, pool, server, callers } = stage({ capacity: 4 })
	const order: number[] = []
	server.manner = 'refuses'
	for (let each = 0; each < 40; each++) {
		pool.ask({
			onTold: (caller) => {
				order.push(caller.number)
				clock.setTimer(() => pool.bringBack(caller), 3)
			},
		})
	}
	await clock.advance(1_000)
	server.manner = 'accepts'
	await clock.advance(2_000)
	expect(order).toEqual(callers.map(({ number }) => number))
})

test('three pools on one endpoint take turns, however many callers one of them has', async () => {
	const { clock, pools, server } = stage({ pools: 3, capacity: 10 })
	server.manner = 'refuses'
	for (let each = 0; each < 300; each++) pools[0]?.ask()
	for (let each = 0; each < 3; each++) {
		pools[1]?.ask()
		pools[2]?.ask()
	}
	await clock.advance(3_000)
	// The first attempt began before the other two had asked.
	const probes = server.attempts.slice(1, 10).map(({ pool }) => pools.findIndex(({ source }) => source === pool))
	expect(probes).toEqual([0, 1, 2, 0, 1, 2, 0, 1, 2])
	server.manner = 'accepts'
	await clock.advance(2_000)
	const served = server.attempts
		.filter(({ manner }) => manner === 'accepts')
		.map(({ pool }) => pools.findIndex(({ source }) => source === pool))
	expect(served.slice(0, 9).filter((pool) => pool === 1)).toHaveLength(3)
	expect(served.slice(0, 9).filter((pool) => pool === 2)).toHaveLength(3)
})

test('a wrong password goes to everybody who waits, at once and after one attempt, and is no outage', async () => {
	const { clock, pool, server, endpoint, callers } = stage()
	server.manner = 'knows no password'
	for (let each = 0; each < 1_000; each++) pool.ask()
	await clock.advance(server.connectMs)
	expect(callers.every(({ told }) => told === 1)).toBe(true)
	expect(callers[999]?.error).toMatchObject({ code: '28P01' })
	expect(server.attempts).toHaveLength(1)
	server.manner = 'accepts'
	const later = pool.ask()
	await clock.advance(1_000)
	expect(later.connection).toBeDefined()
	expect(endpoint.outages).toBe(0)
	expect(endpoint.state).toBe('up')
})

test('a wrong password goes to the caller at the head alone where connections in use may serve the others', async () => {
	const { clock, pool, server, callers, warm } = stage({ capacity: 2 })
	await warm(1)
	const holder = pool.ask()
	await clock.advance(0)
	server.manner = 'knows no password'
	for (let each = 0; each < 2; each++) pool.ask()
	await clock.advance(server.connectMs)
	expect(callers.map(({ told }) => told)).toEqual([1, 1, 0])
	expect(callers[1]?.error).toMatchObject({ code: '28P01' })
	pool.bringBack(holder)
	await clock.advance(0)
	expect(callers[2]?.connection).toBeDefined()
})

test('as long as a pool has connections, wrong credentials are tried once in a while: one caller is told each time, the others wait for those', async () => {
	const { clock, pool, server, callers, warm, expectQuiet } = stage({ capacity: 3 })
	await warm(1)
	const holder = pool.ask()
	await clock.advance(0)
	server.manner = 'knows no password'
	for (let each = 0; each < 100; each++) pool.ask()
	await clock.advance(12_000)
	// After 0, 1, 3 and 7 seconds.
	expect(server.attempts).toHaveLength(4)
	expect(callers.filter(({ error }) => error !== undefined)).toHaveLength(4)
	pool.bringBack(holder)
	await clock.advance(0)
	const next = callers[5]
	expect(next?.connection).toBeDefined()
	server.manner = 'accepts'
	await clock.advance(4_000)
	expect(pool.source.total()).toBe(3)
	// Connections of before an outage are handed to nobody, though their borrowers may keep them.
	server.kill('refuses')
	const borrower = callers.find(({ connection }) => connection !== undefined)
	if (borrower !== undefined) pool.bringBack(borrower)
	await clock.advance(100)
	server.manner = 'knows no password'
	const before = server.attempts.length
	await clock.advance(1_000)
	expect(callers.every(({ told }) => told === 1)).toBe(true)
	expect(server.attempts).toHaveLength(before + 1)
	expectQuiet()
})

test('a pool that leaves its credentials alone for a while leaves nothing behind when its callers go, or when it ends', async () => {
	const { clock, pool, server, warm, expectQuiet } = stage({ capacity: 3 })
	await warm(1)
	pool.ask()
	await clock.advance(0)
	server.manner = 'knows no password'
	for (let each = 0; each < 3; each++) pool.ask({ deadlineMs: 500 })
	await clock.advance(501)
	expectQuiet()
	for (let each = 0; each < 3; each++) pool.ask()
	await clock.advance(100)
	pool.core.end()
	await clock.advance(0)
	expectQuiet()
})

test('a caller that gets a wrong password waits for no backoff', async () => {
	const { clock, pool, server } = stage()
	server.manner = 'knows no password'
	for (let each = 0; each < 5; each++) {
		const caller = pool.ask()
		await clock.advance(server.connectMs)
		expect(caller.error).toMatchObject({ code: '28P01' })
	}
})

test('a lost connection makes the endpoint suspect, and one that answers makes it up again without an outage', async () => {
	const { clock, pool, server, endpoint, warm } = stage({ capacity: 3 })
	await warm(3)
	const [first] = pool.source.idleConnections
	if (first) pool.source.break(first)
	expect(endpoint.state).toBe('suspect')
	const callers = [pool.ask(), pool.ask()]
	await clock.advance(10)
	expect(server.asked).toBe(2)
	expect(callers.every(({ connection }) => connection !== undefined)).toBe(true)
	expect(endpoint.state).toBe('up')
	expect(endpoint.outages).toBe(0)
})

test('a connection that was asked once after a loss is not asked again', async () => {
	const { clock, pool, server, warm } = stage({ capacity: 3 })
	await warm(3)
	const [first] = pool.source.idleConnections
	if (first) pool.source.break(first)
	for (let each = 0; each < 5; each++) {
		const callers = [pool.ask(), pool.ask()]
		await clock.advance(10)
		for (const caller of callers) pool.bringBack(caller)
	}
	expect(server.asked).toBe(2)
})

test('attempts that were under way when the outage began do not lengthen the wait for the next probe', async () => {
	const { clock, pool, server, endpoint, warm } = stage({ capacity: 9 })
	await warm(1)
	// A window that has grown: several attempts go out at once while the endpoint is up.
	server.connectMs = 10
	for (let each = 0; each < 9; each++) pool.ask()
	await clock.advance(15)
	expect(server.inFlight).toBeGreaterThan(1)
	server.manner = 'refuses'
	await clock.advance(10)
	expect(endpoint.state).toBe('down')
	expect(server.inFlight).toBe(0)
	const downAtMs = clock.now()
	const before = server.attempts.length
	await clock.advance(25)
	expect(server.attempts.length).toBe(before + 1)
	expect((server.attempts.at(-1)?.atMs ?? 0) - downAtMs).toBeLessThanOrEqual(25)
	expect(endpoint.outages).toBe(1)
})

test('a pool that is ended in the middle of its probe tells the other pools nothing of the server', async () => {
	const { clock, pools, server, endpoint } = stage({ pools: 2 })
	const [ending, staying] = pools
	server.manner = 'hangs'
	ending?.ask()
	staying?.ask()
	await clock.advance(100)
	ending?.core.end()
	await clock.advance(0)
	expect(endpoint.state).not.toBe('up')
	expect(endpoint.state).not.toBe('recovering')
	expect(server.inFlight).toBe(1)
	expect(server.attempts.at(-1)?.pool).toBe(staying?.source)
})

test('an attempt that fails within the call of open is counted and paced like any other', async () => {
	const { clock, pool, server } = stage()
	pool.source.failsAtOnce = true
	server.manner = 'refuses'
	for (let each = 0; each < 20; each++) pool.ask()
	await clock.advance(5_000)
	expect(server.inFlight).toBe(0)
	expect(server.attempts.length).toBeGreaterThan(10)
	expect(server.attempts.length).toBeLessThanOrEqual(20)
	server.manner = 'accepts'
	await clock.advance(1_000)
	expect(pool.source.total()).toBe(10)
})

test('two endpoints of one scheduler have nothing to do with each other', async () => {
	const { clock, pool, server, scheduler } = stage()
	server.manner = 'refuses'
	pool.ask()
	await clock.advance(100)
	expect(scheduler.endpoint('other:5432').state).toBe('suspect')
	expect(scheduler.stats().endpoints.map(({ address, state }) => [address, state])).toEqual([
		['db:5432', 'down'],
		['other:5432', 'suspect'],
	])
})
