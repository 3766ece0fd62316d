/** When may this transaction run? Where transactions on an endpoint conflict they take turns, whichever pool they come from. */
import { DeadlineError } from '../errors.ts'
import type { Fault, FaultKind } from '../fault.ts'
import type { Endpoint } from '../outage/endpoint.ts'
import type { Scheduler } from '../outage/scheduler.ts'
import type { WakeUp } from '../outage/wakeups.ts'
import { Lane } from './lane.ts'
import { Line, type TurnLimits, Waiter } from './line.ts'

/** The kinds of fault by which a transaction loses to another one. */
const conflicts: ReadonlySet<string> = new Set<FaultKind>(['serialization_failure', 'deadlock', 'lock_timeout'])

export const isConflict = ({ kind }: Fault): boolean => conflicts.has(kind)

// After so many losses a transaction has its turn alone: whatever it fought with here is kept away.
const lossesBeforeAlone = 5
// When none has ended for so long, one more is let in all the same: what runs may itself be waiting for one that waits here (a transaction
// inside another, a connection that somebody keeps). Longer than a deadlock takes to be found, deadlock_timeout being 1 s.
const patienceMs = 1_500
// Labels name kinds of work. Where there are more they name something else, and the rest share the lane of those without.
const mostLabels = 100

/** How an attempt went. */
export interface Attempted {
	/** Those of the same transaction before it that were lost. */
	readonly losses: number
	/** What `lane.begin` gave it. */
	readonly lockWaitMs: number | undefined
	/** Undefined where nobody took turns when it began. */
	readonly startedAtMs: number | undefined
	/** It was committed, or ended by a fault of this kind, or otherwise. */
	readonly how: FaultKind | 'committed' | undefined
}

/** The turns of all transactions on one endpoint. */
export class Turns {
	/** Whether somebody may have to wait. While it is false a transaction enters and leaves at the cost of two counters. */
	#busy = false
	readonly #endpoint: Endpoint
	readonly #scheduler: Scheduler
	readonly #common = new Lane()
	readonly #labelled = new Map<string, Lane>()
	/** Those that have lost too often. While one waits nobody else is let in, and while it runs neither. */
	readonly #desperate = new Line()
	#alone = false
	#running = 0
	#waiting = 0
	#lastProgressMs = 0
	#valve: WakeUp | undefined
	/** Lanes whose limit rises in a moment. */
	readonly #raises = new Map<Lane, WakeUp>()

	constructor(endpoint: Endpoint, scheduler: Scheduler) {
		this.#endpoint = endpoint
		this.#scheduler = scheduler
	}

	/** Transactions that wait for their turn. */
	get waiting(): number {
		return this.#waiting
	}

