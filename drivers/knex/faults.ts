/** Which error does a caller of knex get? The true cause, in the class that knex's users know, and without the values of a statement. */
import knexPackage from 'knex'
import { HoldfastError } from '../../src/driver.ts'
import { classify } from '../../src/index.ts'

/** knex's own error for a pool that stays busy; anything else as it is. */
export function acquireError(error: unknown): unknown {
	if (HoldfastError.is(error) || classify(error, { phase: 'connect' }).kind !== 'pool_timeout') return error
	return busyError(error)
}

/** The words of knex for the same event. */
export function busyError(cause: unknown): Error {
	const error = new knexPackage.KnexTimeoutError(
		'Knex: Timeout acquiring a connection. The pool is probably full. Are you missing a .transacting(trx) call?',
	)
	error.cause = cause
	return error
}

/**
 * knex writes the statement in front of the message of each error, on MySQL with its values. In Holdfast's own errors no value may
 * stand, and several callers may get the same one.
 */
export function keepMessage(error: unknown): unknown {
	if (HoldfastError.is(error) && Object.getOwnPropertyDescriptor(error, 'message')?.set === undefined) {
		const { message } = error
		Object.defineProperty(error, 'message', { configurable: true, get: () => message, set: () => {} })
	}
	return error
}
