/** How does a statement on the pool run, and run again? Every form of `pool.query` and `pool.execute` that mysql2 accepts. */
import { type Call, type Fault, HoldfastError, isPlainRead, mayCommitPartly, ownOptions, type Repeatability } from '../../src/driver.ts'
import { cut } from './client.ts'
import type { Mysql2Core } from './core.ts'
import { CountedRequest } from './counted.ts'
import { findOut } from './interrupted.ts'
import { findRefusal } from './refused.ts'
import type { Mysql2Connection, QueryCallback } from './shape.ts'
import { isAlive, sessionOf, setsAutocommit } from './state.ts'

/** Where statements get their connections, and leave them. */
export interface Connections
	extends Pick<Mysql2Core, 'policy' | 'attemptTimeoutMs' | 'call' | 'settle' | 'limit' | 'turnedReadOnly' | 'isStale'> {
	ask(statement: Statement): void
}

/**
 * One statement of the pool, from the call to its result. It stands in the line for a connection itself. Its methods are private by type
 * only: those with a # cost each of them a word and a moment.
 */
export abstract class Statement extends CountedRequest implements Repeatability {
	/** As the caller gave it: a text, or mysql2's options object. */
	protected readonly sql: unknown
	readonly #core: Connections
	readonly call: Call
	readonly idempotent: boolean
	/** It was refused by a server that takes no writes: it writes, whatever its text looks like. */
	#writes = false
	#asks = false
	#connection: Mysql2Connection | undefined

	/** `call`, where the wait for its first connection has begun already. */
	constructor(core: Connections, sql: unknown, call?: Call) {
		super()
		const options = ownOptions(sql)
		this.sql = sql
		this.#core = core
		this.call = call ?? core.call(options)
		this.idempotent = options.idempotent === true
	}

	/** Sends it, once for each attempt. What it throws was refused by mysql2: nothing was sent. */
	protected abstract start(connection: Mysql2Connection, callback: QueryCallback): void

	/** Called once. `served`: there was a connection, and mysql2's own answer is passed on. */
	protected abstract answer(served: boolean, error: unknown, result?: unknown, fields?: unknown): void

	/** An attempt has failed: mysql2 is about to tell others. */
	protected failing(): void {}

	/** Whether the caller has been given a part of the answer: then it is not run again. */
	protected begun(): boolean {
		return false
	}

	/** Whether `attemptTimeoutMs` is for it: the reader of a stream sets its own pace. */
	protected get timed(): boolean {
		return true
	}

	get deadlineAtMs(): number {
		return this.call.deadlineAtMs
	}

	get signal(): AbortSignal | undefined {
		return this.call.signal
	}

	get isBatch(): boolean {
		return this.call.isBatch
	}

	get attempts(): number {
		return this.call.attempts
	}

	get work(): this {
		return this
	}

	/** The connection that it runs on now. */
	get connection(): Mysql2Connection | undefined {
		return this.#connection
	}

	reads(): boolean {
		const text = this.text()
		return !this.#writes && this.#core.policy.readsAreSafe && typeof text === 'string' && isPlainRead(text, 'mysql')
	}

	/** Starts an attempt on the next connection. */
	run(): void {
		this.call.waiting()
		this.#asks = true
		this.#core.ask(this)
		this.#asks = false
	}

