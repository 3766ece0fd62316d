/** Who gets the next connection of this pool? The queue of callers, first come first served, in front of one pool. */
import { classify } from '../classify/classify.ts'
import type { ConnectionSource } from '../contract.ts'
import { DeadlineError, type HoldfastError, OverloadError } from '../errors.ts'
import { describeEndpoint } from './describe.ts'
import type { Ending } from './ending.ts'
import type { Endpoint, Permit, Seeker } from './endpoint.ts'
import type { Scheduler } from './scheduler.ts'
import type { WakeUp } from './wakeups.ts'

/** A caller's wish for a connection. `done` is called exactly once. */
export interface Request<C> {
	/** When the wait ends, on the scheduler's clock; Infinity for never. */
	readonly deadlineAtMs: number
	readonly signal?: AbortSignal | undefined
	done(error: unknown, connection: C | undefined): void
}

/** A request that waits. The list is doubly linked: callers may leave from the middle. */
interface Waiter<C> {
	readonly request: Request<C>
	previous: Waiter<C> | undefined
	next: Waiter<C> | undefined
	wakeUp: WakeUp | undefined
	onAbort: (() => void) | undefined
}

/** What is known of a pooled connection. */
interface Stamp {
	generation: number
	/** The endpoint's count of lost connections when this one was last known to be alive. */
	losses: number
}

export interface CheckoutLimits {
	/** Callers that may wait while the endpoint is not up. */
	readonly maxWaiting: number
	/** How long a caller waits for a busy pool on an endpoint that is up: the pool's own option, where it has one. */
	readonly busyTimeoutMs: number | undefined
	/** The error of that time limit, as the bare pool words it. */
	busyTimeoutError(): Error
}

export class Checkout<C extends object> implements Seeker {
	readonly #source: ConnectionSource<C>
	readonly #endpoint: Endpoint
	readonly #scheduler: Scheduler
	readonly #limits: CheckoutLimits
	readonly #stamps = new WeakMap<C, Stamp>()
	readonly #giveUps = new Set<() => void>()
	#head: Waiter<C> | undefined
	#tail: Waiter<C> | undefined
	#waiting = 0
	// Idle connections asked for and not yet handed over: the pool still counts them as idle.
	#taking = 0
	#opening = 0
	readonly #ending: Ending

