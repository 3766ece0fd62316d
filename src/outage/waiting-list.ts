/** Who waits for a connection, in which order, and what ends a wait? The callers of one pool, first come, first served. */
import type { Scheduler } from './scheduler.ts'
import type { WakeUp } from './wakeups.ts'

/** A caller's wish for a connection. `done` is called exactly once. */
export interface Request<C> {
	/** When the wait ends, on the scheduler's clock; Infinity for never. */
	readonly deadlineAtMs: number
	readonly signal?: AbortSignal | undefined
	done(error: unknown, connection: C | undefined): void
}

/**
 * Tells a caller what became of its request. What its callback throws surfaces as an uncaught exception, as it does with the bare
 * drivers, but not in here: the other callers would be forgotten.
 */
export function tell<C>(request: Request<C>, error: unknown, connection: C | undefined): void {
	try {
		request.done(error, connection)
	} catch (thrown) {
		queueMicrotask(() => {
			throw thrown
		})
	}
}

/** What ends a wait, and with which error. */
export interface WaitingRules {
	/** The pool's own signal, which ends every wait on it. */
	readonly signal: AbortSignal | undefined
	/** How long a caller waits for a busy pool: the pool's own option, where it has one. */
	readonly busyTimeoutMs: number | undefined
	/** Whether callers wait because the pool is busy. In an outage their deadlines rule. */
	isBusy(): boolean
	busyTimeoutError(): Error
	tooLateError(): Error
	/** A caller has left without a connection. */
	left(): void
}

/** The list is doubly linked: callers may leave from the middle. */
interface Waiter<C> {
	readonly request: Request<C>
	readonly place: number
	previous: Waiter<C> | undefined
	next: Waiter<C> | undefined
	wakeUp: WakeUp | undefined
	readonly onAbort: (reason: unknown) => void
}

export class WaitingList<C> {
	readonly #scheduler: Scheduler
	readonly #rules: WaitingRules
	#head: Waiter<C> | undefined
	#tail: Waiter<C> | undefined
	#size = 0
	#lastPlace = 0

	constructor(scheduler: Scheduler, rules: WaitingRules) {
		this.#scheduler = scheduler
		this.#rules = rules
	}

	get size(): number {
		return this.#size
	}

	/** A place behind everybody who has one. */
	nextPlace(): number {
		this.#lastPlace += 1
		return this.#lastPlace
	}

	/** Puts a caller into the line, before everybody with a later place. */
	join(request: Request<C>, place: number): void {
		// Those who had a place before they joined are few, and at the head.
		let next = this.#tail !== undefined && this.#tail.place < place ? undefined : this.#head
		while (next !== undefined && next.place < place) next = next.next
		const previous = next === undefined ? this.#tail : next.previous
		const waiter: Waiter<C> = { request, place, previous, next, wakeUp: undefined, onAbort: (reason) => this.#fail(waiter, reason) }
		if (previous === undefined) this.#head = waiter
		else previous.next = waiter
		if (next === undefined) this.#tail = waiter
		else next.previous = waiter
		this.#size += 1
		this.#limit(waiter)
		const { aborts } = this.#scheduler
		if (request.signal !== undefined) aborts.watch(request.signal, waiter.onAbort)
		if (this.#rules.signal !== undefined) aborts.watch(this.#rules.signal, waiter.onAbort)
	}

	/** Takes out the caller who has waited longest. */
	shift(): Request<C> | undefined {
		const waiter = this.#head
		if (waiter === undefined) return undefined
		this.#remove(waiter)
		return waiter.request
	}

	#limit(waiter: Waiter<C>): void {
		const { wakeUps, clock } = this.#scheduler
		const { busyTimeoutMs } = this.#rules
		const busyAtMs = busyTimeoutMs === undefined ? Number.POSITIVE_INFINITY : clock.now() + busyTimeoutMs
		if (busyAtMs >= waiter.request.deadlineAtMs) {
			this.#limitByDeadline(waiter)
			return
		}
		waiter.wakeUp = wakeUps.at(busyAtMs, () => {
			if (this.#rules.isBusy()) this.#fail(waiter, this.#rules.busyTimeoutError())
			else this.#limitByDeadline(waiter)
		})
	}

	#limitByDeadline(waiter: Waiter<C>): void {
		const { deadlineAtMs } = waiter.request
		if (deadlineAtMs === Number.POSITIVE_INFINITY) return
		waiter.wakeUp = this.#scheduler.wakeUps.at(deadlineAtMs, () => this.#fail(waiter, this.#rules.tooLateError()))
	}

	#fail(waiter: Waiter<C>, error: unknown): void {
		this.#remove(waiter)
		this.#rules.left()
		tell(waiter.request, error, undefined)
	}

	#remove(waiter: Waiter<C>): void {
		if (waiter.previous === undefined) this.#head = waiter.next
		else waiter.previous.next = waiter.next
		if (waiter.next === undefined) this.#tail = waiter.previous
		else waiter.next.previous = waiter.previous
		this.#size -= 1
		const { wakeUps, aborts } = this.#scheduler
		wakeUps.cancel(waiter.wakeUp)
		if (waiter.request.signal !== undefined) aborts.unwatch(waiter.request.signal, waiter.onAbort)
		if (this.#rules.signal !== undefined) aborts.unwatch(this.#rules.signal, waiter.onAbort)
	}
}