	/** Transactions with the same label are taken to conflict with one another; those without share a lane. */
	lane(label: string | undefined): Lane {
		if (label === undefined) return this.#common
		const known = this.#labelled.get(label)
		if (known !== undefined || this.#labelled.size >= mostLabels) return known ?? this.#common
		const lane = new Lane()
		this.#labelled.set(label, lane)
		return lane
	}

	/** Lets the transaction in at once, or returns false: then it has to `wait`. Where nobody loses it costs two counters. */
	enter(lane: Lane, losses: number): boolean {
		if ((this.#busy || losses >= lossesBeforeAlone || lane.isFull) && !this.#mayStart(lane, losses)) return false
		this.#begin(lane, losses)
		return true
	}

	/** Resolves when it is let in. Rejects with what ended the wait. */
	wait(lane: Lane, losses: number, limits: TurnLimits): Promise<void> {
		return new Promise((resolve, reject) => {
			if (limits.ending.error !== undefined) return reject(limits.ending.error)
			const line = goesAlone(losses) ? this.#desperate : lane.line
			const waiter = new Waiter(this.#scheduler, limits, {
				started: () => {
					this.#waiting -= 1
					this.#begin(lane, losses)
					resolve()
				},
				failed: (error) => {
					this.#waiting -= 1
					line.leave(waiter)
					this.#pump()
					reject(error)
				},
				tooLateError: () => this.#tooLateError(),
			})
			const nowMs = this.#scheduler.clock.now()
			line.join(waiter, losses > 0)
			this.#waiting += 1
			if (this.#waiting === 1) this.#lastProgressMs = nowMs
			if (line.size === 1) lane.progressAtMs = nowMs
			this.#pump()
		})
	}

	/** An attempt has got its connection: only now can it be slow. */
	connected(lane: Lane): void {
		if (this.#waiting === 0) return
		this.#lastProgressMs = this.#scheduler.clock.now()
		lane.progressAtMs = this.#lastProgressMs
	}

	/** An attempt has ended. */
	leave(lane: Lane, { losses, lockWaitMs, startedAtMs, how }: Attempted): void {
		this.#running -= 1
		if (goesAlone(losses)) this.#alone = false
		lane.end(lockWaitMs, how === 'committed', startedAtMs)
		const lost = how !== undefined && conflicts.has(how)
		if (!lost && !this.#busy) return
		const nowMs = this.#scheduler.clock.now()
		this.#lastProgressMs = nowMs
		lane.progressAtMs = nowMs
		if (lost) lane.lost(how as FaultKind, nowMs)
		if (startedAtMs !== undefined) lane.learn(lost ? 'lost' : how === 'committed' ? how : 'other', startedAtMs, nowMs)
		if (lane.line.size === 0) this.#raiseNow(lane)
		else if (lane.canRaise) this.#raiseSoon(lane, nowMs)
		this.#pump()
	}

	#raiseNow(lane: Lane): void {
		lane.raise()
		this.#scheduler.wakeUps.cancel(this.#raises.get(lane))
		this.#raises.delete(lane)
	}

	#raiseSoon(lane: Lane, nowMs: number): void {
		if (this.#raises.has(lane)) return
		const { clock, wakeUps } = this.#scheduler
		const raise = wakeUps.at(nowMs + lane.staggerMs(clock.random()), () => {
			this.#raises.delete(lane)
			lane.raise()
			this.#pump()
		})
		this.#raises.set(lane, raise)
	}

	#mayStart(lane: Lane, losses: number): boolean {
		// In an outage they wait at the gate, which knows what to tell them.
		if (this.#endpoint.state === 'down') return true
		if (this.#alone) return false
		if (goesAlone(losses)) return this.#running === 0
		return this.#desperate.size === 0 && !lane.isFull
	}

	#begin(lane: Lane, losses: number): void {
		lane.running += 1
		this.#running += 1
		if (!goesAlone(losses)) return
		this.#alone = true
		this.#busy = true
	}

	/** Lets in all that may run now. */
	#pump(): void {
		if (!this.#alone && this.#running === 0) this.#desperate.shift()?.start()
		if (!this.#alone && this.#desperate.size === 0) {
			for (const lane of this.#lanes()) while (lane.line.size > 0 && !lane.isFull) lane.line.shift()?.start()
		}
		this.#busy = this.#alone || this.#waiting > 0 || this.#lanes().some(({ narrow }) => narrow)
		if (this.#waiting === 0) {
			this.#scheduler.wakeUps.cancel(this.#valve)
			this.#valve = undefined
		} else {
			this.#valve ??= this.#scheduler.wakeUps.at(Math.max(this.#scheduler.clock.now(), this.#stuckAtMs()), () => this.#loosen())
		}
	}

	#lanes(): Lane[] {
		return this.#labelled.size === 0 ? [this.#common] : [this.#common, ...this.#labelled.values()]
	}

	#lines(): Line[] {
		return [this.#desperate, ...this.#lanes().map(({ line }) => line)]
	}

	/** When the first of those that wait is to be let in all the same, if nothing moves. */
	#stuckAtMs(): number {
		if (this.#desperate.size > 0 || this.#alone) return this.#lastProgressMs + patienceMs
		const waited = this.#lanes().filter(({ line }) => line.size > 0)
		return Math.min(...waited.map(({ progressAtMs }) => progressAtMs)) + patienceMs
	}

	/** Lets one more in where nothing moves; everybody while the endpoint is down. */
	#loosen(): void {
		this.#valve = undefined
		const nowMs = this.#scheduler.clock.now()
		if (this.#endpoint.state === 'down') {
			for (const line of this.#lines()) while (line.size > 0) line.shift()?.start()
		}
		if (this.#desperate.size > 0 || this.#alone) {
			if (nowMs >= this.#lastProgressMs + patienceMs) {
				this.#lastProgressMs = nowMs
				const stuck = this.#lines().find(({ size }) => size > 0)
				stuck?.shift()?.start()
			}
		} else {
			for (const lane of this.#lanes()) {
				if (lane.line.size === 0 || nowMs < lane.progressAtMs + patienceMs) continue
				lane.giveUpAPlace(nowMs)
				lane.line.shift()?.start()
			}
		}
		this.#pump()
	}

	#tooLateError(): DeadlineError {
		const { address } = this.#endpoint
		return new DeadlineError(
			`The deadline passed while the transaction waited for its turn: transactions on ${address} conflict with one another, and ${this.#running} are let through at a time. Nothing was sent.`,
		)
	}
}

/** Alone it can only lose to somebody whom turns do not reach, so it is not alone each time from then on: after 5, 10, 20, 40 … losses. */
function goesAlone(losses: number): boolean {
	if (losses < lossesBeforeAlone) return false
	const times = losses / lossesBeforeAlone
	return Number.isInteger(Math.log2(times))
}

const turnsOfEndpoints = new WeakMap<Endpoint, Turns>()

/** The turns on this endpoint, the same for every pool on it. */
export function turnsOf(endpoint: Endpoint, scheduler: Scheduler): Turns {
	const known = turnsOfEndpoints.get(endpoint)
	if (known !== undefined) return known
	const turns = new Turns(endpoint, scheduler)
	turnsOfEndpoints.set(endpoint, turns)
	return turns
}
