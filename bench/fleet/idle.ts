/** Which connections has nobody borrowed? The one that came back last goes out first; one that nobody wants for long is closed. */
import type { Clock } from '../../src/clock.ts'
import type { Session } from './server.ts'

export class Idle {
	readonly #clock: Clock
	readonly #limitMs: number
	readonly #expired: (session: Session) => void
	readonly #stack: { readonly session: Session; readonly limit: unknown }[] = []

	/** `expired`: the connection has been taken out, and is to be closed. */
	constructor(clock: Clock, limitMs: number, expired: (session: Session) => void) {
		this.#clock = clock
		this.#limitMs = limitMs
		this.#expired = expired
	}

	get size(): number {
		return this.#stack.length
	}

	push(session: Session): void {
		const expire = () => {
			if (this.remove(session)) this.#expired(session)
		}
		this.#stack.push({
			session,
			limit: this.#limitMs === Number.POSITIVE_INFINITY ? undefined : this.#clock.setTimer(expire, this.#limitMs),
		})
	}

	pop(): Session | undefined {
		const entry = this.#stack.pop()
		this.#clock.clearTimer(entry?.limit)
		return entry?.session
	}

	/** Whether it was there. */
	remove(session: Session): boolean {
		const index = this.#stack.findIndex((entry) => entry.session === session)
		if (index < 0) return false
		this.#clock.clearTimer(this.#stack[index]?.limit)
		this.#stack.splice(index, 1)
		return true
	}
}
