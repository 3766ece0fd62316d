/** What does a borrower hold whose connection was replaced? The same object, which another connection answers for. */
import type { Call, Fault } from '../../src/driver.ts'
import type { Mysql2Connection } from './shape.ts'

// What mysql2 documents of a connection and what goes to the server; the rest works on a dead one as well.
const answered = ['query', 'execute', 'ping', 'reset', 'changeUser', 'prepare', 'unprepare', 'pause', 'resume', 'destroy'] as const

// What `pool.releaseConnection` does with a connection for which another one answers, or is looked for.
const givenBack = new WeakMap<Mysql2Connection, () => void>()

/** Gives back what answers for this connection, or ends the search for it. False where there is nothing of the kind. */
export function giveBackBehind(held: Mysql2Connection): boolean {
	const back = givenBack.get(held)
	back?.()
	return back !== undefined
}

/** Until the returned function is called, `left` hears that the borrower has given back, or destroyed, what is to be replaced. */
function whileMoving(held: Mysql2Connection, left: () => void): () => void {
	const object: Record<string, unknown> = held as never
	for (const name of ['release', 'destroy']) object[name] = left
	givenBack.set(held, left)
	return () => {
		for (const name of ['release', 'destroy']) delete object[name]
		givenBack.delete(held)
	}
}

/** Lets `fresh` answer for `held` until that is released: then `fresh` goes back to the pool, and `held` is as dead as before. */
function standIn(held: Mysql2Connection, fresh: Mysql2Connection): void {
	const object: Record<string, unknown> = held as never
	const methods: Record<string, (...args: unknown[]) => unknown> = fresh as never
	for (const name of answered) object[name] = (...args: unknown[]) => methods[name]?.(...args)
	Object.defineProperty(held, 'threadId', { value: fresh.threadId, configurable: true, writable: true })
	const release = () => {
		for (const name of [...answered, 'release']) delete object[name]
		givenBack.delete(held)
		fresh.release()
	}
	object.release = release
	givenBack.set(held, release)
}

// Where a connection leads, and as whom: whoever changes that calls `changeUser`.
const ofPlace = new Set(['host', 'port', 'socketPath', 'user', 'password', 'database', 'charsetNumber', 'pool'])

/** What a borrower may have set in the options of his connection, such as `namedPlaceholders`, holds for the next one as well. */
function carryOptions(held: Mysql2Connection, fresh: Mysql2Connection): void {
	for (const [name, value] of Object.entries(held.config)) if (!ofPlace.has(name)) Reflect.set(fresh.config, name, value)
}

/** How another connection is got for a borrower. */
export interface Next {
	readonly call: Call
	/** Ends the wait for it. */
	readonly left: AbortController
	get(): Promise<Mysql2Connection>
	/** Makes it the borrower's. */
	lend(fresh: Mysql2Connection): Promise<void>
}

/**
 * Has another connection answer for this one, which has left the pool, after work on it failed without effect; `run` is the first to use it. Rejects
 * with what the borrower is to be told: the error, once the call has waited long enough, or the borrower is gone.
 */
export async function moveTo(
	held: Mysql2Connection,
	next: Next,
	error: unknown,
	fault: Fault,
	run: (fresh: Mysql2Connection) => void,
): Promise<void> {
	const { call, left } = next
	const moved = whileMoving(held, () => left.abort(error))
	let fresh: Mysql2Connection | undefined
	try {
		await call.next(error, fault, 'statement', { idempotent: true, reads: () => true })
		fresh = await next.get()
		fresh._released = false
		await next.lend(fresh)
		left.signal.throwIfAborted()
	} catch (final) {
		fresh?.release()
		throw final
	} finally {
		moved()
	}
	carryOptions(held, fresh)
	standIn(held, fresh)
	run(fresh)
}
