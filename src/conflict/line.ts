/** Who waits for a turn, in which order, and what ends the wait? Those that have lost go first. */
import type { Ending } from '../outage/ending.ts'
import type { Scheduler } from '../outage/scheduler.ts'
import type { WakeUp } from '../outage/wakeups.ts'

/** What ends a wait for a turn. */
export interface TurnLimits {
	/** On the scheduler's clock; Infinity for never. */
	readonly deadlineAtMs: number
	readonly signals: readonly AbortSignal[]
	readonly ending: Ending
}

/** The ends that a wait can come to; one of them does, once. */
export interface WaitEnds {
	started(): void
	failed(error: unknown): void
	tooLateError(): Error
}

/** One that waits. */
export class Waiter {
	readonly #scheduler: Scheduler
	readonly #limits: TurnLimits
	readonly #ends: WaitEnds
	readonly #fail: (error: unknown) => void
	readonly #wakeUp: WakeUp | undefined
	readonly #offEnd: () => void

	constructor(scheduler: Scheduler, limits: TurnLimits, ends: WaitEnds) {
		this.#scheduler = scheduler
		this.#limits = limits
		this.#ends = ends
		this.#fail = (error) => {
			this.#forget()
			ends.failed(error)
		}
		const { deadlineAtMs, signals, ending } = limits
		for (const signal of signals) scheduler.aborts.watch(signal, this.#fail)
		this.#offEnd = ending.onEnd(this.#fail)
		this.#wakeUp =
			deadlineAtMs === Number.POSITIVE_INFINITY ? undefined : scheduler.wakeUps.at(deadlineAtMs, () => this.#fail(ends.tooLateError()))
	}

	/** Its turn has come. */
	start(): void {
		this.#forget()
		this.#ends.started()
	}

	#forget(): void {
		this.#scheduler.wakeUps.cancel(this.#wakeUp)
		for (const signal of this.#limits.signals) this.#scheduler.aborts.unwatch(signal, this.#fail)
		this.#offEnd()
	}
}

/** First come, first served, but for those that have lost: they have waited before. A Set keeps the order and gives up any member. */
export class Line {
	readonly #lost = new Set<Waiter>()
	readonly #fresh = new Set<Waiter>()

	get size(): number {
		return this.#lost.size + this.#fresh.size
	}

	join(waiter: Waiter, hasLost: boolean): void {
		if (hasLost) this.#lost.add(waiter)
		else this.#fresh.add(waiter)
	}

	leave(waiter: Waiter): void {
		if (!this.#lost.delete(waiter)) this.#fresh.delete(waiter)
	}

	/** Takes out the one whose turn comes next. */
	shift(): Waiter | undefined {
		const next = this.#lost.values().next().value ?? this.#fresh.values().next().value
		if (next !== undefined) this.leave(next)
		return next
	}
}
