/** Which connection does the next caller of this pool get? An idle one, one that was asked first, or a new one that the gate lets through. */
import type { ConnectionSource } from '../contract.ts'
import type { HoldfastError } from '../errors.ts'
import type { Fault } from '../fault.ts'
import { faultOfOpening } from '../session/hook-faults.ts'
import { Refusals } from './credentials.ts'
import { hopelessError, overloadError, tooLateError } from './describe.ts'
import type { Ending } from './ending.ts'
import type { Endpoint, Permit, Seeker } from './endpoint.ts'
import type { Freshness } from './freshness.ts'
import type { RetryBudget } from './retry-budget.ts'
import type { Scheduler } from './scheduler.ts'
import { tryToOpen, UnderWay } from './underway.ts'
import { type Request, tell, WaitingList, type WaitingRules } from './waiting-list.ts'

export interface CheckoutLimits<C extends object> extends Pick<WaitingRules, 'signal' | 'busyTimeoutMs' | 'busyTimeoutError'> {
	/** Callers that may wait while the endpoint is not up. */
	readonly maxWaiting: number
	readonly freshness: Freshness<C>
}

export class Checkout<C extends object> implements Seeker {
	readonly #source: ConnectionSource<C>
	readonly #endpoint: Endpoint
	readonly #scheduler: Scheduler
	readonly #ending: Ending
	readonly #limits: CheckoutLimits<C>
	readonly #line: WaitingList<C>
	readonly #budget: RetryBudget
	readonly #freshness: Freshness<C>
	readonly #underWay: UnderWay
	readonly #refusals: Refusals
	// What is on its way: idle connections asked for, which the pool still counts as idle, for callers outside the line and in it;
	// connections that are being asked whether they live; new ones.
	#claimed = 0
	#fetching = 0
	#asking = 0
	#opening = 0
	#ordered = false

