/** What does an attempt mean that was not committed: which error counts, and is it a reason to run the work again? Pure. */
import type { Doubt } from '../call.ts'
import type { TransactionStatus } from '../contract.ts'
import { HoldfastError } from '../errors.ts'
import type { Fault, Phase } from '../fault.ts'

/** An attempt that failed, as the call has to know it. */
export interface Failure {
	readonly error: unknown
	readonly fault: Fault
	readonly phase: Phase
	readonly doubt?: Doubt
	/** It failed only because Holdfast has limited how long it may wait for locks: it is run again, whatever the policy says. */
	readonly cutShort?: boolean
}

/** What is known when the user's function has thrown. */
export interface Evidence {
	readonly thrown: unknown
	/** The error after which the server took no further statement. */
	readonly abortedBy: unknown
	/** How the transaction stood before it was rolled back. */
	readonly status: TransactionStatus
	/** Another call, or a `retry`, that the function has made has given up on what it threw. */
	readonly spent: boolean
	/** False where the rollback failed. */
	readonly undone: boolean
}

type Classify = (error: unknown) => Fault

/** The user's function threw: its own error, one of this database, or one from elsewhere. */
export function judge({ thrown, abortedBy, spent, status, undone }: Evidence, classify: Classify): Failure {
	const cause = abortedBy === undefined ? undefined : classify(abortedBy)
	if (status === 'none' && !(cause?.scope === 'transaction' && cause.outcome === 'rolled_back')) {
		// It was not the server that ended the transaction but the function, and perhaps by committing it.
		return { error: thrown, fault: { ...permanent(classify(thrown)), outcome: 'unknown' }, phase: 'statement' }
	}
	// From here on COMMIT was never sent, so nothing of this attempt can have been applied.
	if (cause !== undefined && (status !== 'open' || !undone)) {
		// What the function threw may be its own wording, or the "current transaction is aborted" of a later statement.
		const error = cause.retryable && sqlstate(thrown) === '25P02' ? abortedBy : thrown
		return { error, fault: { ...cause, outcome: 'rolled_back' }, phase: 'statement' }
	}
	const fault: Fault = { ...classify(thrown), outcome: 'rolled_back' }
	// Errors from elsewhere (another server's ECONNREFUSED, say) tell nothing of this database. A conflict is a request to run again.
	return { error: thrown, fault: fault.scope === 'transaction' && !spent ? fault : permanent(fault), phase: 'statement' }
}

/** The function returned although its transaction could not be committed any more. */
export function swallowed(abortedBy: unknown, classify: Classify): Failure {
	const error =
		abortedBy ??
		new HoldfastError('HOLDFAST_ROLLED_BACK', 'The server answered COMMIT by rolling back, and no statement of the transaction had failed.')
	return { error, fault: { ...classify(error), outcome: 'rolled_back' }, phase: 'statement' }
}

/** The function returned, and there was no transaction any more. What it has done by hand is not known here. */
export function endedByHand(classify: Classify): Failure {
	const error = new HoldfastError(
		'HOLDFAST_TRANSACTION_CONTROL',
		'The function ended its transaction itself. It is not run again: what it has committed by hand stays committed.',
	)
	return { error, fault: { ...classify(error), outcome: 'unknown' }, phase: 'statement' }
}

/** Part of the work was committed on the way, or may have been: that the rest has no effect does not make the whole repeatable. */
export function partlyCommitted(failure: Failure, statement: string, idempotent: boolean): Failure {
	const { error, fault } = failure
	// A commit in doubt stays one, and a permanent error passes through as it is.
	if (fault.outcome === 'unknown' || !fault.retryable) return failure
	if (idempotent) return { ...failure, fault: { ...fault, outcome: 'unknown' } }
	const told = new HoldfastError(
		'HOLDFAST_PARTLY_COMMITTED',
		`${statement} commits implicitly, so what the function did up to it is committed or may be; what came after it was rolled back. The function is not run again: it would do the first part twice. Run such statements outside transactions, or pass idempotent: true if the function may run twice.`,
		{ cause: error },
	)
	return { error: told, fault: { ...permanent(fault), outcome: 'unknown' }, phase: 'statement' }
}

const permanent = (fault: Fault): Fault => ({ ...fault, kind: 'permanent', retryable: false })

function sqlstate(error: unknown): unknown {
	return typeof error === 'object' && error !== null && 'code' in error ? error.code : undefined
}
