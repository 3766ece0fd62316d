/** Which links of this pool are dead, although nobody has said so? Looks where an answer stays out, and cuts what is proven dead. */
import { HoldfastError } from '../errors.ts'
import { resolveHost } from '../hosts/addresses.ts'
import type { Host } from '../hosts/host.ts'
import type { Endpoint, Permit, Seeker } from '../outage/endpoint.ts'
import type { Scheduler } from '../outage/scheduler.ts'
import type { WakeUp } from '../outage/wakeups.ts'
import type { Links, Sights } from './links.ts'
import { look, type Seen } from './look.ts'
import { Outstanding, type Wait } from './outstanding.ts'
import { Patience } from './patience.ts'
import { findingOf, isConfirmed, presenceOf, why } from './proof.ts'

/** The pool whose links are watched. */
export interface Watched {
	readonly scheduler: Scheduler
	/** The address of its endpoint. */
	readonly address: string
	/** The servers that it chooses from; undefined where it has one address. */
	readonly hosts: readonly Host[] | undefined
	/** Whether anybody has a connection or waits for one. */
	isInUse(): boolean
	readonly counters: {
		/** Links that were cut. */
		halfOpen: number
	}
}

const isAny = <T>(list: readonly T[]): list is readonly [T, ...T[]] => list.length > 0

const scansPerWait = 8
// A server with much to do takes its time for a new connection, also where the user has little.
const shortestLookMs = 1_000

/**
 * A call that waits costs nothing here: while the pool is in use, its connections are looked through a few times a second, by one
 * wake-up of the scheduler that keeps no process alive.
 */
export class Lookout<C extends object> implements Seeker {
	readonly capacity = 1
	readonly #links: Links<C>
	readonly #pool: Watched
	readonly #halfOpenAfterMs: number
	readonly #patience: Patience
	readonly #outstanding: Outstanding<C>
	#wakeUp: WakeUp | undefined
	#seenAtMs = Number.NEGATIVE_INFINITY
	#isLooking = false
	/** The endpoint whose gate was asked to let a look through. */
	#sought: Endpoint | undefined
	#isResolving = false
	// The address leads to several servers, or has done so: one that does not know a connection proves nothing.
	#several = false
	/** The connections that there were when a look was refused for wrong credentials: until there is another one, nobody may look. */
	#refusedWith: WeakSet<C> | undefined
	#endLook: (() => void) | undefined

