/** What happens next in the simulated world? A clock that jumps from event to event, with chance from a seed. */
import { setImmediate as promisesToRun } from 'node:timers/promises'
import type { Clock } from '../../src/clock.ts'
import { seededRandom } from '../../test/support/fake-clock.ts'

interface Event {
	readonly atMs: number
	/** Events of the same moment happen in the order in which they were planned. */
	readonly order: number
	wake: (() => void) | undefined
}

/** Callbacks of promises run once in each span of so many milliseconds: a turn of the event loop for each event would take minutes. */
const promisesEveryMs = 1

export class Simulation implements Clock {
	readonly random: () => number
	#nowMs: number
	#planned = 0
	readonly #heap: Event[] = []

	constructor(seed: number, startMs: number) {
		this.random = seededRandom(seed)
		this.#nowMs = startMs
	}

	now(): number {
		return this.#nowMs
	}

	setTimer(wake: () => void, delayMs: number): Event {
		const event = { atMs: this.#nowMs + Math.max(0, delayMs), order: this.#planned++, wake }
		this.#push(event)
		return event
	}

	clearTimer(handle: unknown): void {
		// It stays in the heap until its time: nobody looks for it there.
		if (handle !== undefined) (handle as Event).wake = undefined
	}

	/** Lets everything happen that is due until then. */
	async run(untilMs: number): Promise<void> {
		let promisesAtMs = this.#nowMs + promisesEveryMs
		for (;;) {
			const next = this.#heap[0]
			if (next === undefined || next.atMs > untilMs || next.atMs >= promisesAtMs) {
				await promisesToRun()
				const then = this.#heap[0]
				if (then === undefined || then.atMs > untilMs) break
				promisesAtMs = Math.max(promisesAtMs, then.atMs) + promisesEveryMs
				continue
			}
			this.#shift()
			if (next.wake === undefined) continue
			this.#nowMs = next.atMs
			next.wake()
		}
		this.#nowMs = untilMs
	}

	#push(event: Event): void {
		const heap = this.#heap
		let index = heap.length
		while (index > 0) {
			const parent = (index - 1) >> 1
			if (!isBefore(event, heap[parent] as Event)) break
			heap[index] = heap[parent] as Event
			index = parent
		}
		heap[index] = event
	}

	#shift(): void {
		const heap = this.#heap
		const last = heap.pop() as Event
		if (heap.length === 0) return
		let index = 0
		for (;;) {
			let child = 2 * index + 1
			if (child >= heap.length) break
			if (child + 1 < heap.length && isBefore(heap[child + 1] as Event, heap[child] as Event)) child += 1
			if (!isBefore(heap[child] as Event, last)) break
			heap[index] = heap[child] as Event
			index = child
		}
		heap[index] = last
	}
}

const isBefore = (one: Event, other: Event) => one.atMs < other.atMs || (one.atMs === other.atMs && one.order < other.order)
