/** Who waits, in which order, and until when? One line of callers, of which any may leave before its turn. */
import type { WakeUp, WakeUps } from './wakeups.ts'

/**
 * Who can stand in a line, and its place there; in one line at a time. In an outage there are tens of thousands, so it holds what it must,
 * and no closures.
 */
export abstract class Waiter {
	/** 0: it never had to stand in a line. Negative: it has left it. */
	place = 0
	previous: this | undefined = undefined
	next: this | undefined = undefined
	/** What it has of its own to end its wait; most have nothing. */
	own: OwnEnd | undefined = undefined
	/** When its wait ends; Infinity for never. */
	abstract readonly deadlineAtMs: number
}

export interface OwnEnd {
	wakeUp?: WakeUp | undefined
	onAbort?: ((reason: unknown) => void) | undefined
}

/** The line is doubly linked. Deadlines mostly ascend along it: callers for whom that is so share one wake-up. */
export class Line<W extends Waiter> {
	head: W | undefined
	tail: W | undefined
	size = 0
	readonly #wakeUps: WakeUps
	readonly #tooLate: (waiter: W) => void
	#sharedWakeUp: WakeUp | undefined
	#latestSharedMs = Number.NEGATIVE_INFINITY

	/** `tooLate` is told of each caller whose deadline has passed, after it was taken out. */
	constructor(wakeUps: WakeUps, tooLate: (waiter: W) => void) {
		this.#wakeUps = wakeUps
		this.#tooLate = tooLate
	}

	/** Puts a caller before everybody with a later place. Its deadline is not looked at yet: see `limit`. */
	join(waiter: W, place: number): void {
		// Those who had a place before they joined are few, and at the head.
		let next = this.tail !== undefined && this.tail.place < place ? undefined : this.head
		while (next !== undefined && next.place < place) next = next.next
		const previous = next === undefined ? this.tail : next.previous
		waiter.place = place
		waiter.previous = previous
		waiter.next = next
		if (previous === undefined) this.head = waiter
		else previous.next = waiter
		if (next === undefined) this.tail = waiter
		else next.previous = waiter
		this.size += 1
	}

	/** Ends its wait at its deadline. */
	limit(waiter: W): void {
		const { deadlineAtMs } = waiter
		if (deadlineAtMs === Number.POSITIVE_INFINITY) return
		if (waiter.next === undefined && waiter.own === undefined && deadlineAtMs >= this.#latestSharedMs) {
			this.#latestSharedMs = deadlineAtMs
			this.#sharedWakeUp ??= this.#wakeUps.at(deadlineAtMs, () => this.#sharedDue(deadlineAtMs))
			return
		}
		waiter.own ??= {}
		waiter.own.wakeUp = this.#wakeUps.at(deadlineAtMs, () => {
			this.remove(waiter)
			this.#tooLate(waiter)
		})
	}

	/** Takes it out; false where it is out already. It keeps `own` for whoever has to tidy up after it. */
	remove(waiter: W): boolean {
		const { previous, next, own, place } = waiter
		if (place <= 0) return false
		waiter.place = -place
		if (previous === undefined) this.head = next
		else previous.next = next
		if (next === undefined) this.tail = previous
		else next.previous = previous
		waiter.previous = undefined
		waiter.next = undefined
		this.size -= 1
		if (own !== undefined) this.#wakeUps.cancel(own.wakeUp)
		if (this.size > 0) return true
		this.#wakeUps.cancel(this.#sharedWakeUp)
		this.#sharedWakeUp = undefined
		this.#latestSharedMs = Number.NEGATIVE_INFINITY
		return true
	}

	// Who is served leaves the wake-up as it is. So it may come too early: then it is set for the first of those who are left.
	#sharedDue(nowMs: number): void {
		this.#sharedWakeUp = undefined
		const due: W[] = []
		for (let each = this.head; each !== undefined; each = each.next) {
			const { deadlineAtMs } = each
			if (each.own?.wakeUp !== undefined || deadlineAtMs === Number.POSITIVE_INFINITY) continue
			if (deadlineAtMs > nowMs) {
				this.#sharedWakeUp = this.#wakeUps.at(deadlineAtMs, () => this.#sharedDue(deadlineAtMs))
				break
			}
			due.push(each)
		}
		// All are out before anybody is told: who is told may come back at once, or take others with it.
		for (const each of due) this.remove(each)
		for (const each of due) this.#tooLate(each)
	}
}