	constructor(source: ConnectionSource<C>, endpoint: Endpoint, scheduler: Scheduler, ending: Ending, limits: CheckoutLimits<C>) {
		this.#source = source
		this.#endpoint = endpoint
		this.#scheduler = scheduler
		this.#ending = ending
		this.#limits = limits
		this.#freshness = limits.freshness
		this.#budget = scheduler.budget(endpoint)
		this.#underWay = new UnderWay(scheduler, endpoint.probeTimeoutMs)
		this.#refusals = new Refusals(scheduler, endpoint, () => this.#pump())
		this.#line = new WaitingList(scheduler, {
			...limits,
			isBusy: () => endpoint.state === 'up',
			tooLateError: () => tooLateError(endpoint, source.capacity),
			hopelessError: (ahead, perSecond) => hopelessError(endpoint, ahead, perSecond),
			left: () => this.#isIdle(),
		})
		endpoint.join(this)
		ending.onEnd((error) => this.#close(error))
	}

	get capacity(): number {
		return this.#source.capacity
	}

	/** At the gate or for a busy pool. */
	get waiting(): number {
		return this.#line.size
	}

	/** Asks for a connection. */
	acquire(request: Request<C>): void {
		const over = this.#whyOver(request)
		if (over !== undefined) tell(request, over.error, undefined)
		else if (this.#line.size === 0 && this.#unclaimed() > 0) this.#takeIdle(request)
		else this.#wait(request)
	}

	/** Lets those callers go who could go on elsewhere than at this pool. */
	moveFrom(pool: object): void {
		this.#line.moveFrom(pool)
	}

	/** A connection came back to the pool or left it: somebody may be waiting for that. */
	returned(): void {
		if (this.#line.size > 0) this.#pump()
	}

	/** The server refused a write on this connection because it takes none: nobody gets it, or its like, before one is found that does. */
	turnedReadOnly(connection: C, fault: Fault, error: unknown): void {
		const generation = this.#freshness.generationOf(connection)
		this.#endpoint.turnedReadOnly(generation ?? this.#endpoint.generation, fault, error)
	}

	/** The gate lets one connection attempt through. */
	open(permit: Permit): boolean {
		if (this.#wanted() <= 0 || this.#source.total() >= this.#source.capacity) return false
		this.#opening += 1
		this.#underWay.begin<[error: unknown, connection: C | undefined]>(
			(done) => tryToOpen(this.#source, done),
			(error, connection) => {
				this.#opening -= 1
				if (this.#ending.error !== undefined) this.#openedTooLate(permit, connection)
				else if (connection === undefined) this.#openFailed(permit, error)
				else {
					this.#freshness.seen(connection, this.#freshness.now())
					this.#refusals.opened()
					// Served before the gate hears of it: it would open a second connection for the same caller.
					this.#serve(connection)
					this.#budget.opened(this.#scheduler.clock.now())
					permit.opened()
				}
				this.#pump()
			},
		)
		return true
	}

	#openFailed(permit: Permit, error: unknown): void {
		const fault = faultOfOpening(error)
		if (fault.retryable) {
			// The attempt was for the caller at the head. Before the gate hears of it, which may let the next one through at once.
			const refused = this.#budget.mayConnectAgain(fault.kind, this.#scheduler.clock.now()) ? undefined : this.#line.shift()
			this.#line.halted()
			permit.failed(fault, error)
			if (refused === undefined) return
			this.#budget.refuse(error)
			tell(refused, error, undefined)
		} else {
			// Most refusals concern the caller at the head. A wrong password hits all whom no other connection could serve: it is tried once.
			const hitsAll = this.#refusals.hitAll(fault, this.#source.total() - this.#opening)
			const refused = [this.#line.shift()]
			while (hitsAll && this.#line.size > 0) refused.push(this.#line.shift())
			permit.refused()
			for (const request of refused) if (request !== undefined) tell(request, error, undefined)
		}
	}

	/** Why the request is over before it gets anything. */
	#whyOver({ signal }: Request<C>): { error: unknown } | undefined {
		if (this.#ending.error !== undefined) return { error: this.#ending.error }
		if (signal?.aborted) return { error: signal.reason }
		return this.#limits.signal?.aborted ? { error: this.#limits.signal.reason } : undefined
	}

	/** The pool has ended: what its attempt met says nothing, and the endpoint may be unused from now on. */
	#openedTooLate(permit: Permit, connection: C | undefined): void {
		if (connection !== undefined) this.#source.discard(connection, this.#ending.error)
		permit.abandoned()
		this.#scheduler.release(this.#endpoint)
	}

	#wait(request: Request<C>): void {
		const refusal = this.#endpoint.state === 'up' ? this.#line.refusal(request) : this.#refusal(request)
		if (refusal !== undefined) return tell(request, refusal, undefined)
		this.#line.join(request, this.#line.nextPlace())
		this.#pump()
	}

	#refusal(request: Request<C>): HoldfastError | undefined {
		// Somebody whose connection is under way, or begins to be, does not wait for the outage to end.
		const isNext = this.#line.size <= this.#fetching + this.#opening
		const atOnce = isNext && this.#source.total() < this.#source.capacity && this.#endpoint.admits
		if (this.#line.size >= this.#limits.maxWaiting && !atOnce) {
			const overloaded = overloadError(this.#endpoint, this.capacity, this.#line.size)
			// Batch work makes room for others.
			const dropped = request.isBatch ? undefined : this.#line.dropBatch()
			if (dropped === undefined) return overloaded
			tell(dropped, overloaded, undefined)
		}
		// No wait is begun that cannot end in time. A connection in use may come back before the next probe.
		if (this.#source.total() > 0 && this.#endpoint.keepsConnections) return undefined
		return this.#endpoint.earliestMs() >= request.deadlineAtMs ? tooLateError(this.#endpoint, this.capacity) : undefined
	}

	/** The usual case costs no place in the line: nobody waits, and an idle connection is there. */
	#takeIdle(request: Request<C>): void {
		const place = this.#line.nextPlace()
		const now = request.mayGoAtOnce ? this.#source.takeNow?.() : undefined
		if (now !== undefined) return this.#handOver(request, place, now)
		this.#claimed += 1
		this.#source.take((_error, connection) => {
			this.#claimed -= 1
			this.#handOver(request, place, connection)
		})
	}

	#handOver(request: Request<C>, place: number, connection: C | undefined): void {
		const over = this.#whyOver(request)
		if (over === undefined && connection !== undefined && this.#isFresh(connection)) {
			tell(request, undefined, connection)
			return this.returned()
		}
		// It keeps its place while the connection is asked or replaced.
		if (over === undefined) this.#line.join(request, place)
		else tell(request, over.error, undefined)
		if (connection !== undefined) this.#checkAndServe(connection)
		this.#pump()
	}

	/** Gives waiting callers what there is, and asks the gate for what is missing. */
	#pump(): void {
		// One that is being asked counts: a single caller must not have all idle connections asked.
		while (this.#line.size > this.#fetching + this.#asking && this.#unclaimed() > 0) {
			this.#fetching += 1
			this.#source.take((_error, connection) => {
				this.#fetching -= 1
				if (connection !== undefined) this.#checkAndServe(connection)
				this.#pump()
			})
		}
		if (this.#isIdle() || this.#wanted() <= 0) return
		if (this.#source.total() < this.#source.capacity) this.#endpoint.seek(this)
		else this.#order()
	}

	/** While callers wait for a busy pool, one standing order: the connection that comes back next takes no detour. */
	#order(): void {
		// One that is idle still has been claimed: it is about to be handed over.
		if (this.#ordered || this.#source.order === undefined || this.#source.idle() > 0) return
		this.#ordered = true
		this.#source.order(this.#delivered)
	}

	readonly #delivered = (connection: C | undefined): void => {
		this.#ordered = false
		if (connection !== undefined) this.#checkAndServe(connection)
		this.#pump()
	}

	/** Whether nobody waits. Then nothing is wanted any more. */
	#isIdle(): boolean {
		if (this.#line.size > 0) return false
		this.#endpoint.forgo(this)
		this.#refusals.rest()
		// Or the next connection that comes back would be taken out for nobody, and the pool say until then that somebody waits.
		if (this.#ordered && this.#source.recall?.()) this.#ordered = false
		return true
	}

	#unclaimed(): number {
		return this.#source.idle() - this.#claimed - this.#fetching
	}

	/** Connections that have to be opened. While the endpoint is not up, an attempt decides sooner than a question over a silent link. */
	#wanted(): number {
		const asked = this.#endpoint.state === 'up' ? this.#asking : 0
		const wanted = this.#line.size - this.#fetching - this.#opening - asked
		return wanted > 0 && this.#refusals.holdBack(this.#source.total() - this.#opening) ? 0 : wanted
	}

	/** True if it may be handed out without asking. */
	#isFresh(connection: C): boolean {
		return this.#freshness.judge(connection) === 'fresh' && this.#source.isUsable(connection)
	}

	#checkAndServe(connection: C): void {
		if (this.#isFresh(connection)) this.#serve(connection)
		else if (this.#ending.error !== undefined) this.#source.discard(connection, this.#ending.error)
		else if (this.#freshness.judge(connection) === 'stale' || !this.#source.isUsable(connection))
			this.#source.discard(connection, undefined)
		else this.#ask(connection)
	}

	#ask(connection: C): void {
		const before = this.#freshness.now()
		this.#asking += 1
		this.#underWay.begin<[alive: boolean]>(
			(done) => this.#source.ask(connection, done),
			(alive) => {
				this.#asking -= 1
				if (alive && this.#source.isUsable(connection)) {
					this.#freshness.seen(connection, before)
					this.#endpoint.confirmed()
					this.#checkAndServe(connection)
				} else this.#source.discard(connection, undefined)
				this.#pump()
			},
		)
	}

	#serve(connection: C): void {
		const request = this.#line.serve()
		if (request === undefined) this.#source.giveBack(connection)
		else tell(request, undefined, connection)
	}

	/** Ends every wait with the error, gives up connection attempts, and leaves the endpoint. */
	#close(error: HoldfastError): void {
		this.#endpoint.leave(this)
		for (let request = this.#line.shift(); request !== undefined; request = this.#line.shift()) tell(request, error, undefined)
		this.#underWay.end()
		this.#refusals.rest()
		this.#scheduler.release(this.#endpoint)
	}
}
