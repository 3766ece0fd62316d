/** How many transactions that conflict may run at once? The limit alone, told how attempts end. */
import { expect, test } from 'vitest'
import { Limit } from '../../../src/conflict/limit.ts'
import { fakeClock } from '../../support/fake-clock.ts'

/** A server where each of `n` transactions takes `takesMs(n)`, and the share `lost(n)` of them loses. */
function play(limit: Limit, spans: number, { takesMs, lost = () => 0, wanted = true, fromMs = 0 }: Play): number {
	let nowMs = fromMs
	let debt = 0
	for (let attempt = 0; attempt < spans * 16; attempt++) {
		const running = limit.value
		nowMs += takesMs(running) / running
		debt += lost(running)
		const end = debt >= 1 ? 'lost' : 'committed'
		if (end === 'lost') debt -= 1
		limit.ended({ end, startedAtMs: nowMs - takesMs(running), nowMs, used: wanted, wanted })
	}
	return nowMs
}

interface Play {
	takesMs(running: number): number
	lost?(running: number): number
	wanted?: boolean
	fromMs?: number
}

test('it begins with one at a time', () => {
	expect(new Limit(0).value).toBe(1)
})

test('where more get as much more done, it rises', () => {
	const limit = new Limit(0)
	play(limit, 40, { takesMs: () => 5 })
	expect(limit.value).toBeGreaterThan(8)
})

test('where nobody waits for a turn, it does not rise', () => {
	const limit = new Limit(0)
	play(limit, 40, { takesMs: () => 5, wanted: false })
	expect(limit.value).toBe(1)
})

test('where every second attempt loses as soon as there are two, it stays at one, and tries more ever less often', () => {
	const limit = new Limit(0)
	let tried = 0
	const half = (running: number) => {
		if (running > 1) tried += 1
		return running > 1 ? 0.7 : 0
	}
	play(limit, 600, { takesMs: () => 1, lost: half })
	expect(limit.value).toBe(1)
	expect(tried).toBeLessThan(600)
})

test('a deadlock of a second among two takes it back to one, for seconds', () => {
	const limit = new Limit(0)
	let nowMs = play(limit, 4, { takesMs: () => 1 })
	expect(limit.value).toBeGreaterThan(1)
	limit.ended({ end: 'lost', startedAtMs: nowMs, nowMs: nowMs + 1_000, used: true, wanted: true })
	limit.ended({ end: 'committed', startedAtMs: nowMs, nowMs: nowMs + 1_000, used: true, wanted: true })
	limit.ended({ end: 'committed', startedAtMs: nowMs, nowMs: nowMs + 1_000, used: true, wanted: true })
	expect(limit.value).toBe(1)
	nowMs = play(limit, 50, { takesMs: () => 1, fromMs: nowMs + 1_000 })
	expect(limit.value).toBe(1)
})

test('an end that says nothing of conflicts changes nothing', () => {
	const limit = new Limit(0)
	for (let attempt = 0; attempt < 1_000; attempt++)
		limit.ended({ end: 'other', startedAtMs: attempt, nowMs: attempt + 1, used: true, wanted: true })
	expect(limit.value).toBe(1)
})

test('attempts that lose even alone are no reason to let more run: whoever they lose to is elsewhere', () => {
	const limit = new Limit(0)
	play(limit, 100, { takesMs: () => 1, lost: () => 0.8 })
	expect(limit.value).toBe(1)
})

test('what short transactions have taught holds nobody back among slow ones that do not conflict', () => {
	const limit = new Limit(0)
	const nowMs = play(limit, 600, { takesMs: () => 1, lost: (running) => (running > 1 ? 0.6 : 0) })
	expect(limit.value).toBe(1)
	play(limit, 4, { takesMs: () => 300, fromMs: nowMs })
	expect(limit.value).toBeGreaterThan(8)
})

test("where more than a few are in one another's way, it stays near the best, also while nobody has to wait any more", () => {
	const limit = new Limit(0)
	// As much again from two, half as much again from four; from there on the sum falls.
	const sums = new Map([1, 1.9, 2.8, 2.6, 1.8, 1.1, 0.6].map((sum, step) => [2 ** step, sum]))
	const takesMs = (running: number) => running / (sums.get(running) ?? 0.3)
	let nowMs = play(limit, 300, { takesMs })
	expect([2, 4, 8]).toContain(limit.value)
	const high = new Limit(0)
	nowMs = play(high, 40, { takesMs: () => 5 })
	expect(high.value).toBeGreaterThan(8)
	play(high, 1_000, { takesMs, fromMs: nowMs })
	expect([2, 4, 8]).toContain(high.value)
})

test('a time without work is not held against it', () => {
	const limit = new Limit(0)
	const takesMs = (running: number) => Math.max(1, running / 8)
	let nowMs = play(limit, 400, { takesMs })
	for (let burst = 0; burst < 20; burst++) {
		// The last ones of a burst have nobody behind them.
		limit.ended({ end: 'committed', startedAtMs: nowMs - 1, nowMs, used: false, wanted: false })
		nowMs = play(limit, 60, { takesMs, fromMs: nowMs + 10_000 })
		expect(limit.value).toBeGreaterThan(2)
	}
})

