/** How does a statement on the pool run, and run again? Every form of `pool.query` and `pool.execute` that mysql2 accepts. */
import { type Call, type Fault, HoldfastError, isPlainRead, mayCommitPartly, ownOptions, type Repeatability } from '../../src/driver.ts'
import { cut } from './client.ts'
import type { Mysql2Core } from './core.ts'
import { findOut } from './interrupted.ts'
import { findRefusal } from './refused.ts'
import type { Mysql2Connection, QueryCallback } from './shape.ts'
import { isAlive, sessionOf, setsAutocommit } from './state.ts'

/** What one statement is, and who hears of it. */
export interface Work {
	readonly sql: unknown
	/** Sends it, once for each attempt. What it throws was refused by mysql2: nothing was sent. */
	start(connection: Mysql2Connection, callback: QueryCallback): void
	/** Whether the caller has been given a part of the answer: then it is not run again. */
	begun(): boolean
	/** Whether `attemptTimeoutMs` is for it: the reader of a stream sets its own pace. */
	readonly timed: boolean
	/** Called once. `served`: there was a connection, and mysql2's own answer is passed on. */
	done(served: boolean, error: unknown, result?: unknown, fields?: unknown): void
}

/** Where statements get their connections, and leave them. */
export type Connections = Pick<
	Mysql2Core,
	'policy' | 'attemptTimeoutMs' | 'call' | 'ask' | 'settle' | 'limit' | 'turnedReadOnly' | 'isStale'
>

/** One statement of the pool, from the call to its result. */
export class Statement implements Repeatability {
	readonly #core: Connections
	readonly #work: Work
	readonly #call: Call
	#connection: Mysql2Connection | undefined
	/** It was refused by a server that takes no writes: it writes, whatever its text looks like. */
	#writes = false
	readonly idempotent: boolean

	/** `call`, where the wait for its first connection has begun already. */
	constructor(core: Connections, work: Work, call?: Call) {
		const options = ownOptions(work.sql)
		this.#core = core
		this.#work = work
		this.#call = call ?? core.call(options)
		this.idempotent = options.idempotent === true
	}

	/** The connection that it runs on now. */
	get connection(): Mysql2Connection | undefined {
		return this.#connection
	}

	reads(): boolean {
		const text = this.#text()
		return !this.#writes && this.#core.policy.readsAreSafe && typeof text === 'string' && isPlainRead(text, 'mysql')
	}

	/** Starts an attempt on the next connection. */
	run(): void {
		this.#call.waiting()
		const served: Parameters<Connections['ask']>[1] = (error, connection) => {
			this.#call.served()
			if (connection === undefined) this.#work.done(false, this.#call.waitFailed(error))
			else this.attempt(connection)
		}
		this.#core.ask(this.#call, served, this)
	}

	#text(): unknown {
		const { sql } = this.#work
		return typeof sql === 'string' ? sql : (sql as { sql?: unknown } | null)?.sql
	}

	/** Starts an attempt on this connection, which goes back to the pool afterwards. */
	attempt(connection: Mysql2Connection): void {
		this.#connection = connection
		const { policy, attemptTimeoutMs } = this.#core
		policy.counters.attempts += 1
		const { wakeUps, clock } = policy.scheduler
		const limit =
			attemptTimeoutMs === undefined || !this.#work.timed
				? undefined
				: wakeUps.at(clock.now() + attemptTimeoutMs, () => cut(connection, this.#call.cutOff()))
		// mysql2 calls back twice where its own time limit passed before the link was lost.
		let told = false
		const callback: QueryCallback = (error, result, fields) => {
			if (told) return
			told = true
			wakeUps.cancel(limit)
			this.#connection = undefined
			// mysql2 tells an error while it is still at work on the packet that brought it.
			if (error !== null && error !== undefined) {
				process.nextTick(() => this.#findOut(connection, error, () => this.#failed(error, result, connection)))
				return
			}
			const undone = this.#leftOpen(connection)
			this.#core.settle(connection, false)
			this.#work.done(true, undone, result, fields)
		}
		try {
			this.#work.start(connection, callback)
		} catch (error) {
			// mysql2 refuses the arguments: nothing was sent, and nothing will be different next time.
			told = true
			wakeUps.cancel(limit)
			this.#core.settle(connection, false)
			this.#work.done(true, error)
		}
	}

	/** What the error itself does not say is asked for. */
	#findOut(connection: Mysql2Connection, error: unknown, then: () => void): void {
		findOut(this.#core, connection, error, () => findRefusal(this.#core, connection, error, then))
	}

	/** A session without autocommit has left it in a transaction, and its connection is closed: a write must not look as if it were done. */
	#leftOpen(connection: Mysql2Connection): HoldfastError | null {
		const { inTransaction, autocommit } = sessionOf(connection)
		if (inTransaction !== true || autocommit) return null
		const text = this.#text()
		if (typeof text === 'string' && (isPlainRead(text, 'mysql') || setsAutocommit(text))) return null
		return new HoldfastError(
			'HOLDFAST_ROLLED_BACK',
			'The session has autocommit off, so the statement was left in a transaction that nobody can commit, and rolled back. Run it in pool.transaction(), or commit it on a connection of getConnection().',
		)
	}

	#failed(error: unknown, result: unknown, connection: Mysql2Connection): void {
		const fault = this.#proven(this.#call.classify(error, 'statement'), error)
		const { scope } = fault
		if (fault.kind === 'read_only') this.#writes = true
		this.#core.settle(connection, scope === 'connection' || scope === 'endpoint' || !isAlive(connection))
		if (this.#work.begun()) return this.#work.done(true, error, result)
		this.#call.next(error, fault, 'statement', this).then(
			() => this.run(),
			// Out of the promise: what the user's callback throws is an uncaught exception, as it is with the bare pool.
			// A result beside an error is that of a LOAD DATA whose stream failed.
			(final) => process.nextTick(() => this.#work.done(true, final, result)),
		)
	}

	/** The server's error speaks of the statement that failed. What the same text did before that is committed already. */
	#proven(fault: Fault, error: unknown): Fault {
		if (fault.outcome !== 'rolled_back' || wasNotBegun(fault, error)) return fault
		const text = this.#text()
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
