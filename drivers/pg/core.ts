/** How does a statement of the pool get its connection, when a subclass of the pool has its own idea of `connect`? */
import { type Call, PoolCore } from '../../src/driver.ts'
import { cut, whenQuiet } from './client.ts'
import type { ConnectCallback, PgClient } from './shape.ts'
import { isBusy } from './state.ts'

type Request = Parameters<PoolCore<PgClient>['borrow']>[0]

/** The core of a pg pool. Where the pool's class overrides `connect`, everything is borrowed through that, as bare pg does. */
export class PgCore extends PoolCore<PgClient> {
	/** The override, once there is one. */
	override: ((callback: ConnectCallback) => unknown) | undefined
	/** The pool's own limit on a statement: what still runs on a returned client cannot take longer. */
	queryTimeoutMs: number | undefined
	#asking: Request | undefined

	/** Whether an error means that the connection under it must not be used on. */
	breaks(error: unknown): boolean {
		const { scope } = this.call({}).classify(error, 'statement')
		return scope === 'connection' || scope === 'endpoint'
	}

	/** Calls `then` once nothing runs on the client any more. A client that is still busy after `withinMs` is cut. */
	whenQuiet(client: PgClient, withinMs: number | undefined, then: () => void): void {
		if (!isBusy(client)) return then()
		const { wakeUps, clock } = this.policy.scheduler
		const limit = withinMs === undefined ? undefined : wakeUps.at(clock.now() + withinMs, () => cut(client))
		whenQuiet(client, () => {
			wakeUps.cancel(limit)
			then()
		})
	}

	/** For `pool.connect` itself: no way round through the override. */
	lend(request: Request): void {
		const asking = this.#asking
		this.#asking = undefined
		super.borrow(asking === undefined ? request : { ...asking, done: request.done })
	}

	override borrow(request: Request): void {
		if (this.override === undefined) return super.borrow(request)
		let served: PgClient | undefined
		let told = false
		const done = (error: unknown, client: PgClient | undefined) => {
			if (told && client !== served) client?.release()
			if (told) return
			told = true
			served = client
			request.done(error, client)
		}
		// An override may call back, or return a promise, or both.
		this.#asking = request
		let returned: unknown
		try {
			returned = this.override((error, client) => done(error, client))
		} catch (error) {
			return done(error, undefined)
		} finally {
			this.#asking = undefined
		}
		if (typeof (returned as PromiseLike<PgClient> | undefined)?.then !== 'function') return
		;(returned as PromiseLike<PgClient | undefined>).then(
			(client) => client && done(undefined, client),
			(error) => done(error, undefined),
		)
	}

	override acquire(call: Call): Promise<PgClient> {
		if (this.override === undefined) return super.acquire(call)
		return new Promise((resolve, reject) => {
			call.waiting()
			this.borrow({
				deadlineAtMs: call.deadlineAtMs,
				signal: call.signal,
				done: (error, client) => {
					call.served()
					if (client === undefined) reject(call.waitFailed(error))
					else resolve(client)
				},
			})
		})
	}
}
