/** Who waits for a connection, in which order, and what ends a wait? The callers of one pool, first come, first served. */
import { Hope, longLine } from './hope.ts'
import { Line, Waiter } from './line.ts'
import type { Scheduler } from './scheduler.ts'

/** A caller's wish for a connection. `done` is called exactly once. */
export interface Wish<C> {
	/** When the wait ends, on the scheduler's clock; Infinity for never. */
	readonly deadlineAtMs: number
	readonly signal?: AbortSignal | undefined
	/** It lets the others go first. */
	readonly isBatch?: boolean | undefined
	/** Whether `done` may be called before whoever asks for a connection has returned. */
	readonly mayGoAtOnce?: boolean | undefined
	done(error: unknown, connection: C | undefined): void
}

/** A wish that can stand in the line itself. */
export abstract class Request<C> extends Waiter implements Wish<C> {
	abstract readonly signal: AbortSignal | undefined
	abstract readonly isBatch: boolean
	abstract done(error: unknown, connection: C | undefined): void

	/** Whether `done` may be called before whoever asks for a connection has returned. */
	get mayGoAtOnce(): boolean {
		return false
	}

	/** Whether it could go on elsewhere than at this pool now: what starts it there, once it is out of this line. */
	elsewhere(_from: object): (() => void) | undefined {
		return undefined
	}
}

class PlainRequest<C> extends Request<C> {
	readonly deadlineAtMs: number
	readonly signal: AbortSignal | undefined
	readonly isBatch: boolean
	readonly #wish: Wish<C>

	constructor(wish: Wish<C>) {
		super()
		this.deadlineAtMs = wish.deadlineAtMs
		this.signal = wish.signal
		this.isBatch = wish.isBatch === true
		this.#wish = wish
	}

	override get mayGoAtOnce(): boolean {
		return this.#wish.mayGoAtOnce === true
	}

	done(error: unknown, connection: C | undefined): void {
		this.#wish.done(error, connection)
	}
}

export const requestOf = <C>(wish: Wish<C>): Request<C> => (wish instanceof Request ? wish : new PlainRequest(wish))

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
	/** The error of that time limit, as the bare pool words it. */
	busyTimeoutError(): Error
	tooLateError(): Error
	/** The error of a caller who could not be served before its deadline: so many are before it, and so many are served a second. */
	hopelessError(ahead: number, perSecond: number): Error
	/** A caller has left without a connection. */
	left(): void
}

// While both wait, every eighth connection is for batch work: it gets on, however busy the others are.
const batchShare = 8

export class WaitingList<C> {
	readonly #scheduler: Scheduler
	readonly #rules: WaitingRules
	readonly #callers: Line<Request<C>>
	readonly #batch: Line<Request<C>>
	#lastPlace = 0
	readonly #hope: Hope
	#untilBatch = batchShare
	#watched = false

	constructor(scheduler: Scheduler, rules: WaitingRules) {
		this.#scheduler = scheduler
		this.#rules = rules
		this.#hope = new Hope(scheduler.clock)
		const tooLate = (request: Request<C>) => this.#failed(request, rules.tooLateError())
		this.#callers = new Line(scheduler.wakeUps, tooLate)
		this.#batch = new Line(scheduler.wakeUps, tooLate)
	}

	get size(): number {
		return this.#callers.size + this.#batch.size
	}

	/** A place behind everybody who has one. */
	nextPlace(): number {
		this.#lastPlace += 1
		return this.#lastPlace
	}

