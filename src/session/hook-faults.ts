/** What does it mean when `onConnect` fails? Of its error alone one cannot tell whether it is about this server. */
import { classify } from '../classify/classify.ts'
import { HoldfastError } from '../errors.ts'
import type { Fault, FaultKind } from '../fault.ts'

const code = 'HOLDFAST_ON_CONNECT'

// Kinds of errors that say that a server cannot be reached. From a hook whose own connection is well they speak of another one.
const aboutReaching: ReadonlySet<FaultKind> = new Set(['connection_refused', 'connection_lost', 'connect_timeout', 'dns'])

const known = new WeakMap<object, Fault>()

function note<T>(error: T, fault: Fault): T {
	if (typeof error === 'object' && error !== null) known.set(error, fault)
	return error
}

/** What it means for the server that a connection attempt ended with this error. */
export function faultOfOpening(error: unknown): Fault {
	const noted = typeof error === 'object' && error !== null ? known.get(error) : undefined
	return noted ?? classify(error, { phase: 'connect' })
}

/** The hook's error, untouched, where there is one. `isWell`: its connection can still be used. */
export function hookFailed(error: unknown, isWell: boolean): unknown {
	// Callbacks take the absence of an error for success.
	if (error === undefined || error === null)
		return new HoldfastError(code, `onConnect has failed without an error: it rejected with ${error}.`)
	const fault = classify(error, { phase: 'connect' })
	if (!isWell || !aboutReaching.has(fault.kind)) return error
	return note(error, { ...fault, kind: 'permanent', scope: 'connection', retryable: false })
}

/** The time limit of a connection attempt has passed, or the pool was ended. */
export function hookTimedOut(): HoldfastError {
	const error = new HoldfastError(
		code,
		'onConnect had not finished within the time limit of a connection attempt (probeTimeoutMs of the scheduler); its connection was closed.',
	)
	return note(error, fault('connect_timeout', 'onConnect did not finish in time'))
}

/** The hook came to its end, and its connection did not live to see it. */
export function lostInHook(): HoldfastError {
	const error = new HoldfastError(code, 'The connection was lost while onConnect prepared it.')
	return note(error, fault('connection_lost', 'the connection was lost in onConnect'))
}

/** What the hook has left behind would meet the next caller. */
export function leftUnusable(): HoldfastError {
	return new HoldfastError(
		code,
		'onConnect has left its connection unusable, with a transaction open or a statement running: await every statement, and commit what it begins. The connection was closed.',
	)
}

const fault = (kind: FaultKind, reason: string): Fault => ({
	kind,
	scope: 'endpoint',
	outcome: 'not_sent',
	retryable: true,
	code,
	reason,
})
