/** How does a statement on the pool run, and run again? Every form of `pool.query` that pg accepts. */
import { type Call, type Fault, isPlainRead, ownOptions, type Repeatability } from '../../src/driver.ts'
import { cut } from './client.ts'
import type { PgCore, Request } from './core.ts'
import { commandsCompleted, provenFault } from './proof.ts'
import { faultOfRefusal } from './read-only.ts'
import type { PgClient, QueryCallback } from './shape.ts'
import { isAlive, isUsable } from './state.ts'

/** Ends a client's work for the pool: kept if the link is healthy and clean, whatever the statement's own fate. */
export function settle(core: PgCore, client: PgClient, error: unknown, broken: boolean): void {
	if (broken) {
		core.lost(client)
		client.release(error)
		cut(client)
		core.returned()
		return
	}
	// pg tells the error before the server is ready again; until then the status of the connection is not known.
	core.whenQuiet(client, core.policy.endpoint.probeTimeoutMs, () => putBack(core, client))
}

function putBack(core: PgCore, client: PgClient): void {
	const dirty = isAlive(client) && !isUsable(client)
	// A BEGIN through `pool.query`, say: its transaction must not wait, locks held, for whoever borrows the connection next.
	if (dirty) core.policy.counters.discarded += 1
	client.release(dirty ? true : undefined)
	core.returned()
}

/** One statement of the pool, from the call to its result. */
export class Statement implements Repeatability {
	protected readonly core: PgCore
	protected readonly call: Call
	/** The pool whose connection it runs on, or waits for. */
	#at: PgCore
	readonly #config: unknown
	readonly #values: unknown
	readonly #done: QueryCallback
	#client: PgClient | undefined
	/** It was refused where reads go: it writes, whatever its text looks like. */
	#writes = false
	readonly idempotent: boolean

	/** `call`, where the wait for its first connection has begun already. */
	constructor(core: PgCore, config: unknown, values: unknown, done: QueryCallback, call?: Call) {
		const options = ownOptions(config)
		this.core = core
		this.#at = core
		this.#config = snapshot(config)
		this.#values = snapshotValues(values)
		this.#done = done
		this.call = call ?? core.call(options)
		this.idempotent = options.idempotent === true
	}

	/** The connection that it runs on now. */
	get client(): PgClient | undefined {
		return this.#client
	}

	reads(): boolean {
		const text = this.#text()
		return this.core.policy.readsAreSafe && typeof text === 'string' && isPlainRead(text, 'postgres')
	}

	/** Starts an attempt on the next connection. */
	run(): void {
		this.runAt(this.#place())
	}

	/** Where it can run: most pools have one place for everything. */
	#place(): PgCore {
		const { core } = this
		const { beside } = core
		if (beside === undefined || !beside.matters) return core
		return !this.#writes && this.reads() ? beside.forReading : beside.forWriting
	}

	/** Starts an attempt on the next connection of this pool. */
	protected runAt(core: PgCore): void {
		const { deadlineAtMs, signal } = this.call
		this.call.waiting()
		const request: Request = {
			deadlineAtMs,
			signal,
			done: (error, client) => {
				if (!core.served(request, client)) return
				this.call.served()
				if (client === undefined) this.#done(this.call.waitFailed(error))
				else this.attempt(client, core)
			},
		}
		core.borrow(request)
		if (core.waiting > 0) core.waits(request, () => this.#moveFrom(core))
	}

	/** It waits for a server that has turned read-only, and could go on elsewhere. True where it does. */
	#moveFrom(core: PgCore): boolean {
		const place = this.#place()
		if (place === core) return false
		this.runAt(place)
		return true
	}

	#text(): unknown {
		const config = this.#config
		return typeof config === 'string' ? config : (config as { text?: unknown } | null)?.text
	}

	/** Starts an attempt on this connection, which goes back to the pool afterwards. */
	attempt(client: PgClient, core: PgCore = this.core): void {
		this.#client = client
		this.#at = core
		const before = commandsCompleted(client)
		const { policy, attemptTimeoutMs } = this.core
		policy.counters.attempts += 1
		const { wakeUps, clock } = policy.scheduler
		const limit =
			attemptTimeoutMs === undefined ? undefined : wakeUps.at(clock.now() + attemptTimeoutMs, () => cut(client, this.call.cutOff()))
		// pg calls back twice for a value that it cannot turn into text: with the error, and when the server is ready.
		let told = false
		const callback: QueryCallback = (error, result) => {
			if (told) return
			told = true
			wakeUps.cancel(limit)
			this.#client = undefined
			if (error !== null && error !== undefined) return this.#failed(error, client, before)
			settle(core, client, undefined, false)
			this.#done(undefined, result)
		}
		try {
			query(client, this.#config, this.#values, callback)
		} catch (error) {
			// pg refuses the arguments: nothing was sent, and nothing will be different next time.
			told = true
			wakeUps.cancel(limit)
			settle(core, client, undefined, false)
			this.#done(error)
		}
	}

	#failed(error: unknown, client: PgClient, before: number | undefined): void {
		const sent = { client, before, text: this.#text(), idempotent: this.idempotent }
		const fault = provenFault(this.call.classify(error, 'statement'), sent)
		const broken = fault.scope === 'connection' || fault.scope === 'endpoint' || !client._queryable
		if (fault.kind !== 'read_only' || broken) return this.#settleAndGoOn(error, client, fault, broken)
		if (this.#at !== (this.core.beside?.forWriting ?? this.core)) {
			// A connection for reads: what was refused there goes where writes go.
			this.#writes = true
			return this.#settleAndGoOn(error, client, { ...fault, retryable: fault.outcome === 'rolled_back' }, false)
		}
		faultOfRefusal(this.#at, client, error, fault, this.call).then((found) => {
			this.#settleAndGoOn(error, client, found, found.scope === 'connection' || found.scope === 'endpoint')
		})
	}

	#settleAndGoOn(error: unknown, client: PgClient, fault: Fault, broken: boolean): void {
		settle(this.#at, client, error, broken)
		this.call.next(error, fault, 'statement', this).then(
			() => this.run(),
			// Out of the promise: what the user's callback throws is an uncaught exception, as it is with the bare pool.
			(final) => process.nextTick(this.#done, final),
		)
	}
}

/** What is sent later, or again, must be what the call said, also where the caller has used its config for another call since. */
export function snapshot(config: unknown): unknown {
	if (typeof config !== 'object' || config === null || Array.isArray(config)) return config
	const prototype = Object.getPrototypeOf(config)
	if (prototype !== Object.prototype && prototype !== null) return config
	const { values } = config as { values?: unknown }
	return Array.isArray(values) ? { ...config, values: [...values] } : { ...config }
}

export const snapshotValues = (values: unknown): unknown => (Array.isArray(values) ? [...values] : values)

/** Sends it. Before 8.23 pg writes the callback into the caller's object, where `client.query(config)` would find it later. */
export function query(client: PgClient, config: unknown, values: unknown, callback: QueryCallback): unknown {
	if (typeof config !== 'object' || config === null) return client.query(config, values, callback)
	const given = config as { callback?: unknown }
	const before = given.callback
	try {
		return client.query(config, values, callback)
	} finally {
		if (given.callback === callback) given.callback = before
	}
}
