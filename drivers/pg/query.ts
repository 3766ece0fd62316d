/** How does a statement on the pool run, and run again? Every form of `pool.query` that pg accepts. */
import {
	begin,
	Call,
	deadlineOf,
	type Fault,
	isBatchCall,
	isPlainRead,
	ownOptions,
	type QueryOptions,
	type Repeatability,
	Request,
	rejection,
} from '../../src/driver.ts'
import { withoutLostName } from './cached-plan.ts'
import { cut } from './client.ts'
import { ownerOf, type PgCore } from './core.ts'
import { commandsCompleted, provenFault } from './proof.ts'
import { faultOfRefusal } from './read-only.ts'
import type { PgClient, QueryCallback } from './shape.ts'
import { isAlive, isBusy, transactionStatus } from './state.ts'

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
	if (isBusy(client)) core.whenQuiet(client, core.policy.endpoint.probeTimeoutMs, () => putBack(core, client))
	else putBack(core, client)
}

function putBack(core: PgCore, client: PgClient): void {
	// It is quiet already.
	const dirty = isAlive(client) && (transactionStatus(client) ?? 'I') !== 'I'
	// A BEGIN through `pool.query`, say: its transaction must not wait, locks held, for whoever borrows the connection next.
	if (dirty) core.policy.counters.discarded += 1
	core.putsBack = true
	try {
		client.release(dirty ? true : undefined)
	} finally {
		core.putsBack = false
	}
	core.returned()
}

// Statements that were refused where reads go: they write, whatever their text looks like.
const writers = new WeakSet<Statement>()

/**
 * One statement of the pool, from the call to its result. It stands in the line for a connection itself: tens of thousands may have to wait
 * there. Its methods are private by type only: those with a # cost each of them a word and a moment.
 */
export abstract class Statement extends Request<PgClient> implements Repeatability {
	readonly #core: PgCore
	readonly #options: QueryOptions
	readonly #startedAtMs: number
	/** Made when there is something to tell of it. */
	#call: Call | undefined
	readonly #config: unknown
	readonly #values: unknown
	#client: PgClient | undefined

	/** `call`, where the wait for its first connection has begun already. */
	constructor(core: PgCore, config: unknown, values: unknown, call?: Call) {
		super()
		this.#core = core
		this.#options = ownOptions(config)
		this.#startedAtMs = call === undefined ? begin(core.policy) : 0
		this.#call = call
		this.#config = snapshot(config)
		this.#values = snapshotValues(values)
	}

	/** Tells the caller. */
	protected abstract answer(error: unknown, result?: unknown): void

	/** The connection that it runs on now. */
	get client(): PgClient | undefined {
		return this.#client
	}

	get idempotent(): boolean {
		return this.#options.idempotent === true
	}

	reads(): boolean {
		const text = this.text()
		return this.#core.policy.readsAreSafe && typeof text === 'string' && isPlainRead(text, 'postgres')
	}

	get deadlineAtMs(): number {
		return this.#call === undefined ? deadlineOf(this.#core.policy, this.#options, this.#startedAtMs) : this.#call.deadlineAtMs
	}

	get signal(): AbortSignal | undefined {
		return this.#call === undefined ? this.#options.signal : this.#call.signal
	}

	get isBatch(): boolean {
		return this.#call === undefined ? isBatchCall(this.#core.policy, this.#options) : this.#call.isBatch
	}

	private call(): Call {
		this.#call ??= new Call(this.#core.policy, this.#options, this.#startedAtMs)
		return this.#call
	}

	/** Aborted before the event loop turns, it has sent nothing. */
	override get mayGoAtOnce(): boolean {
		return this.signal === undefined && this.#core.policy.signal === undefined
	}

	/** Starts an attempt on the next connection. */
	run(): void {
		this.runAt(this.whereTo())
	}

	/** Where it can run: most pools have one place for everything. */
	private whereTo(): PgCore {
		const { beside } = this.#core
		if (beside === undefined || !beside.matters) return this.#core
		return !writers.has(this) && this.reads() ? beside.forReading : beside.forWriting
	}

	protected runAt(core: PgCore): void {
		this.#call?.waiting()
		core.borrow(this)
	}

