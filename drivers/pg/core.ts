/** How does a statement of the pool get its connection, when a subclass of the pool has its own idea of `connect`? */
import { type Call, PoolCore } from '../../src/driver.ts'
import type { ConnectCallback, PgClient } from './shape.ts'

type Request = Parameters<PoolCore<PgClient>['borrow']>[0]

/** The core of a pg pool. Where the pool's class overrides `connect`, everything is borrowed through that, as bare pg does. */
export class PgCore extends PoolCore<PgClient> {
	/** The override, once there is one. */
	override: ((callback: ConnectCallback) => unknown) | undefined
	#asking: Request | undefined

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
