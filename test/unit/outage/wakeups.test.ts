/** Does one heap with one timer wake everybody, once, in order of time? */
import fc from 'fast-check'
import { expect, test } from 'vitest'
import { type WakeUp, WakeUps } from '../../../src/outage/wakeups.ts'
import { fakeClock } from '../../support/fake-clock.ts'

const seeded = { seed: 20_261_122, numRuns: 300 }

test('waits end in order of time, each once and never early, whatever is cancelled in between', async () => {
	const delays = fc.array(fc.record({ delayMs: fc.integer({ min: 0, max: 1_000 }), cancelled: fc.boolean() }), {
		maxLength: 200,
		size: 'max',
	})
	await fc.assert(
		fc.asyncProperty(delays, async (waits) => {
			const clock = fakeClock()
			const wakeUps = new WakeUps(clock)
			const fired: { atMs: number; nowMs: number; cancelled: boolean }[] = []
			const entries = waits.map(({ delayMs, cancelled }) =>
				wakeUps.at(delayMs, () => fired.push({ atMs: delayMs, nowMs: clock.now(), cancelled })),
			)
			for (const [index, { cancelled }] of waits.entries()) if (cancelled) wakeUps.cancel(entries[index])
			const expected = waits.filter(({ cancelled }) => !cancelled).map(({ delayMs }) => delayMs)
			expect(wakeUps.size).toBe(expected.length)
			expect(clock.pendingTimers).toBe(expected.length === 0 ? 0 : 1)
			clock.advanceSync(1_000)
			expect(fired.map(({ atMs }) => atMs)).toEqual(expected.sort((one, other) => one - other))
			expect(fired.every(({ atMs, nowMs, cancelled }) => nowMs === atMs && !cancelled)).toBe(true)
			expect(wakeUps.size).toBe(0)
			expect(clock.pendingTimers).toBe(0)
		}),
		seeded,
	)
})

test('the earliest wait comes first however waits come, go and end', async () => {
	const command = fc.oneof(
		fc.record({ what: fc.constant('add' as const), number: fc.integer({ min: 0, max: 100 }) }),
		fc.record({ what: fc.constant('cancel' as const), number: fc.nat(50) }),
		fc.record({ what: fc.constant('advance' as const), number: fc.integer({ min: 0, max: 40 }) }),
	)
	fc.assert(
		fc.property(fc.array(command, { maxLength: 150, size: 'max' }), (commands) => {
			const clock = fakeClock()
			const wakeUps = new WakeUps(clock)
			const pending: WakeUp[] = []
			for (const { what, number } of commands) {
				if (what === 'add') {
					const entry: WakeUp = wakeUps.at(clock.now() + number, () => {
						expect(entry.atMs).toBe(Math.min(...pending.map(({ atMs }) => atMs)))
						pending.splice(pending.indexOf(entry), 1)
					})
					pending.push(entry)
				} else if (what === 'cancel') {
					const [entry] = pending.splice(number % Math.max(1, pending.length), 1)
					wakeUps.cancel(entry)
				} else clock.advanceSync(number)
				expect(wakeUps.size).toBe(pending.length)
				expect(pending.every(({ atMs }) => atMs > clock.now() || (what !== 'advance' && atMs >= clock.now()))).toBe(true)
				expect(clock.pendingTimers).toBe(pending.length === 0 ? 0 : 1)
			}
		}),
		seeded,
	)
})

test('however many waits there are, the clock holds one timer', () => {
	const clock = fakeClock()
	const wakeUps = new WakeUps(clock)
	for (let each = 0; each < 10_000; each++) wakeUps.at((each * 7_919) % 10_007, () => {})
	expect(clock.pendingTimers).toBe(1)
	clock.advanceSync(5_000)
	expect(clock.pendingTimers).toBe(1)
	clock.advanceSync(5_007)
	expect(clock.pendingTimers).toBe(0)
})

test('a wait is never ended within the call that began it', () => {
	const clock = fakeClock()
	const wakeUps = new WakeUps(clock)
	let woken = false
	wakeUps.at(clock.now() - 5, () => {
		woken = true
	})
	expect(woken).toBe(false)
	clock.advanceSync(0)
	expect(woken).toBe(true)
})