	constructor(source: ConnectionSource<C>, endpoint: Endpoint, scheduler: Scheduler, ending: Ending, limits: CheckoutLimits) {
		this.#source = source
		this.#endpoint = endpoint
		this.#scheduler = scheduler
		this.#ending = ending
		this.#limits = limits
		endpoint.join(this)
		ending.onEnd((error) => this.#close(error))
	}

	get capacity(): number {
		return this.#source.capacity
	}

	/** Callers that wait for a connection, at the gate or for a busy pool. */
	get waiting(): number {
		return this.#waiting
	}

	/** Asks for a connection. */
	acquire(request: Request<C>): void {
		if (this.#ending.error !== undefined) return request.done(this.#ending.error, undefined)
		if (request.signal?.aborted) return request.done(request.signal.reason, undefined)
		if (this.#head === undefined && this.#source.idle() > this.#taking) return this.#takeIdle(request)
		if (this.#endpoint.state !== 'up') {
			if (this.#waiting >= this.#limits.maxWaiting) return request.done(this.#overload(), undefined)
			// No wait is begun that cannot end in time.
			if (this.#endpoint.earliestMs() >= request.deadlineAtMs) return request.done(this.#tooLate(), undefined)
		}
		this.#enqueue(request, false)
		this.#pump()
	}

	/** A connection came back to the pool or left it: somebody may be waiting for that. */
	returned(): void {
		if (this.#head !== undefined) this.#pump()
	}

	/** The connection was lost, whoever held it. */
	lost(connection: C): void {
		const stamp = this.#stamps.get(connection)
		if (stamp === undefined) return
		this.#stamps.delete(connection)
		this.#endpoint.lost(stamp.generation)
	}

	/** Ends every wait with the error, gives up connection attempts, and leaves the endpoint. */
	#close(error: HoldfastError): void {
		this.#endpoint.leave(this)
		for (let waiter = this.#head; waiter !== undefined; waiter = this.#head) {
			this.#remove(waiter)
			waiter.request.done(error, undefined)
		}
		for (const giveUp of [...this.#giveUps]) giveUp()
		this.#scheduler.release(this.#endpoint)
	}

	/** The gate lets one connection attempt through. */
	open(permit: Permit): boolean {
		const wanted = this.#waiting - this.#taking - this.#opening
		if (wanted <= 0 || this.#source.total() >= this.#source.capacity) return false
		this.#opening += 1
		let giveUp: (() => void) | undefined
		const limit = this.#limitProbe(() => giveUp?.())
		giveUp = this.#source.open((error, connection) => {
			this.#scheduler.wakeUps.cancel(limit)
			if (giveUp !== undefined) this.#giveUps.delete(giveUp)
			this.#opening -= 1
			if (connection === undefined) this.#openFailed(permit, error)
			else {
				this.#stamps.set(connection, { generation: this.#endpoint.generation, losses: this.#endpoint.losses })
				// Served before the gate hears of it: it would open a second connection for the same caller.
				this.#serve(connection)
				permit.opened()
			}
			this.#pump()
		})
		if (limit.index >= 0) this.#giveUps.add(giveUp)
		return true
	}

	#openFailed(permit: Permit, error: unknown): void {
		const fault = classify(error, { phase: 'connect' })
		if (this.#ending.error !== undefined) permit.abandoned()
		else if (fault.retryable) permit.failed(fault, error)
		else {
			// A wrong password concerns the caller at the head; the others try for themselves.
			const waiter = this.#head
			if (waiter !== undefined) this.#remove(waiter)
			permit.refused()
			waiter?.request.done(error, undefined)
		}
	}

	#takeIdle(request: Request<C>): void {
		this.#taking += 1
		this.#source.take((_error, connection) => {
			this.#taking -= 1
			if (connection !== undefined && this.#ending.error === undefined && this.#isFresh(connection)) {
				request.done(undefined, connection)
				return
			}
			// It was first in line and stays so, while the connection is asked or replaced.
			if (this.#ending.error !== undefined) request.done(this.#ending.error, undefined)
			else this.#enqueue(request, true)
			if (connection !== undefined) this.#checkAndServe(connection)
			this.#pump()
		})
	}

	/** Gives waiting callers what there is, and asks the gate for what is missing. */
	#pump(): void {
		while (this.#waiting > this.#taking && this.#source.idle() > this.#taking) {
			this.#taking += 1
			this.#source.take((_error, connection) => {
				this.#taking -= 1
				if (connection !== undefined) this.#checkAndServe(connection)
				this.#pump()
			})
		}
		const wanted = this.#waiting - this.#taking - this.#opening
		if (wanted > 0 && this.#source.total() < this.#source.capacity) this.#endpoint.seek(this)
		else if (this.#waiting === 0) this.#endpoint.forgo(this)
	}

	/** True if it may be handed out without asking. */
	#isFresh(connection: C): boolean {
		const stamp = this.#stamps.get(connection)
		return stamp !== undefined && stamp.losses === this.#endpoint.losses && this.#source.isUsable(connection)
	}

	#checkAndServe(connection: C): void {
		if (this.#isFresh(connection)) return this.#serve(connection)
		if (this.#ending.error !== undefined) return this.#source.discard(connection, this.#ending.error)
		const { generation, losses } = this.#endpoint
		// A connection without a stamp was made before the pool was wrapped: it is asked.
		const stamp = this.#stamps.get(connection) ?? { generation, losses: -1 }
		if (stamp.generation !== generation || !this.#source.isUsable(connection)) {
			this.#source.discard(connection, undefined)
			return
		}
		let endWait: (() => void) | undefined
		const limit = this.#limitProbe(() => endWait?.())
		endWait = this.#source.ask(connection, (alive) => {
			this.#scheduler.wakeUps.cancel(limit)
			if (endWait !== undefined) this.#giveUps.delete(endWait)
			if (alive && this.#source.isUsable(connection)) {
				this.#stamps.set(connection, { generation, losses })
				this.#endpoint.confirmed()
				this.#checkAndServe(connection)
			} else {
				this.#source.discard(connection, undefined)
			}
			this.#pump()
		})
		if (limit.index >= 0) this.#giveUps.add(endWait)
	}

	/** Connection attempts and liveness checks have a time limit of their own: a silent server must not hold them for ever. */
	#limitProbe(end: () => void): WakeUp {
		const { wakeUps, clock } = this.#scheduler
		return wakeUps.at(clock.now() + this.#endpoint.probeTimeoutMs, end)
	}

	#serve(connection: C): void {
		const waiter = this.#head
		if (waiter === undefined) return this.#source.giveBack(connection)
		this.#remove(waiter)
		waiter.request.done(undefined, connection)
	}

