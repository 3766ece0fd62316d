/** What state is a pg connection in, and who may open one? Health, ends, and the gate in front of `connect`. */
import { HoldfastError } from '../../src/driver.ts'
import type { PgClient, PgClientClass, QueryCallback } from './shape.ts'

/** Alive as far as the client knows, with no transaction open and nothing running. */
export function isUsable(client: PgClient): boolean {
	if (!client._queryable || client._ending || client.readyForQuery === false) return false
	const status = client.getTransactionStatus?.() ?? 'I'
	return status === 'I'
}

/** Whether a statement still runs on it, so that its transaction status is not the last word. */
export const isBusy = (client: PgClient): boolean => client.readyForQuery === false && client._queryable && !client._ending

/** Calls `then` once nothing runs on the client any more, or the client is dead. At once, where that is so already. */
export function whenQuiet(client: PgClient, then: () => void): void {
	if (!isBusy(client)) return then()
	const quiet = () => {
		client.removeListener('drain', quiet)
		client.removeListener('end', quiet)
		then()
	}
	client.on('drain', quiet)
	client.on('end', quiet)
}

/** Whether what runs on it will end by itself. A cursor that nobody reads to its end never does. */
export function willBecomeQuiet(client: PgClient): boolean {
	const active = client._getActiveQuery?.()
	if (active === null || active === undefined) return true
	const state = active.cursor?.state ?? active.state
	return state === undefined || state === 'done' || state === 'error'
}

/** Cuts the link at once: `end` would wait for a server that may be gone. What runs on it fails with the error. */
export function cut(client: PgClient, error?: Error): void {
	if (client.connection === undefined) client.end(() => {})
	else client.connection.stream.destroy(error)
}

/** Runs a text on the client, as a promise without a rewritten stack. */
export function execute(client: PgClient, text: string): Promise<unknown> {
	return new Promise((resolve, reject) => {
		const done: QueryCallback = (error, result) => {
			if (error === null || error === undefined) resolve(result)
			else reject(error)
		}
		client.query(text, undefined, done)
	})
}

/** What the gate of a pool sees of its clients. */
export interface Gate {
	/** True if the pool may open this connection now. */
	admits(client: PgClient): boolean
	/** Called for every client of the pool when its link breaks. */
	broken(client: PgClient): void
}

/** Raised inside the pool for a connection that it wanted to open by itself. Nobody outside sees it. */
export const notAdmitted = new HoldfastError('HOLDFAST_CLOSED', 'The pool opened a connection by itself; it has to wait its turn.')

/** The pool's client class, with a gate in front of `connect` and an ear for its errors, so that none of them ends the process. */
export function gatedClass(Base: PgClientClass, gate: Gate): PgClientClass {
	return class extends Base {
		constructor(options: unknown) {
			super(options)
			listen(this, gate)
		}

		override connect(callback: (error: unknown) => void): unknown {
			if (gate.admits(this)) return super.connect(callback)
			process.nextTick(callback, notAdmitted)
			return undefined
		}
	}
}

/** One listener for the client's whole life: no call has to add one. */
export function listen(client: PgClient, gate: Gate): void {
	client.on('error', () => gate.broken(client))
}
