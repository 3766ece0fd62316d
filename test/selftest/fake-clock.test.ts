/** Does the fake clock fire what is due, in order, and let promises run in between? */
import { expect, test } from 'vitest'
import { sleep } from '../../src/clock.ts'
import { fakeClock, seededRandom } from '../support/fake-clock.ts'

test('timers fire by time, then by age, and each sees its own time', async () => {
	const clock = fakeClock({ startMs: 100 })
	const fired: string[] = []
	for (const [name, delayMs] of [
		['late', 30],
		['first', 10],
		['second', 10],
		['never', 31],
	] as const) {
		clock.setTimer(() => fired.push(`${name}@${clock.now()}`), delayMs)
	}
	expect(clock.nextTimerInMs).toBe(10)
	await clock.advance(30)
	expect(fired).toEqual(['first@110', 'second@110', 'late@130'])
	expect([clock.now(), clock.pendingTimers]).toEqual([130, 1])
})

test('what a timer leads to by promises happens before the next timer, and timers set on the way fire too', async () => {
	const clock = fakeClock()
	const log: string[] = []
	const walk = async (name: string, stepMs: number) => {
		for (let step = 1; step <= 2; step++) {
			await sleep(clock, stepMs)
			log.push(`${name}${step}@${clock.now()}`)
		}
	}
	const walks = [walk('a', 10), walk('b', 15)]
	await clock.advance(30)
	expect(log).toEqual(['a1@10', 'b1@15', 'a2@20', 'b2@30'])
	await Promise.all(walks)
	expect(clock.pendingTimers).toBe(0)
})

test('a cleared timer does not fire', () => {
	const clock = fakeClock()
	const fired: string[] = []
	clock.clearTimer(clock.setTimer(() => fired.push('cleared'), 1))
	clock.setTimer(() => fired.push('kept'), 1)
	clock.advanceSync(1)
	expect(fired).toEqual(['kept'])
})

test('runAll ends with a clear error when timers never run out', async () => {
	const clock = fakeClock()
	const again = () => void clock.setTimer(again, 1)
	again()
	await expect(clock.runAll(50)).rejects.toThrow('more than 50 timers fired')
})

test('the same seed gives the same numbers, another seed others, and they are spread over [0, 1)', () => {
	const draw = (seed: number, count: number) => {
		const random = seededRandom(seed)
		return Array.from({ length: count }, random)
	}
	expect(draw(7, 20)).toEqual(draw(7, 20))
	expect(draw(7, 20)).not.toEqual(draw(8, 20))
	const tenths = new Array(10).fill(0)
	for (const value of draw(1, 10_000)) {
		expect(value >= 0 && value < 1).toBe(true)
		tenths[Math.floor(value * 10)]++
	}
	for (const count of tenths) expect(count).toBeGreaterThan(850)
})
