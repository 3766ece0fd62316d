/** What does the core of a pg pool know beside what all cores know? When a client is quiet, the pools beside it, a subclass's idea of `connect`. */
import { type Call, type Fault, PoolCore, type Wanted } from '../../src/driver.ts'
import { cut, whenQuiet } from './client.ts'
import { Refusals } from './read-only.ts'
import type { ConnectCallback, PgClient } from './shape.ts'
import { isBusy, isUsable } from './state.ts'

type Request = Parameters<PoolCore<PgClient>['borrow']>[0]

/** Where the work of a pool may go. */
export interface Places {
	/** Whether it can make a difference now what somebody wants a connection for. */
	readonly matters: boolean
	/** Where a declared read may go now. */
	readonly forReading: PgCore
	/** Where a write, or what may be one, has to go. */
	readonly forWriting: PgCore
	/** Whether there are hosts to choose from. */
	readonly hasHosts: boolean
	/** The connections of that kind. */
	of(wanted: Wanted): PgCore
	/** Whether there are connections beside the pool's own. */
	readonly isEmpty: boolean
	/** Ends them; resolves when they are closed. */
	end(): Promise<void>
}

const owners = new WeakMap<PgClient, PgCore>()

/** From now on the connection is known to be one of this pool beside the user's. */
export function ownedBy(client: PgClient, core: PgCore): void {
	owners.set(client, core)
}

/** The pool of the connection: the user's, or one beside it. */
export const ownerOf = (client: PgClient, core: PgCore): PgCore => owners.get(client) ?? core

/** The core of a pg pool. Where the pool's class overrides `connect`, everything is borrowed through that, as bare pg does. */
export class PgCore extends PoolCore<PgClient> {
	/** The override, once there is one. */
	override: ((callback: ConnectCallback) => unknown) | undefined
	/** The pool's own limit on a statement: what still runs on a returned client cannot take longer. */
	queryTimeoutMs: number | undefined
	/** The connections that the pool has beside its own. */
	beside: Places | undefined
	readonly refusals = new Refusals()
	/** Connections that need not take writes: a refusal says nothing of the server that was not known. */
	readsOnly = false
	/** A connection is being put back by somebody who says so himself. */
	putsBack = false
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

	override turnedReadOnly(client: PgClient, fault: Fault, error: unknown): void {
		super.turnedReadOnly(client, fault, error)
		this.moveWaiting()
	}

	/** Puts a connection back on which nothing was done; one that is not well is closed. */
	giveBackOrDrop(client: PgClient): void {
		if (isUsable(client)) client.release()
		else {
			this.lost(client)
			client.release(true)
			cut(client)
		}
		this.returned()
	}

	/** A connection for a transaction, at the server that it needs. */
	acquireFor(call: Call, readOnly: boolean): Promise<PgClient> {
		const { beside } = this
		if (beside === undefined || !beside.matters) return this.acquire(call)
		return (readOnly ? beside.forReading : beside.forWriting).acquire(call)
	}

	/** For `pool.connect` itself: no way round through the override. */
	lend(request: Request): void {
		const asking = this.#asking
		this.#asking = undefined
		if (asking === undefined) return super.borrow(request)
		const { deadlineAtMs, signal, isBatch } = asking
		super.borrow({ deadlineAtMs, signal, isBatch, done: (error, client) => request.done(error, client) })
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
				isBatch: call.isBatch,
				done: (error, client) => {
					call.served()
					if (client === undefined) reject(call.waitFailed(error))
					else resolve(client)
				},
			})
		})
	}
}