test('where two get more done than one, it stays at two, however many of their attempts lose', () => {
	const limit = new Limit(0)
	// InnoDB ends a deadlock at once: two of three are committed, in the time of one.
	let atTwo = 0
	const takesMs = (running: number) => {
		if (running === 2) atTwo += 1
		return running > 2 ? running : 0.5
	}
	const lost = (running: number) => (running > 1 ? 0.4 : 0)
	play(limit, 1_000, { takesMs, lost })
	// It is asked twice for each attempt.
	expect(atTwo / 32_000).toBeGreaterThan(0.9)
})

test('on a machine whose pace comes and goes it stays where the most gets done', () => {
	const { random } = fakeClock({ seed: 5 })
	const limit = new Limit(0)
	const sums = new Map([1, 1.9, 2.4, 2.2, 1.6, 1].map((sum, step) => [2 ** step, sum]))
	const attempts = new Map<number, number>()
	let pace = 1
	let left = 0
	const takesMs = (running: number) => {
		if (left-- <= 0) [pace, left] = [0.6 + 0.8 * random(), 1_500]
		attempts.set(running, (attempts.get(running) ?? 0) + 1)
		return (0.5 * pace * running) / (sums.get(running) ?? 0.5)
	}
	play(limit, 10_000, { takesMs })
	const all = [...attempts.values()].reduce((sum, each) => sum + each)
	expect((attempts.get(4) ?? 0) / all).toBeGreaterThan(0.85)
})

test('what had begun before the limit rose, and what has only begun, is not held against the higher limit', () => {
	const limit = new Limit(0)
	const sums = new Map([0.4, 0.7, 1, 1.2, 1.4, 1.1].map((sum, step) => [2 ** step, sum]))
	// In a span as short as it may be, sixteen places have a quarter of their work on hand at its ends.
	const seen: number[] = []
	play(limit, 1_000, {
		takesMs(running) {
			seen.push(running)
			return running / (sums.get(running) ?? 0.5)
		},
	})
	expect(seen.filter((running) => running === 16).length / seen.length).toBeGreaterThan(0.8)
})

test('of slow transactions too, what has only begun is not held against the higher limit', () => {
	const limit = new Limit(0)
	const sums = new Map([1, 1.25, 0.9].map((sum, step) => [2 ** step, sum]))
	play(limit, 10, { takesMs: (running) => (300 * running) / (sums.get(running) ?? 0.5) })
	expect(limit.value).toBe(2)
})

test.each(['committed', 'other'] as const)('bursts that are each too short to be judged are judged together (the last one: %s)', (last) => {
	const limit = new Limit(0)
	for (let burst = 0; burst < 200; burst++) {
		// Twenty of 10 ms each, once a second.
		let nowMs = burst * 1_000
		for (let left = 20; left > 0; ) {
			const running = Math.min(limit.value, left)
			const startedAtMs = nowMs
			nowMs += 10
			left -= running
			for (let still = running - 1; still >= 0; still--) {
				const wanted = left > 0
				const end = wanted || still > 0 ? 'committed' : last
				limit.ended({ end, startedAtMs, nowMs, used: wanted || still >= limit.value / 2, wanted })
			}
		}
	}
	expect(limit.value).toBeGreaterThanOrEqual(8)
})

test('when a fight breaks out that stops all but one dead, it comes down, whatever was done before', () => {
	const limit = new Limit(0)
	const nowMs = play(limit, 400, { takesMs: (running) => Math.max(1, running / 8) })
	expect(limit.value).toBeGreaterThanOrEqual(8)
	// A deadlock is found after a second; all but one have lost by then.
	play(limit, 6, { takesMs: (running) => (running > 1 ? 1_000 : 1), lost: (running) => 1 - 1 / running, fromMs: nowMs })
	expect(limit.value).toBe(1)
})

test('where two get nothing done again and again, it rises all the same once they do', () => {
	const limit = new Limit(0)
	const stuck = { takesMs: (running: number) => (running > 1 ? 100 : 1), lost: (running: number) => (running > 1 ? 1 : 0) }
	const nowMs = play(limit, 20_000, stuck)
	expect(limit.value).toBe(1)
	play(limit, 4_000, { takesMs: () => 1, fromMs: nowMs })
	expect(limit.value).toBeGreaterThan(8)
})

test('where nobody commits, at any limit, it comes down, and rises again when they do', () => {
	const limit = new Limit(0)
	let nowMs = play(limit, 400, { takesMs: () => 5 })
	expect(limit.value).toBeGreaterThan(8)
	nowMs = play(limit, 2_000, { takesMs: () => 5, lost: () => 1, fromMs: nowMs })
	expect(limit.value).toBe(1)
	play(limit, 400, { takesMs: () => 5, fromMs: nowMs })
	expect(limit.value).toBeGreaterThan(8)
})
