/** When must somebody be woken next? One heap and one timer for every wait of a scheduler. */
import { type Clock, longestTimerMs } from '../clock.ts'

/** One wait in the heap. Owners keep it to cancel it. */
export interface WakeUp {
	readonly atMs: number
	/** Position in the heap; -1 once fired or cancelled. */
	index: number
	readonly wake: () => void
}

/**
 * Waits in order of time. However many there are, the clock holds one timer, and none when there are none,
 * so an idle scheduler never keeps the process alive.
 */
export class WakeUps {
	readonly #clock: Clock
	readonly #heap: WakeUp[] = []
	#timer: unknown
	#timerAtMs = Number.POSITIVE_INFINITY

	constructor(clock: Clock) {
		this.#clock = clock
	}

	get size(): number {
		return this.#heap.length
	}

	/** Calls `wake` once when the clock reaches `atMs`; never synchronously. */
	at(atMs: number, wake: () => void): WakeUp {
		const entry: WakeUp = { atMs, index: this.#heap.length, wake }
		this.#heap.push(entry)
		this.#up(entry.index)
		if (entry.index === 0) this.#arm()
		return entry
	}

	/** Takes a wait out. One that has fired or was cancelled is ignored. */
	cancel(entry: WakeUp | undefined): void {
		if (entry === undefined || entry.index < 0) return
		this.#remove(entry)
		// A timer that fires too early finds nothing due and arms itself again: cheaper than re-arming at every cancel.
		if (this.#heap.length === 0) this.#disarm()
	}

	#arm(): void {
		const first = this.#heap[0]
		if (first === undefined || this.#timerAtMs <= first.atMs) return
		this.#disarm()
		this.#timerAtMs = first.atMs
		const delayMs = Math.min(Math.max(0, first.atMs - this.#clock.now()), longestTimerMs)
		this.#timer = this.#clock.setTimer(() => this.#fire(), delayMs)
	}

	#disarm(): void {
		if (this.#timer !== undefined) this.#clock.clearTimer(this.#timer)
		this.#timer = undefined
		this.#timerAtMs = Number.POSITIVE_INFINITY
	}

	#fire(): void {
		this.#timer = undefined
		// What is added within is either due and woken here, or waits for the timer that is set once, at the end.
		this.#timerAtMs = Number.NEGATIVE_INFINITY
		const now = this.#clock.now()
		try {
			for (let first = this.#heap[0]; first !== undefined && first.atMs <= now; first = this.#heap[0]) {
				this.#remove(first)
				first.wake()
			}
		} finally {
			this.#disarm()
			this.#arm()
		}
	}

	#remove(entry: WakeUp): void {
		const { index } = entry
		const last = this.#heap.pop() as WakeUp
		entry.index = -1
		if (last === entry) return
		this.#heap[index] = last
		last.index = index
		this.#down(index)
		this.#up(last.index)
	}

	#up(from: number): void {
		const heap = this.#heap
		const entry = heap[from] as WakeUp
		let index = from
		while (index > 0) {
			const parentIndex = (index - 1) >> 1
			const parent = heap[parentIndex] as WakeUp
			if (parent.atMs <= entry.atMs) break
			heap[index] = parent
			parent.index = index
			index = parentIndex
		}
		heap[index] = entry
		entry.index = index
	}

	#down(from: number): void {
		const heap = this.#heap
		const entry = heap[from] as WakeUp
		let index = from
		for (;;) {
			let childIndex = 2 * index + 1
			if (childIndex >= heap.length) break
			const right = heap[childIndex + 1]
			if (right !== undefined && right.atMs < (heap[childIndex] as WakeUp).atMs) childIndex += 1
			const child = heap[childIndex] as WakeUp
			if (child.atMs >= entry.atMs) break
			heap[index] = child
			child.index = index
			index = childIndex
		}
		heap[index] = entry
		entry.index = index
	}
}
