/** Which connection works for a borrower? The one that he holds, or another one that has replaced it without his missing anything. */
import type { Call, Fault } from '../../src/driver.ts'
import { cut } from './client.ts'
import type { PgCore } from './core.ts'
import type { PgClient } from './shape.ts'

/** The connection behind a borrowed client. */
export class LoanLink {
	readonly #core: PgCore
	/** The object that the borrower holds. */
	readonly client: PgClient
	readonly #discard: (client: PgClient, error: unknown) => void
	/** The connection that does the work. */
	target: PgClient
	/** The connection that was taken out of the pool; the borrower may go on asking it. */
	#dropped: PgClient | undefined
	#ended = false
	readonly #forwarded: Array<readonly [string, (...args: unknown[]) => void]> = []

	/** `discard` takes a dead connection out of the pool at once, so that its place is free while the borrower still holds it. */
	constructor(core: PgCore, client: PgClient, discard: (client: PgClient, error: unknown) => void) {
		this.#core = core
		this.client = client
		this.target = client
		this.#discard = discard
	}

	/** Takes the connection out of the pool. */
	drop(error: unknown): void {
		if (this.#dropped === this.target) return
		this.#dropped = this.target
		this.#core.lost(this.target)
		this.#discard(this.target, error)
		cut(this.target)
	}

	/** Gets another connection for the borrower. Rejects with what he is to be told: `error`, once the call has waited long enough. */
	async replace(call: Call, error: unknown, fault: Fault): Promise<void> {
		this.drop(error)
		await call.next(error, fault, 'statement', { idempotent: true, reads: () => true })
		const fresh = await this.#core.acquire(call)
		if (this.#ended) {
			this.#core.giveBackOrDrop(fresh)
			throw error
		}
		this.#letGo()
		this.target = fresh
		for (const event of ['notification', 'notice', 'error', 'end'] as const) {
			const listener = (...args: unknown[]) => {
				this.client.emit(event, ...args)
			}
			this.#forwarded.push([event, listener])
			fresh.on(event, listener)
		}
	}

	/** The borrower has given it back. */
	end(): void {
		this.#ended = true
		this.#letGo()
	}

	#letGo(): void {
		for (const [event, listener] of this.#forwarded.splice(0)) this.target.removeListener(event, listener)
	}
}
