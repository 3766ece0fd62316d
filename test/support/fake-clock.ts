/** How does a test move time and choose chance itself? A `Clock` that stands still until it is told, and dice with a seed. */
import type { Clock } from '../../src/clock.ts'

/** A `Clock` whose time only moves when the test says so. */
export interface FakeClock extends Clock {
	/** Number of timers that have neither fired nor been cleared. */
	readonly pendingTimers: number
	/** Milliseconds until the earliest timer, or undefined without one. */
	readonly nextTimerInMs: number | undefined
	/**
	 * Moves time by `ms` and fires what falls due on the way, by time and then by age, with `now()` standing at each timer's own time.
	 * Before each timer and at the end everything that only waits for promises runs, so a timer that it sets within the span fires too.
	 */
	advance(ms: number): Promise<void>
	/** As `advance`, but lets no promise run in between: for code that uses none. */
	advanceSync(ms: number): void
	/** Moves from timer to timer until none is left. Throws after `limit` (default 10,000) timers. */
	runAll(limit?: number): Promise<void>
}

export interface FakeClockOptions {
	/** Default 1. */
	readonly seed?: number
	/** What `now()` says at the start. Default 0. */
	readonly startMs?: number
	/** Chance, instead of the seeded dice. */
	readonly random?: () => number
}

interface Timer {
	readonly dueAt: number
	readonly wake: () => void
}

export function fakeClock({ seed = 1, startMs = 0, random = seededRandom(seed) }: FakeClockOptions = {}): FakeClock {
	let now = startMs
	// A Map keeps the order of insertion, which is the age.
	const timers = new Map<number, Timer>()
	let lastHandle = 0

	function earliest(): [handle: number, timer: Timer] | undefined {
		let found: [number, Timer] | undefined
		for (const entry of timers) if (!found || entry[1].dueAt < found[1].dueAt) found = entry
		return found
	}

	/** Fires the earliest timer due by `untilMs`; false when there is none. */
	function fireNext(untilMs: number): boolean {
		const next = earliest()
		if (!next || next[1].dueAt > untilMs) return false
		timers.delete(next[0])
		now = Math.max(now, next[1].dueAt)
		next[1].wake()
		return true
	}

	return {
		now: () => now,
		random,
		setTimer(wake, delayMs) {
			lastHandle++
			timers.set(lastHandle, { dueAt: now + Math.max(0, delayMs), wake })
			return lastHandle
		},
		clearTimer(handle) {
			timers.delete(handle as number)
		},
		get pendingTimers() {
			return timers.size
		},
		get nextTimerInMs() {
			const next = earliest()
			return next && Math.max(0, next[1].dueAt - now)
		},
		async advance(ms) {
			const untilMs = now + ms
			do await promisesToRun()
			while (fireNext(untilMs))
			now = untilMs
		},
		advanceSync(ms) {
			const untilMs = now + ms
			while (fireNext(untilMs));
			now = untilMs
		},
		async runAll(limit = 10_000) {
			await promisesToRun()
			for (let fired = 0; fireNext(Number.POSITIVE_INFINITY); fired++) {
				if (fired >= limit) throw new Error(`more than ${limit} timers fired and there are still ${timers.size}`)
				await promisesToRun()
			}
		},
	}
}

/** A turn of the event loop comes only after every promise callback, however long the chain. */
const promisesToRun = () => new Promise<void>((resolve) => setImmediate(resolve))

/**
 * Numbers in [0, 1) that are the same for the same seed on every machine: a 32-bit counter in steps of the golden ratio, stirred by
 * the finaliser of MurmurHash3. Good enough for jitter and shuffles, not for secrets.
 */
export function seededRandom(seed: number): () => number {
	let state = seed | 0
	return () => {
		state = (state + 0x9e3779b9) | 0
		let mixed = state
		mixed = Math.imul(mixed ^ (mixed >>> 16), 0x85ebca6b)
		mixed = Math.imul(mixed ^ (mixed >>> 13), 0xc2b2ae35)
		return ((mixed ^ (mixed >>> 16)) >>> 0) / 2 ** 32
	}
}
