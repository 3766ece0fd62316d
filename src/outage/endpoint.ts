/** May anybody open a connection to this server now? The state that all pools on one endpoint share. */
import type { Clock } from '../clock.ts'
import type { Fault } from '../fault.ts'
import { Crowd } from './crowd.ts'
import type { EndpointReport, EndpointState } from './endpoint-report.ts'
import { firstWindow, type Probing, probeDelayMs, widerWindow } from './probing.ts'
import type { WakeUp, WakeUps } from './wakeups.ts'

/** Somebody (a pool) whose callers need a connection. */
export interface Seeker {
	/** How many connections the pool may have: the pace ends when all of all pools could be opened at once. */
	readonly capacity: number
	/** Opens one connection under the permit and returns true, or returns false when nobody needs one any more. */
	open(permit: Permit): boolean
}

/** The right to make one connection attempt. Exactly one of its methods is called, once. */
export interface Permit {
	/** There is a session. */
	opened(): void
	/** The server answered with an error that only concerns this caller, such as a wrong password. */
	refused(): void
	/** The attempt was given up; it says nothing of the server. */
	abandoned(): void
	/** The attempt failed for a reason that hits everybody. */
	failed(fault: Fault, error: unknown): void
}

// The kinds after which a connection that still looks alive belongs to a server that is going or gone. After the others
// (a look-up that failed, a full server, a silent one) the old connections may well be healthy: they are asked, not replaced.
const replacesConnections = new Set(['connection_refused', 'starting_up', 'shutting_down', 'read_only'])

export class Endpoint {
	readonly address: string
	state: EndpointState = 'suspect'
	/** Grows with every outage. A connection of an older generation is replaced, not handed out. */
	generation = 0
	/** Grows whenever a connection is lost. A connection that was last seen alive before that is asked before it is handed out. */
	losses = 0
	outages = 0
	connectAttempts = 0
	lastFault: Fault | undefined
	/** The error of that fault, for as long as the outage lasts; undefined while the endpoint is up, and after. */
	lastError: unknown
	/** When anything last came from it, as far as those know who watch over links to it. */
	heardAtMs = Number.NEGATIVE_INFINITY
	/** It stands for several hosts: how long an attempt takes tells of those that were asked in vain, not of a crowd before one. */
	hasHosts = false
	readonly #clock: Clock
	readonly #wakeUps: WakeUps
	readonly #probing: Probing
	readonly #members = new Set<Seeker>()
	// First come, first served among pools; a Set keeps the order of insertion.
	readonly #seekers = new Set<Seeker>()
	#inFlight = 0
	#unansweredSinceMs: number | undefined
	#window = firstWindow
	#failures = 0
	readonly #crowd: Crowd
	#nextProbeAtMs = Number.NEGATIVE_INFINITY
	#probeWakeUp: WakeUp | undefined
	#granting = false

	constructor(address: string, clock: Clock, wakeUps: WakeUps, probing: Probing) {
		this.address = address
		this.#clock = clock
		this.#wakeUps = wakeUps
		this.#probing = probing
		this.#crowd = new Crowd(clock)
	}

	get probeTimeoutMs(): number {
		return this.#probing.timeoutMs
	}

