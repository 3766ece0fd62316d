/** What waits for the server's answer, and for how long at most? Connection attempts and questions have a time limit of their own. */
import type { ConnectionSource } from '../contract.ts'
import type { Scheduler } from './scheduler.ts'

/** What one pool has under way. Nothing of it outlives the limit or the pool: a silent server must not hold it for ever. */
export class UnderWay {
	readonly #scheduler: Scheduler
	readonly #limitMs: number
	readonly #giveUps = new Set<() => void>()

	constructor(scheduler: Scheduler, limitMs: number) {
		this.#scheduler = scheduler
		this.#limitMs = limitMs
	}

	/** Begins something. `start` returns what gives it up early: `done` follows then. `done` is called once, perhaps before this returns. */
	begin<A extends readonly unknown[]>(start: (done: (...answer: A) => void) => () => void, done: (...answer: A) => void): void {
		const { wakeUps, clock } = this.#scheduler
		let answered = false
		let giveUp: (() => void) | undefined
		const limit = wakeUps.at(clock.now() + this.#limitMs, () => giveUp?.())
		giveUp = start((...answer) => {
			if (answered) return
			answered = true
			wakeUps.cancel(limit)
			if (giveUp !== undefined) this.#giveUps.delete(giveUp)
			done(...answer)
		})
		if (!answered) this.#giveUps.add(giveUp)
	}

	/** Gives everything up. */
	end(): void {
		for (const giveUp of [...this.#giveUps]) giveUp()
	}
}

/** A driver that throws instead of calling back must not keep the permit, and with it everybody. */
export function tryToOpen<C extends object>(
	source: ConnectionSource<C>,
	done: (error: unknown, connection: C | undefined) => void,
): () => void {
	try {
		return source.open(done)
	} catch (error) {
		done(error, undefined)
		return () => {}
	}
}
