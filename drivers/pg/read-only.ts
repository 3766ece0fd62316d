/** Why has a server refused a write: because it takes none, or because somebody wants it so? It is asked. */
import { type Call, classify, type Fault } from '../../src/driver.ts'
import { cut } from './client.ts'
import { askRole } from './hosts.ts'
import type { PgClient } from './shape.ts'
import { isAlive, isUsable } from './state.ts'
import { sqlstateOf } from './witness.ts'

/** The pool of the connection. */
interface Refusing {
	call(options: object): Call
	breaks(error: unknown): boolean
	isStale(client: PgClient): boolean
	turnedReadOnly(client: PgClient, fault: Fault, error: unknown): void
}

/**
 * The fault of an error, on a connection outside any transaction. Where the server turns out to be a replica, or to be set read-only, the
 * connection and its generation go, and the work can be run again once a server takes writes.
 */
export function faultOfRefusal(pool: Refusing, client: PgClient, error: unknown, fault: Fault, call: Call): Promise<Fault> {
	return new Promise((resolve) => {
		const unguard = call.guard((late) => cut(client, late))
		askRole(client, (failed, role, writes) => {
			unguard()
			// The link broke under the question. What the error says of the work stands: it had no effect.
			if (role === undefined) return resolve(pool.breaks(failed) ? { ...fault, scope: 'connection', retryable: isUndone(fault) } : fault)
			if (role === 'primary') {
				// Another connection has met the same refusal before: this server has been promoted since.
				if (pool.isStale(client)) return resolve({ ...fault, scope: 'connection', retryable: isUndone(fault) })
				// It has changed back before it could be asked. Or somebody says READ ONLY in each of his transactions: once is enough to see that.
				// 0A000 says too much else.
				const mayWrite = writes === true && fault.kind === 'read_only' && !lookedAgain.has(client)
				if (mayWrite) lookedAgain.add(client)
				return resolve(mayWrite ? { ...fault, retryable: isUndone(fault) } : fault)
			}
			const found: Fault = {
				...fault,
				kind: 'read_only',
				scope: 'endpoint',
				retryable: isUndone(fault),
				reason: role === 'replica' ? 'the server is a replica, or has become one' : 'the server was set read-only',
			}
			pool.turnedReadOnly(client, found, error)
			resolve(found)
		})
	})
}

const lookedAgain = new WeakSet<PgClient>()

const isUndone = ({ outcome }: Fault): boolean => outcome === 'rolled_back' || outcome === 'not_sent'

// 25006 refuses a write. 0A000 (feature_not_supported) refuses, beside much else, a transaction that a standby cannot open: one that is
// serializable, or declared READ WRITE.
const refusing = new Set(['25006', '0A000'])

/** The refusals in transactions that may write, from the error to what the server says when it can be asked: once it is rolled back. */
export class Refusals {
	readonly #writing = new WeakSet<PgClient>()
	readonly #heard = new WeakMap<PgClient, object>()
	readonly #refusedOn = new WeakMap<object, PgClient>()
	readonly #found = new WeakMap<object, Fault>()

	/** A transaction that may write is on this connection. */
	begun(client: PgClient): void {
		this.#writing.add(client)
	}

	/** One of its statements has failed. */
	heard(client: PgClient, error: unknown): void {
		if (typeof error !== 'object' || error === null || !refusing.has(sqlstateOf(error) ?? '')) return
		if (!this.#writing.has(client) || this.#heard.has(client)) return
		this.#heard.set(client, error)
		this.#refusedOn.set(error, client)
	}

	/** It was rolled back: whether it was the server that takes no writes can be asked now. */
	async rolledBack(pool: Refusing, client: PgClient): Promise<void> {
		const error = this.#heard.get(client)
		if (error === undefined || !isUsable(client)) return
		const call = pool.call({})
		const fault: Fault = { ...call.classify(error, 'statement'), outcome: 'rolled_back' }
		const found = await faultOfRefusal(pool, client, error, fault, call)
		if (found !== fault) this.#found.set(error, found)
	}

	/** The connection is given back. */
	over(client: PgClient): void {
		this.#writing.delete(client)
		this.#heard.delete(client)
	}

	/** What was found out of an error. */
	faultOf(error: unknown): Fault | undefined {
		if (typeof error !== 'object' || error === null) return undefined
		const found = this.#found.get(error)
		if (found !== undefined) return found
		// The link broke before the server could be asked. Its transaction had failed, so nothing of it is left.
		const client = this.#refusedOn.get(error)
		if (client === undefined || isAlive(client)) return undefined
		return { ...classify(error, { phase: 'statement' }), scope: 'connection', outcome: 'rolled_back', retryable: true }
	}
}
