/** Which of several servers gets this connection attempt? They are asked in turn, and one that is silent does not keep the others waiting. */
import { classify } from '../classify/classify.ts'
import type { OpenAt, ServerRole } from '../contract.ts'
import type { Endpoint } from '../outage/endpoint.ts'
import type { Scheduler } from '../outage/scheduler.ts'
import type { WakeUp } from '../outage/wakeups.ts'
import { resolveHost } from './addresses.ts'
import { noHostError, type Unsuitable } from './errors.ts'
import { addressOf, type Host } from './host.ts'
import type { HostList } from './list.ts'
import { rounds, type Wanted } from './role.ts'

/** What the tours of one pool have in common. */
export interface Region<C extends object> {
	readonly scheduler: Scheduler
	/** The endpoint that the list is. */
	readonly endpoint: Endpoint
	readonly list: HostList
	readonly hosts: readonly Host[]
	readonly wanted: Wanted
	/** What is known of a host, for everybody who talks to it. */
	at(host: Host): Endpoint
	readonly openAt: OpenAt<C>
	/** The connection was made at this endpoint. */
	met(connection: C, at: Endpoint): void
}

/** A server to be asked: a host, or one of the addresses that its name stands for. */
interface Stop {
	readonly host: Host
	readonly address?: string
}

/** A server that is being asked. */
interface Asking {
	giveUp(timedOut: boolean): void
}

// As long as "happy eyeballs" waits for an address before it tries the next as well (RFC 8305, section 5).
const patienceMs = 250

/** One connection attempt of the gate: each server is asked at most once at a time, and at most one of them answers it. */
export class Tour<C extends object> {
	readonly #in: Region<C>
	readonly #done: (error: unknown, connection: C | undefined) => void
	#queue: Stop[]
	readonly #asking = new Set<Asking>()
	/** Those of them that were given time to answer. */
	#silent = 0
	#round = 0
	#passes = 0
	/** Servers that have answered without being what is wanted, and those that others are asking. */
	#again: Stop[] = []
	#answered: Unsuitable[] = []
	#errors: unknown[] = []
	#nextPass: WakeUp | undefined
	#settled = false
	readonly #startedAtMs: number

	constructor(region: Region<C>, done: (error: unknown, connection: C | undefined) => void) {
		this.#in = region
		this.#done = done
		this.#queue = orderOf(region)
		this.#startedAtMs = region.scheduler.clock.now()
	}

	start(): void {
		const first = this.#queue.shift()
		if (first !== undefined) this.#ask(first)
	}