	#enqueue(request: Request<C>, first: boolean): void {
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
		this.#waiting += 1
		this.#armLimit(waiter)
		const { signal } = request
		if (signal !== undefined) {
			waiter.onAbort = () => this.#fail(waiter, signal.reason)
			signal.addEventListener('abort', waiter.onAbort, { once: true })
		}
	}

	#armLimit(waiter: Waiter<C>): void {
		const { wakeUps, clock } = this.#scheduler
		const { deadlineAtMs } = waiter.request
		const busyAtMs = this.#limits.busyTimeoutMs === undefined ? Number.POSITIVE_INFINITY : clock.now() + this.#limits.busyTimeoutMs
		if (busyAtMs < deadlineAtMs) {
			waiter.wakeUp = wakeUps.at(busyAtMs, () => {
				// The pool's own limit is for a busy pool. In an outage the caller's deadline rules.
				if (this.#endpoint.state === 'up') this.#fail(waiter, this.#limits.busyTimeoutError())
				else this.#armDeadline(waiter)
			})
		} else this.#armDeadline(waiter)
	}

	#armDeadline(waiter: Waiter<C>): void {
		const { deadlineAtMs } = waiter.request
		if (deadlineAtMs === Number.POSITIVE_INFINITY) return
		waiter.wakeUp = this.#scheduler.wakeUps.at(deadlineAtMs, () => this.#fail(waiter, this.#tooLate()))
	}

	#fail(waiter: Waiter<C>, error: unknown): void {
		this.#remove(waiter)
		if (this.#waiting === 0) this.#endpoint.forgo(this)
		waiter.request.done(error, undefined)
	}

	#remove(waiter: Waiter<C>): void {
		if (waiter.previous === undefined) this.#head = waiter.next
		else waiter.previous.next = waiter.next
		if (waiter.next === undefined) this.#tail = waiter.previous
		else waiter.next.previous = waiter.previous
		this.#waiting -= 1
		this.#scheduler.wakeUps.cancel(waiter.wakeUp)
		if (waiter.onAbort !== undefined) waiter.request.signal?.removeEventListener('abort', waiter.onAbort)
	}

	#tooLate(): DeadlineError {
		const { lastError, lastFault } = this.#endpoint
		const text = `The deadline passed while the call waited for a connection to ${this.#endpoint.address}: ${this.#situation()}. Nothing was sent.`
		return new DeadlineError(text, { cause: this.#endpoint.state === 'up' ? undefined : lastError, fault: lastFault })
	}

	#overload(): OverloadError {
		const text = `${this.#waiting} callers already wait for ${this.#endpoint.address} (maxWaiting): ${this.#situation()}. Nothing was sent.`
		return new OverloadError(text, { cause: this.#endpoint.lastError })
	}

	#situation(): string {
		return describeEndpoint(this.#endpoint, this.#source.capacity)
	}
}