test('a wait that another one cancels at the same moment does not end', () => {
	const clock = fakeClock()
	const wakeUps = new WakeUps(clock)
	const woken: string[] = []
	const entries: WakeUp[] = []
	for (const name of ['one', 'two']) {
		entries.push(
			wakeUps.at(10, () => {
				woken.push(name)
				for (const entry of entries) wakeUps.cancel(entry)
			}),
		)
	}
	clock.advanceSync(10)
	expect(woken).toHaveLength(1)
	expect(wakeUps.size).toBe(0)
	expect(clock.pendingTimers).toBe(0)
})

test('a wait that begins within the end of another one is heard, and leaves no timer behind', () => {
	const clock = fakeClock()
	const wakeUps = new WakeUps(clock)
	const woken: number[] = []
	wakeUps.at(10, () => {
		woken.push(clock.now())
		wakeUps.at(10, () => woken.push(clock.now()))
		wakeUps.at(25, () => woken.push(clock.now()))
	})
	clock.advanceSync(10)
	expect(woken).toEqual([10, 10])
	expect(clock.pendingTimers).toBe(1)
	clock.advanceSync(15)
	expect(woken).toEqual([10, 10, 25])
	expect(clock.pendingTimers).toBe(0)
})

test('a wait of no time within the end of another one leaves no timer behind once it has ended', () => {
	const clock = fakeClock()
	let timers = 0
	const wakeUps = new WakeUps({
		...clock,
		setTimer(wake, delayMs) {
			timers += 1
			return clock.setTimer(wake, delayMs)
		},
	})
	wakeUps.at(10, () => wakeUps.at(clock.now(), () => {}))
	clock.advanceSync(10)
	expect(wakeUps.size).toBe(0)
	expect(clock.pendingTimers).toBe(0)
	expect(timers).toBe(1)
})

test('a wait whose owner throws does not keep the others from ending', () => {
	const clock = fakeClock()
	const wakeUps = new WakeUps(clock)
	let woken = 0
	wakeUps.at(10, () => {
		throw new Error('thrown by an owner')
	})
	wakeUps.at(10, () => {
		woken += 1
	})
	wakeUps.at(20, () => {
		woken += 1
	})
	for (let each = 0; each < 3; each++) {
		try {
			clock.advanceSync(10)
		} catch (error) {
			expect(error).toMatchObject({ message: 'thrown by an owner' })
		}
	}
	expect(woken).toBe(2)
	expect(clock.pendingTimers).toBe(0)
})

test('waits longer than the longest timer of Node.js end when they should, not at once', () => {
	const clock = fakeClock()
	const wakeUps = new WakeUps(clock)
	const delaysMs: number[] = []
	const watched = new WakeUps({
		...clock,
		setTimer(wake, delayMs) {
			delaysMs.push(delayMs)
			return clock.setTimer(wake, delayMs)
		},
	})
	const days = 90 * 24 * 3_600_000
	let wokenAtMs: number | undefined
	watched.at(days, () => {
		wokenAtMs = clock.now()
	})
	wakeUps.at(days + 1, () => {})
	clock.advanceSync(days - 1)
	expect(wokenAtMs).toBeUndefined()
	clock.advanceSync(1)
	expect(wokenAtMs).toBe(days)
	expect(Math.max(...delaysMs)).toBeLessThanOrEqual(2_147_483_647)
})

test('a timer that fires a little early, as those of Node.js do, ends nothing before its time', () => {
	const clock = fakeClock()
	const hasty = new WakeUps({ ...clock, setTimer: (wake, delayMs) => clock.setTimer(wake, delayMs > 1 ? delayMs - 0.5 : delayMs) })
	let wokenAtMs: number | undefined
	hasty.at(10, () => {
		wokenAtMs = clock.now()
	})
	clock.advanceSync(9.75)
	expect(wokenAtMs).toBeUndefined()
	clock.advanceSync(0.25)
	expect(wokenAtMs).toBe(10)
})

test('cancelling a wait that has ended, that was cancelled or that never was does nothing', () => {
	const clock = fakeClock()
	const wakeUps = new WakeUps(clock)
	const ended = wakeUps.at(1, () => {})
	const cancelled = wakeUps.at(2, () => {})
	const left = wakeUps.at(3, () => {})
	wakeUps.cancel(cancelled)
	clock.advanceSync(1)
	for (const entry of [ended, cancelled, undefined]) wakeUps.cancel(entry)
	expect(wakeUps.size).toBe(1)
	expect(left.index).toBe(0)
})
