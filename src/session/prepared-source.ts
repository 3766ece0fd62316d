/** What does a new connection get before anybody has it? The user's `onConnect`, once on each; one that has not got it is handed to nobody. */
import type { ConnectionSource } from '../contract.ts'
import { ForwardingSource } from '../forwarding-source.ts'
import { hookFailed, hookTimedOut, leftUnusable, lostInHook } from './hook-faults.ts'

/**
 * Prepares one connection. Awaited. Of a method's type, which TypeScript compares both ways: each driver says what its connections are.
 */
export type OnConnect<C extends object = object> = { prepare(connection: C): unknown }['prepare']

type Opened<C> = (error: unknown, connection: C | undefined) => void

/** The source of a pool whose connections are prepared as part of being opened: within the same time limit, and under the same permit. */
export class PreparedSource<C extends object> extends ForwardingSource<C> {
	readonly #hook: OnConnect<C>
	readonly #prepared = new WeakSet<C>()

	constructor(source: ConnectionSource<C>, hook: OnConnect<C>) {
		super(source)
		this.#hook = hook
	}

	override open(done: Opened<C>): () => void {
		let giveUpHook: (() => void) | undefined
		const giveUpOpening = this.source.open((error, connection) => {
			if (connection === undefined) done(error, undefined)
			else giveUpHook = this.#prepare(connection, done)
		})
		return () => (giveUpHook ?? giveUpOpening)()
	}

	/** One that was open before the pool was wrapped has not been prepared: it is replaced. */
	override isUsable(connection: C): boolean {
		return this.#prepared.has(connection) && this.source.isUsable(connection)
	}

	#prepare(connection: C, done: Opened<C>): () => void {
		let over = false
		const finish = (failed: { readonly error: unknown } | undefined) => {
			if (over) return
			over = true
			if (failed === undefined) this.#prepared.add(connection)
			else this.source.discard(connection, failed.error)
			done(failed?.error, failed === undefined ? connection : undefined)
		}
		const hook = this.#hook
		const run = async () => hook(connection)
		run().then(
			() => this.#check(connection, finish),
			(error: unknown) => finish({ error: hookFailed(error, this.source.isUsable(connection)) }),
		)
		return () => finish({ error: hookTimedOut() })
	}

	/** A hook that has left a transaction open would put into it what the next caller believes to be written. */
	#check(connection: C, finish: (failed: { readonly error: unknown } | undefined) => void): void {
		if (this.source.isUsable(connection)) return finish(undefined)
		this.source.ask(connection, (alive) => {
			if (!alive) finish({ error: lostInHook() })
			else finish(this.source.isUsable(connection) ? undefined : { error: leftUnusable() })
		})
	}
}