	/** The wait for a connection is over. */
	done(error: unknown, client: PgClient | undefined): void {
		// The first connection was there at once: the turn of the event loop that it took is not worth a look at the clock.
		if (client !== undefined && this.place === 0 && this.#call === undefined) return this.attempt(client)
		const call = this.call()
		call.served()
		if (client === undefined) this.answer(call.waitFailed(error))
		else this.attempt(client)
	}

	override elsewhere(from: object): (() => void) | undefined {
		const core = this.whereTo()
		return core === from ? undefined : () => this.runAt(core)
	}

	private text(): unknown {
		const config = this.#config
		return typeof config === 'string' ? config : (config as { text?: unknown } | null)?.text
	}

	/** Starts an attempt on this connection, which goes back to the pool afterwards. */
	attempt(client: PgClient): void {
		this.#client = client
		const before = commandsCompleted(client)
		const { policy, attemptTimeoutMs } = this.#core
		policy.counters.attempts += 1
		const { wakeUps, clock } = policy.scheduler
		const limit =
			attemptTimeoutMs === undefined ? undefined : wakeUps.at(clock.now() + attemptTimeoutMs, () => cut(client, this.call().cutOff()))
		// pg calls back twice for a value that it cannot turn into text: with the error, and when the server is ready.
		let told = false
		let isSent = false
		const callback: QueryCallback = (error, result) => {
			if (told) return
			// A class of the user's may have the answer at once: his callback comes after the call that takes it, as from the bare pool.
			if (!isSent) return process.nextTick(callback, error, result)
			told = true
			wakeUps.cancel(limit)
			this.#client = undefined
			if (error !== null && error !== undefined) return this.failed(error, client, before)
			settle(this.owner(client), client, undefined, false)
			this.answer(undefined, result)
		}
		try {
			query(client, this.#config, this.#values, callback)
			isSent = true
		} catch (error) {
			// pg refuses the arguments: nothing was sent, and nothing will be different next time.
			told = true
			wakeUps.cancel(limit)
			settle(this.owner(client), client, undefined, false)
			process.nextTick(() => this.answer(error))
		}
	}

	/** The pool that the connection goes back to. */
	private owner(client: PgClient): PgCore {
		const { beside } = this.#core
		return beside === undefined || beside.isEmpty ? this.#core : ownerOf(client, this.#core)
	}

	private failed(error: unknown, client: PgClient, before: number | undefined): void {
		const at = this.owner(client)
		const sent = { client, before, text: this.text(), idempotent: this.idempotent }
		const fault = provenFault(this.call().classify(error, 'statement'), sent)
		const broken = fault.scope === 'connection' || fault.scope === 'endpoint' || !client._queryable
		if (fault.kind !== 'read_only' || broken) return this.settleAndGoOn(error, client, fault, broken)
		if (at !== (this.#core.beside?.forWriting ?? this.#core)) {
			// A connection for reads: what was refused there goes where writes go.
			writers.add(this)
			return this.settleAndGoOn(error, client, { ...fault, retryable: fault.outcome === 'rolled_back' }, false)
		}
		faultOfRefusal(at, client, error, fault, this.call()).then((found) => {
			this.settleAndGoOn(error, client, found, found.scope === 'connection' || found.scope === 'endpoint')
		})
	}

	private settleAndGoOn(error: unknown, client: PgClient, fault: Fault, broken: boolean): void {
		settle(this.owner(client), client, error, broken)
		this.call()
			.next(error, fault, 'statement', this)
			.then(
				() => this.run(),
				// Out of the promise: what the user's callback throws is an uncaught exception, as it is with the bare pool.
				(final) => process.nextTick(() => this.answer(final)),
			)
	}
}

/** A statement whose caller has given a callback. */
export class CallbackStatement extends Statement {
	readonly #callback: QueryCallback

	constructor(core: PgCore, config: unknown, values: unknown, callback: QueryCallback, call?: Call) {
		super(core, config, values, call)
		this.#callback = callback
	}

	protected override answer(error: unknown, result?: unknown): void {
		this.#callback(error, result)
	}
}

/** A statement whose caller has a promise. */
export class PromisedStatement extends Statement {
	readonly #resolve: (result: unknown) => void

	constructor(core: PgCore, config: unknown, values: unknown, resolve: (result: unknown) => void) {
		super(core, config, values)
		this.#resolve = resolve
	}

	protected override answer(error: unknown, result?: unknown): void {
		this.#resolve(error === null || error === undefined ? result : rejection(error))
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
	const given = withoutLostName(client, config) as { callback?: unknown }
	const before = given.callback
	try {
		return client.query(given, values, callback)
	} finally {
		if (given.callback === callback) given.callback = before
	}
}
