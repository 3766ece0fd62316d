/** Rule 7: does everything hold in every order of events? Random commands against a small model, on the fake clock, with a seed. */
import fc from 'fast-check'
import { expect, test } from 'vitest'
import type { Manner } from './fake-source.ts'
import { type Caller, type Stage, stage } from './stage.ts'

const manners: readonly Manner[] = [
	'accepts',
	'accepts',
	'accepts',
	'refuses',
	'hangs',
	'starts',
	'stops',
	'is full',
	'knows no password',
	'resets',
]

const pool = fc.nat(2)
const command = fc.oneof(
	{
		weight: 40,
		arbitrary: fc.record({
			what: fc.constant('acquire' as const),
			pool,
			deadlineMs: fc.constantFrom(5, 50, 700, 3_000, 20_000, Infinity),
			mayGoAtOnce: fc.boolean(),
		}),
	},
	{ weight: 15, arbitrary: fc.record({ what: fc.constant('burst' as const), pool, count: fc.integer({ min: 2, max: 12 }) }) },
	{ weight: 40, arbitrary: fc.record({ what: fc.constant('return' as const), which: fc.nat(50) }) },
	{ weight: 10, arbitrary: fc.record({ what: fc.constant('soil' as const), which: fc.nat(50) }) },
	{ weight: 15, arbitrary: fc.record({ what: fc.constant('lose' as const), which: fc.nat(50) }) },
	{ weight: 5, arbitrary: fc.record({ what: fc.constant('silence' as const), which: fc.nat(50) }) },
	{ weight: 15, arbitrary: fc.record({ what: fc.constant('server' as const), manner: fc.constantFrom(...manners) }) },
	{ weight: 5, arbitrary: fc.record({ what: fc.constant('kill' as const), manner: fc.constantFrom(...manners) }) },
	{ weight: 15, arbitrary: fc.record({ what: fc.constant('abort' as const), which: fc.nat(50) }) },
	{ weight: 50, arbitrary: fc.record({ what: fc.constant('advance' as const), ms: fc.constantFrom(0, 0.5, 1, 1, 2, 5, 30, 300, 6_000) }) },
	{ weight: 1, arbitrary: fc.record({ what: fc.constant('end' as const), pool }) },
)
type Command = typeof command extends fc.Arbitrary<infer T> ? T : never

class World {
	readonly set: Stage = stage({ pools: 3, capacity: 4, seed: 7, takesOrders: 'some', options: { maxWaiting: 15 } })
	readonly aborts = new Map<Caller, AbortController>()
	readonly ended = new Set<number>()
	attemptsBefore = 0

	run(command: Command): void {
		const { set } = this
		switch (command.what) {
			case 'acquire':
				return this.acquire(command.pool, command.deadlineMs, command.mayGoAtOnce)
			case 'burst':
				for (let each = 0; each < command.count; each++) this.acquire(command.pool, 2_000, each % 2 === 1)
				return
			case 'return': {
				const caller = pick(this.holders(), command.which)
				if (caller) caller.pool.bringBack(caller)
				return
			}
			case 'soil': {
				const connection = pick(this.holders(), command.which)?.connection
				if (connection) connection.dirty = true
				return
			}
			case 'lose': {
				const connection = pick([...set.server.connections], command.which)
				connection?.pool.break(connection)
				return
			}
			case 'silence': {
				const connection = pick([...set.server.connections], command.which)
				if (connection) connection.answers = false
				return
			}
			case 'server':
				set.server.manner = command.manner
				return
			case 'kill':
				set.server.kill(command.manner)
				return
			case 'abort': {
				const caller = pick(this.waiters(), command.which)
				if (caller) this.aborts.get(caller)?.abort(new Error('aborted'))
				return
			}
			case 'advance':
				set.clock.advanceSync(command.ms)
				return
			case 'end':
				this.ended.add(command.pool)
				set.pools[command.pool]?.core.end()
				set.pools[command.pool]?.source.end()
		}
	}

	acquire(pool: number, deadlineMs: number, mayGoAtOnce: boolean): void {
		const abort = new AbortController()
		const caller = this.set.pools[pool]?.ask({ deadlineMs, signal: abort.signal, mayGoAtOnce })
		if (caller) this.aborts.set(caller, abort)
	}

	holders(): Caller[] {
		return this.set.callers.filter(({ connection }) => connection !== undefined)
	}

	waiters(): Caller[] {
		return this.set.callers.filter(({ told }) => told === 0)
	}

