/** Does a process notice that many others want to connect after an outage, and wait its turn? */
import { expect, test } from 'vitest'
import { Crowd } from '../../../src/outage/crowd.ts'
import { fakeClock } from '../../support/fake-clock.ts'
import { stage as wholeStage } from './stage.ts'

/** In the middle of the jitter. */
const stage = () => {
	const clock = fakeClock({ random: () => 0.5 })
	const crowd = new Crowd(clock)
	crowd.answered(50)
	return { clock, crowd }
}

test('a server that answers promptly has no crowd, in an outage or out of it', () => {
	const { crowd } = stage()
	crowd.answered(100)
	expect(crowd.delayMs()).toBe(0)
	crowd.failed('starting_up', 100)
	expect(crowd.delayMs()).toBe(0)
	expect(crowd.isThere).toBe(false)
})

test('after an outage the next attempt waits three times as long as the last one stood in line', () => {
	const { crowd } = stage()
	crowd.failed('connection_refused', 1)
	crowd.answered(1_100)
	expect(crowd.delayMs()).toBe(3_000)
	expect(crowd.isThere).toBe(true)
})

test('where a connection always takes long, long is no crowd: only what takes more than twice as long is', () => {
	const crowd = new Crowd(fakeClock({ random: () => 0.5 }))
	crowd.failed('starting_up', 400)
	crowd.answered(400)
	crowd.answered(700)
	expect([crowd.delayMs(), crowd.isThere]).toEqual([0, false])
	crowd.answered(1_000)
	expect(crowd.delayMs()).toBe(600)
})

test.each(['starting_up', 'shutting_down', 'too_many_connections'] as const)('an answer that says no tells of the crowd: %s', (kind) => {
	const { crowd } = stage()
	crowd.failed(kind, 600)
	expect(crowd.delayMs()).toBe(1_500)
})

test.each(['connection_refused', 'connect_timeout', 'dns'] as const)(
	'what the server has not answered tells nothing of others: %s',
	(kind) => {
		const { crowd } = stage()
		crowd.failed(kind, 5_000)
		expect(crowd.delayMs()).toBe(0)
	},
)

test('no wait is longer than 5 s, give or take a half', () => {
	for (const [random, mostMs] of [
		[0, 2_500],
		[0.5, 5_000],
		[0.999, 7_495],
	] as const) {
		const crowd = new Crowd(fakeClock({ random: () => random }))
		crowd.answered(50)
		crowd.failed('starting_up', 60_000)
		expect(crowd.delayMs()).toBeCloseTo(mostMs, 6)
	}
})

test('one prompt answer does not make a crowd forgotten, many do', () => {
	const { crowd } = stage()
	crowd.failed('starting_up', 1_100)
	crowd.answered(1)
	expect(crowd.delayMs()).toBeCloseTo(2_400)
	for (let answer = 0; answer < 40; answer++) crowd.answered(1)
	expect(crowd.delayMs()).toBe(0)
})

test('a minute after the last failure a slow connection is only slow, and an old crowd is forgotten', async () => {
	const { clock, crowd } = stage()
	crowd.failed('starting_up', 2_000)
	await clock.advance(60_000)
	crowd.answered(2_000)
	expect(crowd.delayMs()).toBe(0)
	crowd.failed('connection_refused', 1)
	expect(crowd.delayMs()).toBe(0)
})

test('at the gate: after a login that took 2 s the next one waits, one at a time, and callers are served by the connection that is there', async () => {
	const { clock, pool, server, callers: all } = wholeStage({ random: () => 0.5 })
	// One that was let in before, and keeps its connection.
	pool.ask()
	await clock.advance(100)
	const callers = () => all.slice(1)
	server.manner = 'refuses'
	for (let each = 0; each < 3; each++) pool.ask()
	await clock.advance(100)
	server.manner = 'accepts'
	server.connectMs = 2_000
	const before = server.attempts.length
	await clock.advance(3_000)
	expect(callers().map(({ told }) => told)).toEqual([1, 0, 0])
	expect(server.attempts.length - before).toBe(1)
	// 3 x (2,000 - 100) ms is more than the longest wait.
	await clock.advance(3_500)
	expect(server.attempts.length - before).toBe(1)
	pool.bringBack(callers()[0] as (typeof all)[number])
	await clock.advance(0)
	expect(callers().map(({ told }) => told)).toEqual([1, 1, 0])
	await clock.advance(3_000)
	expect(server.attempts.length - before).toBe(2)
	expect(callers().map(({ told }) => told)).toEqual([1, 1, 1])
})
