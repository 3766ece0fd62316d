/** Which errors does Holdfast raise itself? Each says what happened, what is known of the work, and what to do. */
import type { Fault, Outcome } from './fault.ts'

/** The codes of Holdfast's own errors. Match on these (or on the classes); texts may change. */
export type HoldfastErrorCode =
	| 'HOLDFAST_RETRIES_EXHAUSTED'
	| 'HOLDFAST_IN_DOUBT'
	| 'HOLDFAST_OVERLOAD'
	| 'HOLDFAST_DEADLINE'
	| 'HOLDFAST_CLOSED'
	| 'HOLDFAST_TRANSACTION_ENDED'
	| 'HOLDFAST_TRANSACTION_CONTROL'
	| 'HOLDFAST_ROLLED_BACK'
	| 'HOLDFAST_PARTLY_COMMITTED'
	| 'HOLDFAST_ATTEMPT_TIMEOUT'
	| 'HOLDFAST_LINK_LOST'
	| 'HOLDFAST_LEDGER'
	| 'HOLDFAST_MIGRATION_BLOCKED'
	| 'HOLDFAST_MIGRATIONS_LOCKED'
	| 'HOLDFAST_POOLER'
	| 'HOLDFAST_NO_HOST'
	| 'HOLDFAST_ON_CONNECT'

// Symbol.for, so that the check holds across two copies of the package in one process.
const brand = Symbol.for('holdfast.error')

/** Base of every error that Holdfast raises itself. The driver's own errors are never wrapped unless the class says so. */
export class HoldfastError extends Error {
	readonly code: HoldfastErrorCode

	constructor(code: HoldfastErrorCode, message: string, options?: { cause?: unknown }) {
		super(message, options)
		this.name = new.target.name
		this.code = code
		Object.defineProperty(this, brand, { value: true })
	}

	/** True for errors of any copy of Holdfast in the process. */
	static is(error: unknown): error is HoldfastError {
		return typeof error === 'object' && error !== null && brand in error
	}
}

/** What `RetryError` keeps of the attempt that was the last. */
export interface LastAttempt {
	readonly number: number
	readonly failed: boolean
	readonly error: unknown
	readonly result: unknown
}

/** `retry()` gave up: the stop rule ended it. `lastAttempt` holds the last error or the unwanted result; `cause` is that error. */
export class RetryError extends HoldfastError {
	readonly lastAttempt: LastAttempt

	constructor(lastAttempt: LastAttempt, message: string) {
		super('HOLDFAST_RETRIES_EXHAUSTED', message, lastAttempt.failed ? { cause: lastAttempt.error } : undefined)
		this.lastAttempt = lastAttempt
	}
}

/** What an `InDoubtError` knows of the work. */
export interface DoubtDetails {
	/** The driver's own error. */
	cause: unknown
	/** How many attempts were made, this one included. */
	attempts: number
	/** What was under way: a statement outside a transaction, or COMMIT. */
	phase: 'statement' | 'commit'
	/** The server's transaction id, where it was asked for. */
	xid?: string | undefined
	/** The token in the commit ledger, where there is one. */
	token?: string | undefined
	/** One more sentence on why it could not be decided. */
	detail?: string | undefined
}

/**
 * The work may have been applied and may not: it was sent, the connection died, and no answer came. It was not run again.
 * `cause` is the driver's error. To have such work rerun, declare it `idempotent: true`; otherwise look for its effect before repeating it.
 */
export class InDoubtError extends HoldfastError {
	readonly outcome: Outcome = 'unknown'
	readonly attempts: number
	readonly phase: 'statement' | 'commit'
	readonly xid: string | undefined
	readonly token: string | undefined

	constructor(details: DoubtDetails) {
		const what = details.phase === 'commit' ? 'COMMIT was sent' : 'The statement was sent'
		const advice =
			details.phase === 'commit'
				? 'The transaction may be durable: look for its effect before repeating it, or declare it idempotent'
				: 'It may have been applied: look for its effect before repeating it, or pass idempotent: true if it may run twice'
		super(
			'HOLDFAST_IN_DOUBT',
			`${what} and the connection was lost before the answer. ${details.detail ? `${details.detail} ` : ''}${advice}.`,
			{
				cause: details.cause,
			},
		)
		this.attempts = details.attempts
		this.phase = details.phase
		this.xid = details.xid
		this.token = details.token
	}
}

/** The queue at the gate was full (`maxWaiting`), or so many wait that the deadline would pass first. Nothing was sent; shed load or try later. */
export class OverloadError extends HoldfastError {
	constructor(message: string, options?: { cause?: unknown }) {
		super('HOLDFAST_OVERLOAD', message, options)
	}
}

/** The deadline passed while the call waited for the endpoint. Nothing of this call was sent. `cause` is the endpoint's last error. */
export class DeadlineError extends HoldfastError {
	/** The fault that the endpoint's last error was, where there was one. */
	readonly fault: Fault | undefined

	constructor(message: string, options?: { cause?: unknown; fault?: Fault | undefined }) {
		super('HOLDFAST_DEADLINE', message, options)
		this.fault = options?.fault
	}
}
