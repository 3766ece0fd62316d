/** On what does a builder's one statement run, on PostgreSQL? On a connection that may change when the statement is run again. */
import { type Call, isOnce } from '../../src/driver.ts'
import { cut } from '../pg/client.ts'
import type { PgCore } from '../pg/core.ts'
import { CallbackStatement, settle } from '../pg/query.ts'
import type { PgClient, PgPool, QueryCallback, Submittable } from '../pg/shape.ts'
import { runSubmittable } from '../pg/submittable.ts'
import type { Abandoning } from './abandoning.ts'
import type { StatementConnection } from './backend.ts'
import { keepMessage } from './faults.ts'
import type { KnexConnection } from './shape.ts'
import { nextUid } from './uid.ts'

export class PgStatementConnection implements StatementConnection {
	__knexTxId: undefined
	readonly __knexUid: string
	readonly #pool: PgPool
	readonly #core: PgCore
	readonly #abort: Abandoning | undefined
	// The first statement takes these over.
	#call: Call | undefined
	#client: PgClient | undefined
	#statement: CallbackStatement | undefined

	constructor(pool: PgPool, core: PgCore, call: Call, client: PgClient, abort: Abandoning | undefined) {
		this.#pool = pool
		this.#core = core
		this.#call = call
		this.#client = client
		this.#abort = abort
		const connection: KnexConnection = client
		connection.__knexUid ??= nextUid()
		this.__knexUid = connection.__knexUid
	}

	/** As knex calls it: a config with a callback, or a query object that runs itself. */
	query(config: unknown, callback?: unknown): unknown {
		const call = this.#call
		const client = this.#client
		this.#call = undefined
		this.#client = undefined
		const begun = call !== undefined && client !== undefined ? { call, client } : undefined
		if (typeof (config as Submittable).submit === 'function') {
			runSubmittable(this.#core, config as Submittable, undefined, begun)
			return config
		}
		const done: QueryCallback = (error, result) => (callback as QueryCallback)(keepMessage(error), result)
		if (isOnce(config)) {
			if (client !== undefined) settle(this.#core, client, undefined, false)
			return this.#pool.query(config, undefined, done)
		}
		this.#statement = new CallbackStatement(this.#core, config, undefined, done, call)
		if (client === undefined) this.#statement.run()
		else this.#statement.attempt(client)
		return undefined
	}

	/** By which `pg_cancel_backend` finds what runs. */
	get processID(): number | null | undefined {
		return this.#running()?.processID
	}

	get __knex__disposed(): unknown {
		return this.#abort?.signal.aborted ? this.#abort.signal.reason : undefined
	}

	/** knex gave up waiting for the statement: it is neither run again nor left running on a connection of the pool. */
	set __knex__disposed(error: unknown) {
		this.abandon(error)
		const client = this.#running()
		if (client !== undefined) cut(client)
	}

	abandon(error: unknown): void {
		this.#abort?.abort(error)
	}

	release(): void {
		this.#abort?.end()
		const client = this.#client
		this.#client = undefined
		if (client !== undefined) settle(this.#core, client, undefined, false)
	}

	#running(): PgClient | undefined {
		return this.#client ?? this.#statement?.client
	}
}
