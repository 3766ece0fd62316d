/** How does a cursor, a stream or another query object run on the pool? Rerun only until its first row could have been seen. */
import { type Call, isPlainRead, type PoolCore, type Repeatability } from '../../src/driver.ts'
import { cut } from './client.ts'
import { ownOptions, settle } from './query.ts'
import type { PgClient, QueryCallback, Submittable } from './shape.ts'

/** Runs a query object on a connection of the pool, which is returned when the object is done. Resolves then, or rejects with its error. */
export function runSubmittable(core: PoolCore<PgClient>, query: Submittable, callback: QueryCallback | undefined): Promise<unknown> {
	const promise = new Promise((resolve, reject) => {
		let told = false
		const settled: QueryCallback = (error, result) => {
			if (told) return
			told = true
			if (error === null || error === undefined) resolve(result)
			else reject(error)
			callback?.(error, result)
		}
		new SubmittableRun(core, query, settled).run()
	})
	// The object tells its owner of the error; the promise is for those who look at it.
	promise.catch(() => {})
	return promise
}

class SubmittableRun implements Repeatability {
	readonly #core: PoolCore<PgClient>
	readonly #query: Submittable
	readonly #settled: QueryCallback
	readonly #call: Call
	readonly #own: Pick<Submittable, 'handleError' | 'handleRowDescription' | 'handleReadyForQuery'>
	readonly idempotent: boolean
	#client: PgClient | undefined
	#begun = false

	constructor(core: PoolCore<PgClient>, query: Submittable, settled: QueryCallback) {
		const options = ownOptions(query)
		this.#core = core
		this.#query = query
		this.#settled = settled
		this.#call = core.call(options)
		this.idempotent = options.idempotent === true
		const { handleError, handleRowDescription, handleReadyForQuery } = query
		this.#own = { handleError, ...(handleRowDescription && { handleRowDescription }), handleReadyForQuery }
		query.handleError = (error, connection) => this.#failed(error, connection)
		query.handleReadyForQuery = (connection) => this.#finished(connection)
		if (handleRowDescription !== undefined) {
			query.handleRowDescription = (message) => {
				this.#begun = true
				return handleRowDescription.call(query, message)
			}
		}
	}

	reads(): boolean {
		const text = this.#query.text ?? this.#query.cursor?.text
		return this.#core.policy.readsAreSafe && typeof text === 'string' && isPlainRead(text, 'postgres')
	}

	run(): void {
		const { deadlineAtMs, signal } = this.#call
		this.#core.borrow({
			deadlineAtMs,
			signal,
			done: (error, client) => {
				if (client === undefined) this.#tell(this.#call.waitFailed(error), undefined)
				else this.#submit(client)
			},
		})
	}

	#submit(client: PgClient): void {
		this.#client = client
		this.#core.policy.counters.attempts += 1
		// pg.Query hands its result to a callback; cursors and streams have no use for one.
		const expectsCallback = 'callback' in this.#query && this.#query.callback === undefined
		client.query(this.#query, undefined, expectsCallback ? this.#settled : undefined)
	}

	#finished(connection: unknown): unknown {
		this.#restore()
		const returned = this.#own.handleReadyForQuery.call(this.#query, connection)
		const client = this.#client as PgClient
		settle(this.#core, client, undefined, false)
		this.#settled(null, undefined)
		return returned
	}

	#failed(error: unknown, connection: unknown): void {
		const client = this.#client as PgClient
		const fault = this.#call.classify(error, 'statement')
		if (this.#begun || isBeingRead(this.#query)) return this.#tell(error, connection)
		this.#call.next(error, fault, 'statement', this).then(
			() => {
				// The object was not told, so it has not ended its half of the protocol: the connection cannot be used on.
				if (fault.scope === 'connection' || fault.scope === 'endpoint') this.#core.lost(client)
				this.#client = undefined
				client.release(error)
				cut(client)
				this.#core.returned()
				this.run()
			},
			(final) => this.#tell(final, connection),
		)
	}

	/** Hands the error to the object, as pg would have done, and its connection back. */
	#tell(error: unknown, connection: unknown): void {
		this.#restore()
		this.#own.handleError.call(this.#query, error, connection)
		const client = this.#client
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

// A read that a cursor has sent is not sent again by submitting it anew: its caller would wait for ever.
function isBeingRead(query: Submittable): boolean {
	const state = query.cursor?.state ?? query.state
	return state !== undefined && state !== 'initialized' && state !== 'submitted'
}