	/** Gives up every attempt: the error of one of them is that of the tour. */
	giveUp(): void {
		this.#queue = []
		this.#again = []
		const { scheduler, endpoint } = this.#in
		const timedOut = scheduler.clock.now() - this.#startedAtMs >= endpoint.probeTimeoutMs
		for (const asking of [...this.#asking]) asking.giveUp(timedOut)
		this.#fail()
	}

	/** Another tour of the list is over. */
	resume(): void {
		if (this.#settled) return
		const { found } = this.#in.list
		if (found === undefined) this.#fail()
		else this.#ask({ host: found })
	}

	#next(): void {
		if (this.#settled) return
		const { list, wanted } = this.#in
		if (wanted === 'primary') {
			// With many attempts under way to a server that has just died, one of them goes round and the others hear from it.
			if (list.touring !== undefined && list.touring !== this) return list.await(this)
			list.touring = this
		}
		const stop = this.#queue.shift()
		if (stop === undefined) this.#endRound()
		else this.#ask(stop)
	}

	#ask(stop: Stop): void {
		const { scheduler, openAt, list } = this.#in
		const { host, address } = stop
		// An address of several belongs to the look-up: it is known for as long as it is being asked.
		const endpoint = address === undefined ? this.#in.at(host) : scheduler.endpoint(`${addressOf(host)}#${address}`)
		const permit = endpoint.attempt()
		if (permit === undefined) {
			this.#again.push(stop)
			return this.#next()
		}
		const { wakeUps, clock } = scheduler
		let over = false
		let isSilent = false
		let stopOpening = () => {}
		const leave = (): boolean => {
			if (over) return false
			over = true
			wakeUps.cancel(patience)
			this.#asking.delete(asking)
			if (isSilent) this.#silent -= 1
			return true
		}
		const asking: Asking = {
			giveUp: (timedOut) => {
				// One that was silent for as long as an attempt may take has failed. Of the others nothing is known.
				if (!(timedOut && isSilent) && leave()) permit.abandoned()
				stopOpening()
			},
		}
		const patience = wakeUps.at(clock.now() + patienceMs, () => {
			isSilent = true
			this.#silent += 1
			this.#next()
		})
		this.#asking.add(asking)
		let role: ServerRole | undefined
		const suits = (said: ServerRole): boolean => {
			role = said
			list.heard(stop.host, said)
			return this.#suits(said)
		}
		const opened = (error: unknown, connection: C | undefined) => {
			answered(error, connection)
			if (address !== undefined) scheduler.release(endpoint)
		}
		const answered = (error: unknown, connection: C | undefined) => {
			if (!leave()) return
			if (connection !== undefined) {
				this.#in.met(connection, endpoint)
				if (this.#in.wanted === 'primary') list.foundAt(stop.host)
				this.#settle(undefined, connection)
				return permit.opened()
			}
			if (role !== undefined && !this.#suits(role)) {
				// It answers; but that is no news for those who have found it to take no writes.
				if (role !== 'primary' && endpoint.lastFault?.kind === 'read_only') permit.abandoned()
				else permit.opened()
				this.#answered.push({ address: addressOf(stop.host), role })
				this.#again.push(stop)
				return this.#next()
			}
			list.forget(stop.host)
			const fault = classify(error, { phase: 'connect' })
			if (fault.retryable) permit.failed(fault, error)
			else {
				// Wrong credentials are wrong everywhere: the others are not bothered with them.
				permit.refused()
				return this.#settle(error, undefined)
			}
			this.#errors.push(error)
			this.#next()
		}
		const open = (address: string | undefined) => {
			if (over) return
			stopOpening = openAt({ ...stop.host, address }, suits, opened)
		}
		if (stop.address !== undefined) return open(stop.address)
		resolveHost(stop.host.host, (error, addresses) => {
			if (over) return
			if (error !== undefined) return opened(error, undefined)
			if (addresses.length <= 1) return open(undefined)
			leave()
			permit.abandoned()
			this.#queue.unshift(...addresses.map((address) => ({ host: stop.host, address })))
			this.#next()
		})
	}

	#suits(role: ServerRole): boolean {
		return rounds[this.#in.wanted][this.#round]?.includes(role) === true
	}

	/** Everybody was asked. Those who have answered are asked again for as long as somebody else is silent; then it is over. */
	#endRound(): void {
		if (this.#asking.size > this.#silent || this.#nextPass !== undefined) return
		if (this.#answered.length > 0 && this.#round + 1 < rounds[this.#in.wanted].length) {
			this.#round += 1
			this.#begin()
			return this.#next()
		}
		const isWaiting = this.#silent > 0 || this.#again.length > this.#answered.length
		if (!isWaiting) return this.#fail()
		if (this.#again.length === 0) return
		const { scheduler, endpoint } = this.#in
		this.#passes += 1
		this.#nextPass = scheduler.wakeUps.at(scheduler.clock.now() + endpoint.pauseMs(this.#passes), () => {
			this.#nextPass = undefined
			this.#round = 0
			this.#begin()
			this.#next()
		})
	}

	#begin(): void {
		this.#queue = this.#again
		this.#again = []
		this.#answered = []
	}

	#fail(): void {
		if (this.#settled) return
		const [native] = this.#errors
		if (this.#answered.length === 0) return this.#settle(native ?? silentError(), undefined)
		this.#settle(noHostError(this.#in.wanted, this.#answered, native), undefined)
	}

	#settle(error: unknown, connection: C | undefined): void {
		if (this.#settled) return
		this.#settled = true
		const { list, scheduler } = this.#in
		scheduler.wakeUps.cancel(this.#nextPass)
		for (const asking of [...this.#asking]) asking.giveUp(false)
		this.#done(error, connection)
		list.left(this)
	}
}

/** The one that had it last; then those not known to be down; replicas in turn, so that they share the load. */
function orderOf<C extends object>({ hosts, list, wanted, at }: Region<C>): Stop[] {
	const { found } = list
	const turn = wanted === 'replica' || wanted === 'prefer-replica' ? list.turn++ % hosts.length : 0
	const rank = (host: Host): number => {
		if (found !== undefined && addressOf(found) === addressOf(host)) return 0
		return at(host).state === 'down' ? 2 : 1
	}
	return [...hosts.slice(turn), ...hosts.slice(0, turn)].map((host) => ({ host })).sort((a, b) => rank(a.host) - rank(b.host))
}

// Node's own code for it, so that the table of faults needs no second row for a search that ran out of time.
const silentError = (): Error => Object.assign(new Error('connect ETIMEDOUT'), { code: 'ETIMEDOUT', syscall: 'connect' })