	/** Puts a caller into the line, before everybody with a later place. */
	join(request: Request<C>, place: number): void {
		const line = this.#lineOf(request)
		line.join(request, place)
		const { signal, busyTimeoutMs } = this.#rules
		if (busyTimeoutMs === undefined || !this.#limitWhileBusy(line, request, busyTimeoutMs)) line.limit(request)
		if (request.signal !== undefined) this.#watch(line, request, request.signal)
		if (signal !== undefined && !this.#watched) {
			this.#watched = true
			this.#scheduler.aborts.watch(signal, this.#poolAborted)
		}
	}

	/** Takes out the caller whose turn it is. */
	shift(): Request<C> | undefined {
		let line = this.#callers
		if (this.#batch.size > 0) {
			this.#untilBatch -= 1
			if (line.size === 0 || this.#untilBatch <= 0) {
				line = this.#batch
				this.#untilBatch = batchShare
			}
		}
		const request = line.head
		if (request === undefined) return undefined
		line.remove(request)
		this.#gone(request)
		return request
	}

	/** Takes out the caller who is to be served now. Looks from time to time who behind it can still be. */
	serve(): Request<C> | undefined {
		const isLong = this.size >= longLine
		const request = this.shift()
		if (!isLong) this.#hope.forget()
		else if (this.#hope.served()) this.#shed()
		return request
	}

	/** Nobody is served for a while. */
	halted(): void {
		this.#hope.forget()
	}

	/** The error of a newcomer who could not be served before its deadline; undefined for all others. */
	refusal(request: Request<C>): Error | undefined {
		const { perMs } = this.#hope
		if (perMs === undefined || this.size < longLine) return undefined
		const line = this.#lineOf(request)
		const inMs = line.size / this.#paceOf(line, perMs)
		if (this.#scheduler.clock.now() + inMs <= request.deadlineAtMs) return undefined
		return this.#rules.hopelessError(line.size, perMs * 1_000)
	}

	/** Takes out the batch caller who came last. */
	dropBatch(): Request<C> | undefined {
		const request = this.#batch.tail
		if (request === undefined) return undefined
		this.#batch.remove(request)
		this.#gone(request)
		return request
	}

	#paceOf(line: Line<Request<C>>, perMs: number): number {
		if (line === this.#batch && this.#callers.size > 0) return perMs / batchShare
		return line === this.#callers && this.#batch.size > 0 ? perMs * (1 - 1 / batchShare) : perMs
	}

	/** Who is beyond hope is told now instead of at its deadline. Those behind move up. */
	#shed(): void {
		const perMs = this.#hope.perMs as number
		const nowMs = this.#scheduler.clock.now()
		const shed: { request: Request<C>; ahead: number }[] = []
		for (const line of [this.#callers, this.#batch]) {
			const pace = this.#paceOf(line, perMs)
			let ahead = 0
			for (let request = line.head; request !== undefined; request = request.next) {
				if (nowMs + ahead / pace > request.deadlineAtMs) shed.push({ request, ahead })
				else ahead += 1
			}
		}
		for (const { request } of shed) {
			this.#lineOf(request).remove(request)
			this.#gone(request)
		}
		if (shed.length > 0) this.#rules.left()
		for (const { request, ahead } of shed) tell(request, this.#rules.hopelessError(ahead, perMs * 1_000), undefined)
	}

	/** Lets those go who could go on elsewhere than at this pool. */
	moveFrom(pool: object): void {
		const moves: (() => void)[] = []
		for (const line of [this.#callers, this.#batch]) {
			for (let request = line.head, next = request?.next; request !== undefined; request = next) {
				next = request.next
				const move = request.elsewhere(pool)
				if (move === undefined) continue
				line.remove(request)
				this.#gone(request)
				moves.push(move)
			}
		}
		if (moves.length > 0) this.#rules.left()
		for (const move of moves) move()
	}

	#lineOf(request: Request<C>): Line<Request<C>> {
		return request.isBatch === true ? this.#batch : this.#callers
	}

	/** Whether the pool's own limit comes before the deadline. */
	#limitWhileBusy(line: Line<Request<C>>, request: Request<C>, busyTimeoutMs: number): boolean {
		const { wakeUps, clock } = this.#scheduler
		const busyAtMs = clock.now() + busyTimeoutMs
		if (busyAtMs >= request.deadlineAtMs) return false
		const wakeUp = wakeUps.at(busyAtMs, () => {
			if (!this.#rules.isBusy()) return line.limit(request)
			line.remove(request)
			this.#failed(request, this.#rules.busyTimeoutError())
		})
		request.own = { wakeUp }
		return true
	}

	#watch(line: Line<Request<C>>, request: Request<C>, signal: AbortSignal): void {
		const onAbort = (reason: unknown) => {
			if (line.remove(request)) this.#failed(request, reason)
		}
		request.own = { ...request.own, onAbort }
		this.#scheduler.aborts.watch(signal, onAbort)
	}

	readonly #poolAborted = (reason: unknown): void => {
		for (let request = this.shift(); request !== undefined; request = this.shift()) {
			this.#rules.left()
			tell(request, reason, undefined)
		}
	}

	#failed(request: Request<C>, error: unknown): void {
		this.#gone(request)
		this.#rules.left()
		tell(request, error, undefined)
	}

	/** It is out of its line. */
	#gone(request: Request<C>): void {
		const { aborts } = this.#scheduler
		const { own, signal } = request
		request.own = undefined
		if (own?.onAbort !== undefined) aborts.unwatch(signal as AbortSignal, own.onAbort)
		if (!this.#watched || this.size > 0) return
		this.#watched = false
		aborts.unwatch(this.#rules.signal as AbortSignal, this.#poolAborted)
	}
}