	constructor(links: Links<C>, pool: Watched, halfOpenAfterMs: number) {
		this.#links = links
		this.#pool = pool
		this.#halfOpenAfterMs = halfOpenAfterMs
		this.#patience = new Patience(halfOpenAfterMs / 2, halfOpenAfterMs)
		this.#outstanding = new Outstanding(links, ({ connection, finding, sinceMs }, nowMs) => {
			links.keepAlive(connection, false)
			this.#patience.answered(nowMs - sinceMs)
			// It was alive all the time.
			if (finding?.presence === 'missing') this.#several = true
		})
	}

	/** Somebody begins to use the pool. */
	watch(): void {
		if (this.#wakeUp === undefined) this.#arm()
	}

	/** The time, after `watch`, to within one scan: for those to whom asking the clock would be dear. */
	get nowMs(): number {
		return this.#seenAtMs
	}

	/** Stops looking. */
	end(): void {
		this.#sought?.forgo(this)
		this.#pool.scheduler.watches.cancel(this.#wakeUp)
		this.#wakeUp = undefined
		this.#isLooking = false
		this.#endLook?.()
	}

	/** The gate lets the look through. */
	open(permit: Permit): boolean {
		const { scheduler } = this.#pool
		const endpoint = this.#sought as Endpoint
		endpoint.forgo(this)
		const beganAtMs = this.#now()
		this.#update(0)
		if (this.#endLook !== undefined || this.#overdue(beganAtMs).length === 0) {
			this.#isLooking = this.#endLook !== undefined
			return false
		}
		const asked = [...this.#links.connections()]
		const isSilent = () => {
			this.#update(0)
			return this.#outstanding.heardAtMs < beganAtMs
		}
		let isOver = false
		const endLook = look({ scheduler, endpoint, permit, limitMs: this.#lookMs }, this.#links, asked, isSilent, (seen) => {
			isOver = true
			this.#endLook = undefined
			this.#isLooking = false
			this.#judge(seen, beganAtMs)
		})
		if (!isOver) this.#endLook = endLook
		return true
	}

	/** The scheduler forgets one that nobody uses, and makes it anew. */
	get #endpoint(): Endpoint {
		const { scheduler, address } = this.#pool
		return scheduler.endpoint(address)
	}

	get #lookMs(): number {
		return Math.min(Math.max(this.#halfOpenAfterMs, shortestLookMs), this.#endpoint.probeTimeoutMs)
	}

	#now(): number {
		return this.#pool.scheduler.clock.now()
	}

	#arm(): void {
		const everyMs = this.#halfOpenAfterMs / scansPerWait
		this.#seenAtMs = this.#now()
		const dueAtMs = this.#seenAtMs + everyMs
		this.#wakeUp = this.#pool.scheduler.watches.at(dueAtMs, () => {
			this.#wakeUp = undefined
			const tooLateMs = this.#now() - dueAtMs
			// A process that was busy has not read yet what came meanwhile.
			const wasBusy = tooLateMs > everyMs
			this.#update(wasBusy ? tooLateMs : 0)
			if (!wasBusy) this.#seek()
			if (this.#pool.isInUse()) this.#arm()
			else this.end()
		})
	}

	#update(missedMs: number): void {
		this.#outstanding.update(this.#now(), missedMs)
		const endpoint = this.#pool.scheduler.known(this.#pool.address)
		if (endpoint !== undefined) endpoint.heardAtMs = Math.max(endpoint.heardAtMs, this.#outstanding.heardAtMs)
	}

	#overdue(nowMs: number): Wait<C>[] {
		return [...this.#outstanding.waits()].filter((wait) => nowMs - wait.askedAtMs >= this.#patienceFor(wait))
	}

	/** A second look is soon; after one that spoke for the link it is clear that this call takes longer than others do. */
	#patienceFor({ finding, askedAtMs, sinceMs }: Wait<C>): number {
		if (finding !== undefined) return this.#halfOpenAfterMs / 2
		return askedAtMs > sinceMs ? this.#halfOpenAfterMs : this.#patience.nowMs
	}

	/** Has a look taken where a call is overdue. */
	#seek(): void {
		const overdue = this.#overdue(this.#now())
		if (!isAny(overdue)) return
		for (const { connection } of overdue) this.#links.keepAlive(connection, true)
		if (this.#isUnreachable()) this.#cutOnceResolved(overdue)
		else if (!this.#isLooking && this.#mayLook()) {
			this.#isLooking = true
			this.#sought = this.#endpoint
			this.#sought.seek(this)
		}
	}

	/** Looks that are refused again and again would lock the account. */
	#mayLook(): boolean {
		const refused = this.#refusedWith
		if (refused !== undefined && [...this.#links.connections()].every((connection) => refused.has(connection))) return false
		this.#refusedWith = undefined
		return true
	}

	/** Those attempts may wait for a name server instead: that says nothing of this one. */
	#cutOnceResolved([{ connection }]: readonly [Wait<C>, ...Wait<C>[]]): void {
		if (this.#isResolving) return
		this.#isResolving = true
		resolveHost(this.#links.hostOf(connection).host, (error) => {
			this.#isResolving = false
			if (error !== undefined || !this.#isUnreachable()) return
			for (const wait of this.#overdue(this.#now())) this.#cut(wait, 'the server cannot be reached')
		})
	}

	/** Others try to connect, and are not answered for as long as a look may take, and no pool has heard anything meanwhile. */
	#isUnreachable(): boolean {
		const { unansweredSinceMs, heardAtMs } = this.#endpoint
		if (unansweredSinceMs === undefined || this.#now() - unansweredSinceMs < this.#lookMs) return false
		return heardAtMs < unansweredSinceMs
	}

	#judge(seen: Seen<C>, beganAtMs: number): void {
		this.#update(0)
		const asked = [...this.#outstanding.waits()].filter(({ sinceMs }) => sinceMs < beganAtMs)
		if (seen.what === 'silence') {
			for (const wait of asked) this.#cut(wait, 'the server cannot be reached')
			return
		}
		if (seen.what === 'refusal') this.#refusedWith = new WeakSet(this.#links.connections())
		if (seen.what === 'answer' && this.#missesLiving(seen.sights, beganAtMs)) this.#several = true
		for (const wait of asked) {
			wait.askedAtMs = this.#now()
			if (seen.what === 'answer') this.#note(wait, seen.sights)
			else wait.finding = undefined
		}
	}

	/** Whether this server does not know a connection that was heard since it was asked: then it is not the only one. */
	#missesLiving({ of }: Sights<C>, beganAtMs: number): boolean {
		for (const connection of this.#links.connections())
			if (of.get(connection)?.presence === 'missing' && this.#outstanding.heardOverAtMs(connection) >= beganAtMs) return true
		return false
	}

	#note(wait: Wait<C>, { server, of }: Sights<C>): void {
		const sight = of.get(wait.connection)
		const presence = sight === undefined ? 'hidden' : presenceOf(sight, this.#outstanding.ageMs(wait.connection, this.#now()))
		const finding = presence === 'missing' && this.#several ? undefined : findingOf(presence, server)
		if (finding !== undefined && isConfirmed(wait.finding, finding)) this.#cut(wait, why(presence))
		else wait.finding = finding
	}

	#cut(wait: Wait<C>, reason: string): void {
		const ms = Math.round(this.#now() - wait.sinceMs)
		const text = `The connection to ${this.#pool.address} was closed: no answer came for ${ms} ms, and ${reason}.`
		this.#outstanding.forget(wait)
		this.#pool.counters.halfOpen += 1
		this.#links.cut(wait.connection, new HoldfastError('HOLDFAST_LINK_LOST', text))
	}
}
