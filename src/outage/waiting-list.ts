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

/** What ends a wait, and with which error. */
export interface WaitingRules {
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
	previous: Waiter<C> | undefined
	next: Waiter<C> | undefined
	wakeUp: WakeUp | undefined
	onAbort: (() => void) | undefined
}

export class WaitingList<C> {
	readonly #scheduler: Scheduler
	readonly #rules: WaitingRules
	#head: Waiter<C> | undefined
	#tail: Waiter<C> | undefined
	#size = 0

	constructor(scheduler: Scheduler, rules: WaitingRules) {
		this.#scheduler = scheduler
		this.#rules = rules
	}

	get size(): number {
		return this.#size
	}

	/** Puts a caller at the end of the line, or at its head. */
	join(request: Request<C>, first: boolean): void {
		const waiter: Waiter<C> = { request, previous: undefined, next: undefined, wakeUp: undefined, onAbort: undefined }
		if (first) {
			waiter.next = this.#head
			if (this.#head !== undefined) this.#head.previous = waiter
			this.#head = waiter
			this.#tail ??= waiter
		} else {
			waiter.previous = this.#tail
			if (this.#tail !== undefined) this.#tail.next = waiter
			this.#tail = waiter
			this.#head ??= waiter
		}
		this.#size += 1
		this.#limit(waiter)
		const { signal } = request
		if (signal !== undefined) {
			waiter.onAbort = () => this.#fail(waiter, signal.reason)
			signal.addEventListener('abort', waiter.onAbort, { once: true })
		}
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
		waiter.request.done(error, undefined)
	}

	#remove(waiter: Waiter<C>): void {
		if (waiter.previous === undefined) this.#head = waiter.next
		else waiter.previous.next = waiter.next
		if (waiter.next === undefined) this.#tail = waiter.previous
		else waiter.next.previous = waiter.previous
		this.#size -= 1
		this.#scheduler.wakeUps.cancel(waiter.wakeUp)
		if (waiter.onAbort !== undefined) waiter.request.signal?.removeEventListener('abort', waiter.onAbort)
	}
}