	check(): void {
		const { set } = this
		const { server, pools, callers, scheduler, endpoint } = set
		// Nobody is told twice, and nobody gets a connection that somebody else holds.
		expect(callers.every(({ told }) => told <= 1)).toBe(true)
		const held = this.holders().map(({ connection }) => connection)
		expect(new Set(held).size).toBe(held.length)
		expect(held.every((connection) => connection?.place === 'out')).toBe(true)
		for (const [index, { source, core }] of pools.entries()) {
			expect(source.mostConnections).toBeLessThanOrEqual(source.capacity)
			const waiting = this.waiters().filter((caller) => caller.pool === pools[index])
			// Who waits in the books waits in fact. Somebody who is being handed an idle connection stands in no line.
			expect(core.waiting).toBeLessThanOrEqual(waiting.length)
			if (this.ended.has(index)) expect(waiting.filter(() => source.idle() === 0)).toEqual([])
		}
		expect(set.schedulerTimers()).toBeLessThanOrEqual(1)
		expect(set.schedulerTimers()).toBe(scheduler.stats().waits === 0 ? 0 : 1)
		if (endpoint.state === 'down') expect(server.inFlight).toBeLessThanOrEqual(Math.max(1, this.attemptsBefore))
		this.attemptsBefore = server.inFlight
	}

	/** Nobody may be forgotten: whoever waits has something on its way, or something that is planned, or waits for a connection in use. */
	checkNoLostWakeUp(): void {
		const { clock, pools, server, scheduler, endpoint } = this.set
		clock.advanceSync(0)
		const waiting = pools.reduce((sum, { core }) => sum + core.waiting, 0)
		if (waiting === 0 && server.inFlight === 0 && server.asking === 0) this.set.expectQuiet()
		for (const { source, core } of pools) {
			if (core.waiting === 0) continue
			const out = this.holders().some(({ pool }) => pool.source === source)
			const underWay =
				server.inFlight > 0 || source.total() > source.idle() + this.holders().filter(({ pool }) => pool.source === source).length
			// A pool with connections leaves credentials alone for a while that were refused.
			const isHeldBack = out && server.attempts.some(({ manner }) => manner === 'knows no password')
			const planned = (endpoint.state === 'down' || isHeldBack) && scheduler.stats().waits > 0
			// An idle connection is left alone only while others are asked for those who wait.
			const idle = server.asking === 0 ? source.idle() : 0
			expect({ idle, someHope: underWay || planned || (out && source.total() >= source.capacity) }).toEqual({ idle: 0, someHope: true })
		}
	}

	/** The server is well from now on and everybody brings back what they get: everybody who may wait is served, and nothing is left. */
	finish(): void {
		const { set } = this
		const { clock, server, pools, callers } = set
		server.manner = 'accepts'
		for (let round = 0; round < 200; round++) {
			for (const caller of this.holders()) caller.pool.bringBack(caller)
			clock.advanceSync(100)
			if (this.waiters().length === 0 && this.holders().length === 0 && server.inFlight === 0) break
		}
		for (const caller of this.holders()) caller.pool.bringBack(caller)
		clock.advanceSync(10_000)
		expect(this.waiters()).toEqual([])
		expect(callers.every(({ told }) => told === 1)).toBe(true)
		expect(server.inFlight).toBe(0)
		set.expectQuiet()
		expect(clock.pendingTimers).toBe(0)
		if (this.ended.size < 3) expect(['up', 'suspect', 'down']).toContain(set.endpoint.state)
		for (const [index, { source }] of pools.entries()) {
			expect(source.total()).toBe(source.idle())
			if (this.ended.has(index)) expect(source.idle()).toBe(0)
		}
	}
}

function pick<T>(list: readonly T[], which: number): T | undefined {
	return list.length === 0 ? undefined : list[which % list.length]
}

test('in every order of events nobody is served twice, forgotten or left behind, and no pool grows too large', () => {
	fc.assert(
		fc.property(fc.array(command, { minLength: 1, maxLength: 80, size: 'max' }), (commands) => {
			const world = new World()
			for (const each of commands) {
				world.run(each)
				world.check()
				world.checkNoLostWakeUp()
				world.check()
			}
			world.finish()
		}),
		{ seed: 20_261_122, numRuns: 250 },
	)
})

test('an outage that begins at any moment is met by one attempt at a time once it is known', () => {
	fc.assert(
		fc.property(
			fc.array(fc.nat(40), { minLength: 1, maxLength: 30, size: 'max' }),
			fc.integer({ min: 0, max: 60 }),
			(arrivals, outageAtMs) => {
				const { clock, pools, server, endpoint } = stage({ pools: 3, capacity: 5 })
				clock.setTimer(() => server.kill('refuses'), outageAtMs)
				for (const [index, atMs] of arrivals.entries()) {
					clock.setTimer(() => {
						pools[index % 3]?.ask({
							onTold: (caller) => caller.connection && clock.setTimer(() => caller.connection && caller.pool.bringBack(caller), 4),
						})
					}, atMs)
				}
				let worst = 0
				server.onAttempt = (inFlight) => {
					if (endpoint.state === 'down') worst = Math.max(worst, inFlight)
				}
				clock.advanceSync(3_000)
				expect(worst).toBeLessThanOrEqual(1)
			},
		),
		{ seed: 20_261_122, numRuns: 300 },
	)
})