	/** The wait after so many looks in a row that came to nothing. */
	pauseMs(looks: number): number {
		return probeDelayMs(looks, 'read_only', this.#probing, () => this.#clock.random())
	}

	/** No pool is on it and nothing is under way: it can be forgotten. */
	get unused(): boolean {
		return this.#members.size === 0 && this.#inFlight === 0
	}

	join(seeker: Seeker): void {
		this.#members.add(seeker)
	}

	leave(seeker: Seeker): void {
		this.#members.delete(seeker)
		this.forgo(seeker)
	}

	/** The earliest moment at which a caller that waits now could be let through. */
	earliestMs(): number {
		return this.#inFlight === 0 ? Math.max(this.#nextProbeAtMs, this.#clock.now()) : this.#clock.now()
	}

	/** Whether a connection that is in use now may still be handed to somebody else afterwards. */
	get keepsConnections(): boolean {
		return this.state !== 'down' || this.lastFault === undefined || !replacesConnections.has(this.lastFault.kind)
	}

	/**
	 * Whether an attempt may begin at once. The window holds in every state: an outage is noticed late by nature, and the burst of
	 * callers that meets it first would otherwise open as many connections at once as the pools have room for.
	 */
	get admits(): boolean {
		return this.#inFlight < this.#window && this.#clock.now() >= this.#nextProbeAtMs
	}

	/** A pool needs a connection. It is told by `open`, perhaps before this returns, again and again until it says that it needs no more. */
	seek(seeker: Seeker): void {
		this.#seekers.add(seeker)
		this.#grant()
	}

	/** The pool's callers have gone. */
	forgo(seeker: Seeker): void {
		this.#seekers.delete(seeker)
		if (this.#seekers.size === 0) this.#stopProbing()
	}

	/** A connection of the given generation was lost. One killed backend is no outage: the next connection attempt decides. */
	lost(generation: number): void {
		if (generation !== this.generation) return
		this.losses += 1
		if (this.state === 'up' || this.state === 'recovering') {
			this.state = 'suspect'
			this.#window = firstWindow
		}
	}

	/**
	 * Most work is given up on, after so long without an answer: each further connection makes the others wait longer. The next attempt is
	 * made at once all the same, for it tells whether there is a server.
	 */
	overloaded(afterMs: number): void {
		this.#crowd.overloaded(afterMs)
		this.#window = firstWindow
	}

	/**
	 * A connection of the given generation was refused a write: the server has become a replica, or the address another server's. Nobody
	 * gets a connection before one is found that takes writes.
	 */
	turnedReadOnly(generation: number, fault: Fault, error: unknown): void {
		if (generation !== this.generation) return
		this.lastFault = fault
		this.lastError = error
		this.#goDown(fault)
		this.#failures = 0
		this.#nextProbeAtMs = this.#clock.now()
		this.#grant()
	}

	/** Another server has the part of the one that connections were made to so far. */
	replaced(): void {
		this.generation += 1
		this.losses += 1
	}

	/**
	 * The right to one attempt here, for those who choose among several servers and keep their own pace; undefined while another attempt is
	 * under way and has not shown yet that the server answers.
	 */
	attempt(): Permit | undefined {
		if (this.#inFlight > 0 && this.state !== 'up' && this.state !== 'recovering') return undefined
		this.#inFlight += 1
		this.connectAttempts += 1
		return this.#permit()
	}

	/** Since when connection attempts are under way of which none has come to an end; undefined while none is under way. */
	get unansweredSinceMs(): number | undefined {
		return this.#inFlight === 0 ? undefined : this.#unansweredSinceMs
	}

	/** A connection that was asked whether it lives has answered. */
	confirmed(): void {
		if (this.state === 'suspect') this.#setUp()
		this.#grant()
	}

	report(): EndpointReport {
		const { address, state, outages, connectAttempts, lastFault } = this
		return { address, state, outages, connectAttempts, lastFault }
	}

	#grant(): void {
		// `open` may fail at once and come back here: one loop at a time, or the order of callers is lost.
		if (this.#granting) return
		this.#granting = true
		try {
			while (this.#seekers.size > 0 && this.admits) {
				const seeker = this.#seekers.values().next().value as Seeker
				this.#seekers.delete(seeker)
				// Back of the line before it opens: with several pools each gets its turn.
				this.#seekers.add(seeker)
				this.#inFlight += 1
				if (!seeker.open(this.#permit())) {
					this.#inFlight -= 1
					this.#seekers.delete(seeker)
				} else {
					this.connectAttempts += 1
				}
			}
		} finally {
			this.#granting = false
		}
		if (this.#seekers.size === 0 && this.#inFlight === 0) {
			this.#window = firstWindow
			if (this.state === 'recovering') this.#setUp()
		}
		this.#probeLater()
	}

	#permit(): Permit {
		let used = false
		const grantedIn = this.outages
		const grantedAtMs = this.#clock.now()
		if (this.#inFlight === 1) this.#unansweredSinceMs = this.#clock.now()
		const settle = (then: (tookMs: number) => void) => {
			if (used) return
			used = true
			this.#inFlight -= 1
			this.#unansweredSinceMs = this.#clock.now()
			then(this.hasHosts ? 0 : this.#clock.now() - grantedAtMs)
			this.#grant()
		}
		return {
			opened: () => settle((tookMs) => this.#succeeded(widerWindow(this.#window), tookMs)),
			refused: () => settle((tookMs) => this.#succeeded(this.#window, tookMs)),
			abandoned: () => settle(() => {}),
			failed: (fault, error) => settle((tookMs) => this.#failed(fault, error, grantedIn, tookMs)),
		}
	}

	#succeeded(window: number, tookMs: number): void {
		this.#failures = 0
		this.#crowd.answered(tookMs)
		this.#window = this.#crowd.isThere ? firstWindow : window
		this.#attemptAfter(0)
		if (this.state === 'up') return
		this.state = 'recovering'
		let capacity = 0
		for (const member of this.#members) capacity += member.capacity
		if (window >= capacity) this.#setUp()
	}

	#setUp(): void {
		this.state = 'up'
		this.lastError = undefined
	}

	#failed(fault: Fault, error: unknown, grantedIn: number, tookMs: number): void {
		this.lastFault = fault
		this.lastError = error
		// Attempts that were under way when the outage began tell nothing new, and must not lengthen the wait for the next probe.
		if (this.state === 'down' && grantedIn !== this.outages) return
		if (this.state !== 'down') this.#goDown(fault)
		this.#window = firstWindow
		this.#failures += 1
		this.#crowd.failed(fault.kind, tookMs)
		this.#attemptAfter(probeDelayMs(this.#failures, fault.kind, this.#probing, () => this.#clock.random()))
	}

	#attemptAfter(delayMs: number): void {
		this.#stopProbing()
		this.#nextProbeAtMs = this.#clock.now() + Math.max(delayMs, this.#crowd.delayMs())
	}

	#goDown(fault: Fault): void {
		if (this.state !== 'down') this.outages += 1
		this.state = 'down'
		this.#window = firstWindow
		if (replacesConnections.has(fault.kind)) this.generation += 1
		this.losses += 1
	}

	// A probe is planned only while somebody waits, so that a forgotten outage keeps no process alive.
	#probeLater(): void {
		if (this.#inFlight >= this.#window || this.#seekers.size === 0 || this.#probeWakeUp !== undefined) return
		this.#probeWakeUp = this.#wakeUps.at(this.#nextProbeAtMs, () => {
			this.#probeWakeUp = undefined
			this.#grant()
		})
	}

	#stopProbing(): void {
		this.#wakeUps.cancel(this.#probeWakeUp)
		this.#probeWakeUp = undefined
	}
}