	protected override served(error: unknown, connection: Mysql2Connection | undefined): void {
		if (this.#asks && connection !== undefined) this.call.servedAtOnce()
		else this.call.served()
		if (connection === undefined) this.answer(false, this.call.waitFailed(error))
		else this.attempt(connection)
	}

	private text(): unknown {
		const { sql } = this
		return typeof sql === 'string' ? sql : (sql as { sql?: unknown } | null)?.sql
	}

	/** Starts an attempt on this connection, which goes back to the pool afterwards. */
	attempt(connection: Mysql2Connection): void {
		this.#connection = connection
		const { policy, attemptTimeoutMs } = this.#core
		policy.counters.attempts += 1
		const limit = attemptTimeoutMs === undefined || !this.timed ? undefined : this.limit(connection, attemptTimeoutMs)
		// mysql2 calls back twice where its own time limit passed before the link was lost.
		let told = false
		const callback: QueryCallback = (error, result, fields) => {
			const failed = error !== null && error !== undefined
			if (failed) this.failing()
			if (told) return
			told = true
			this.#connection = undefined
			if (limit !== undefined) policy.scheduler.wakeUps.cancel(limit)
			// mysql2 tells an error while it is still at work on the packet that brought it.
			if (failed) return process.nextTick(() => this.findOut(connection, error, () => this.failed(error, result, connection)))
			const undone = this.leftOpen(connection)
			this.#core.settle(connection, false)
			this.answer(true, undone, result, fields)
		}
		try {
			this.start(connection, callback)
		} catch (error) {
			// mysql2 refuses the arguments: nothing was sent, and nothing will be different next time.
			if (told) return
			told = true
			if (limit !== undefined) policy.scheduler.wakeUps.cancel(limit)
			// Never before `query` has returned, nor for a thousand of them on one stack.
			process.nextTick(() => {
				this.#core.settle(connection, false)
				this.answer(true, error)
			})
		}
	}

	private limit(connection: Mysql2Connection, timeoutMs: number) {
		const { wakeUps, clock } = this.#core.policy.scheduler
		return wakeUps.at(clock.now() + timeoutMs, () => cut(connection, this.call.cutOff()))
	}

	/** What the error itself does not say is asked for. */
	private findOut(connection: Mysql2Connection, error: unknown, then: () => void): void {
		findOut(this.#core, connection, error, () => findRefusal(this.#core, connection, error, then))
	}

	/** A session without autocommit has left it in a transaction, and its connection is closed: a write must not look as if it were done. */
	private leftOpen(connection: Mysql2Connection): HoldfastError | null {
		const { inTransaction, autocommit } = sessionOf(connection)
		if (inTransaction !== true || autocommit) return null
		const text = this.text()
		if (typeof text === 'string' && (isPlainRead(text, 'mysql') || setsAutocommit(text))) return null
		return new HoldfastError(
			'HOLDFAST_ROLLED_BACK',
			'The session has autocommit off, so the statement was left in a transaction that nobody can commit, and rolled back. Run it in pool.transaction(), or commit it on a connection of getConnection().',
		)
	}

	private failed(error: unknown, result: unknown, connection: Mysql2Connection): void {
		const fault = this.proven(this.call.classify(error, 'statement'), error)
		const { scope } = fault
		if (fault.kind === 'read_only') this.#writes = true
		this.#core.settle(connection, scope === 'connection' || scope === 'endpoint' || !isAlive(connection))
		if (this.begun()) return this.answer(true, error, result)
		this.call.next(error, fault, 'statement', this).then(
			() => this.run(),
			// Out of the promise: what the user's callback throws is an uncaught exception, as it is with the bare pool.
			// A result beside an error is that of a LOAD DATA whose stream failed.
			(final) => process.nextTick(() => this.answer(true, final, result)),
		)
	}

	/** The server's error speaks of the statement that failed. What the same text did before that is committed already. */
	private proven(fault: Fault, error: unknown): Fault {
		if (fault.outcome !== 'rolled_back' || wasNotBegun(fault, error)) return fault
		const text = this.text()
		if (typeof text === 'string' && !mayCommitPartly(text, 'mysql')) return fault
		const ended = fault.scope === 'connection' || fault.scope === 'endpoint'
		// The server's error stays the answer; only the end of the session leaves the caller without one.
		return { ...fault, outcome: 'unknown', retryable: fault.retryable && (ended || this.idempotent) }
	}
}

/**
 * ER_UNKNOWN_STMT_HANDLER from the server's own door: the statement was not found, so none of it was run. One that SQL has prepared says who
 * asked for it, and is classified as the user's business.
 */
const wasNotBegun = ({ kind }: Fault, error: unknown): boolean => kind === 'stale_plan' && (error as { errno?: unknown }).errno === 1243
