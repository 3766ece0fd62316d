/** How does a cursor, a stream or another query object run on the pool? Rerun only until its first row could have been seen. */
import { type Call, isPlainRead, ownOptions, type Repeatability } from '../../src/driver.ts'
import { cut } from './client.ts'
import type { PgCore } from './core.ts'
import { commandsCompleted, provenFault } from './proof.ts'
import { settle } from './query.ts'
import type { PgClient, QueryCallback, Submittable } from './shape.ts'

/** A connection that was borrowed for the query object already, and the call that waited for it. */
interface Begun {
	readonly call: Call
	readonly client: PgClient
}

/** Runs a query object on a connection of the pool, which is returned when the object is done. Resolves then, or rejects with its error. */
export function runSubmittable(core: PgCore, query: Submittable, callback: QueryCallback | undefined, begun?: Begun): Promise<unknown> {
	const promise = new Promise((resolve, reject) => {
		let told = false
		const settled: QueryCallback = (error, result) => {
			if (told) return
			told = true
			if (error === null || error === undefined) resolve(result)
			else reject(error)
			callback?.(error, result)
		}
		const run = new SubmittableRun(core, query, settled, begun?.call)
		if (begun === undefined) run.run()
		else run.submit(begun.client)
	})
	// The object tells its owner of the error; the promise is for those who look at it.
	promise.catch(() => {})
	return promise
}

class SubmittableRun implements Repeatability {
	readonly #core: PgCore
	readonly #query: Submittable
	readonly #settled: QueryCallback
	readonly #call: Call
	readonly #own: Pick<Submittable, 'handleError' | 'handleRowDescription' | 'handleReadyForQuery'>
	readonly idempotent: boolean
	#client: PgClient | undefined
	#begun = false
	#commandsBefore: number | undefined
	#failing = false

	constructor(core: PgCore, query: Submittable, settled: QueryCallback, call?: Call) {
		const options = ownOptions(query)
		this.#core = core
		this.#query = query
		this.#settled = settled
		this.#call = call ?? core.call(options)
		this.idempotent = options.idempotent === true
		const { handleError, handleRowDescription, handleReadyForQuery } = query
		this.#own = {
			handleError,
			...(handleRowDescription && { handleRowDescription }),
			...(handleReadyForQuery && { handleReadyForQuery }),
		}
		query.handleError = (error, connection) => this.#failed(error, connection)
		if (handleReadyForQuery !== undefined) query.handleReadyForQuery = (connection) => this.#finished(connection)
		if (handleRowDescription !== undefined) {
			query.handleRowDescription = (message) => {
				this.#begun = true
				return handleRowDescription.call(query, message)
			}
		}
	}

	reads(): boolean {
		const text = this.#text()
		return this.#core.policy.readsAreSafe && typeof text === 'string' && isPlainRead(text, 'postgres')
	}

	#text(): unknown {
		return this.#query.text ?? this.#query.cursor?.text
	}

	run(): void {
		const { deadlineAtMs, signal, isBatch } = this.#call
		this.#core.borrow({
			deadlineAtMs,
			signal,
			isBatch,
			done: (error, client) => {
				if (client === undefined) this.#tell(this.#call.waitFailed(error), undefined)
				else this.submit(client)
			},
		})
	}

	submit(client: PgClient): void {
		this.#client = client
		this.#commandsBefore = commandsCompleted(client)
		this.#core.policy.counters.attempts += 1
		const query = this.#query
		// pg.Query hands its result to a callback; cursors and streams have no use for one.
		if ('callback' in query && query.callback === undefined) query.callback = this.#settled
		this.#failing = false
		if (this.#own.handleReadyForQuery === undefined) query.once?.('_done', () => this.#failing || this.#finished(undefined))
		try {
			client.query(query, undefined, undefined)
		} catch (error) {
			this.#tell(error, client.connection)
		}
	}

	#finished(connection: unknown): unknown {
		this.#restore()
		const client = this.#client
		this.#client = undefined
		if (client !== undefined) settle(this.#core, client, undefined, false)
		const returned = this.#own.handleReadyForQuery?.call(this.#query, connection)
		this.#settled(undefined, undefined)
		return returned
	}

	#failed(error: unknown, connection: unknown): void {
		this.#failing = true
		const client = this.#client as PgClient
		const sent = { client, before: this.#commandsBefore, text: this.#text(), idempotent: this.idempotent }
		const fault = provenFault(this.#call.classify(error, 'statement'), sent)
		const begun = this.#begun || isBeingRead(this.#query) || (fault.outcome !== 'not_sent' && !startsAnew(this.#query, client))
		if (begun) return this.#tell(error, connection)
		this.#call.next(error, fault, 'statement', this).then(
			() => {
				// The object was not told, so it has not ended its half of the protocol: the connection cannot be used on.
				if (fault.scope === 'connection' || fault.scope === 'endpoint') this.#core.lost(client)
				// pg.Query takes its name from there: under one that is taken it would fail for ever.
				if (fault.kind === 'stale_plan') this.#query.name = undefined
				this.#client = undefined
				client.release(error)
				cut(client)
				this.#core.returned()
				this.run()
			},
			// Out of the promise: what an 'error' event or a callback throws is an uncaught exception, as it is with the bare pool.
			(final) => process.nextTick(() => this.#tell(final, connection)),
		)
	}

	/** Hands the error to the object, as pg would have done, and its connection back. */
	#tell(error: unknown, connection: unknown): void {
		this.#restore()
		const client = this.#client
		const { cursor } = this.#query
		if (client !== undefined && !client._queryable && cursor !== undefined && this.#query.destroy !== undefined) {
			// A stream that fails closes its cursor and waits for the server's answer to that, which a dead link never brings.
			cursor.state = 'done'
			this.#query.destroy(error as Error)
		} else this.#own.handleError.call(this.#query, error, connection)
		if (client !== undefined) {
			this.#client = undefined
			const fault = this.#call.classify(error, 'statement')
			settle(this.#core, client, error, fault.scope === 'connection' || fault.scope === 'endpoint' || !client._queryable)
		}
		this.#settled(error)
	}

	#restore(): void {
		Object.assign(this.#query, this.#own)
	}
}

/** Cursors, streams over them and pg.Query begin again when they are submitted again. Of others, COPY streams say, part may be gone. */
function startsAnew(query: Submittable, client: PgClient): boolean {
	const { Query } = client.constructor as { Query?: abstract new (...args: never[]) => object }
	return (
		query.cursor !== undefined || (query.read !== undefined && query.state !== undefined) || (Query !== undefined && query instanceof Query)
	)
}

// A read that a cursor has sent is not sent again by submitting it anew: its caller would wait for ever.
function isBeingRead(query: Submittable): boolean {
	const state = query.cursor?.state ?? query.state
	return state !== undefined && state !== 'initialized' && state !== 'submitted'
}
