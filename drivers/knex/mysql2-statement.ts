/** On what does a builder's one statement run, on MySQL and MariaDB? On a connection that may change when the statement is run again. */
import { type Call, isOnce } from '../../src/driver.ts'
import { cut } from '../mysql2/client.ts'
import { PlainStatement } from '../mysql2/command.ts'
import type { Mysql2Core } from '../mysql2/core.ts'
import type { Mysql2Connection, Mysql2Pool, QueryCallback } from '../mysql2/shape.ts'
import type { Abandoning } from './abandoning.ts'
import type { StatementConnection } from './backend.ts'
import { keepMessage } from './faults.ts'
import type { KnexConnection } from './shape.ts'
import { nextUid } from './uid.ts'

export class Mysql2StatementConnection implements StatementConnection {
	__knexTxId: undefined
	readonly __knexUid: string
	readonly #pool: Mysql2Pool
	readonly #core: Mysql2Core
	readonly #abort: Abandoning | undefined
	// The first statement takes these over.
	#call: Call | undefined
	#connection: Mysql2Connection | undefined
	#statement: PlainStatement | undefined

	constructor(pool: Mysql2Pool, core: Mysql2Core, call: Call, connection: Mysql2Connection, abort: Abandoning | undefined) {
		this.#pool = pool
		this.#core = core
		this.#call = call
		this.#connection = connection
		this.#abort = abort
		const mine: KnexConnection = connection as Mysql2Connection & KnexConnection
		mine.__knexUid ??= nextUid()
		this.__knexUid = mine.__knexUid
	}

	/** As knex calls it: with a callback, or without one for a stream. */
	query(sql: unknown, values?: unknown, callback?: unknown): unknown {
		if (typeof callback !== 'function') {
			this.release()
			return this.#pool.query(sql, values)
		}
		const done: QueryCallback = (error, rows, fields) => (callback as QueryCallback)(keepMessage(error), rows, fields)
		if (isOnce(sql)) {
			this.release()
			return this.#pool.query(sql, values, done)
		}
		const call = this.#call
		const connection = this.#connection
		this.#call = undefined
		this.#connection = undefined
		this.#statement = new PlainStatement(this.#core, sql, values, done, call)
		if (connection === undefined) this.#statement.run()
		else this.#statement.attempt(connection)
		return undefined
	}

	/** By which `KILL QUERY` finds what runs. */
	get threadId(): number | null | undefined {
		return this.#running()?.threadId
	}

	get __knex__disposed(): unknown {
		return this.#abort?.signal.aborted ? this.#abort.signal.reason : undefined
	}

	/** knex gave up waiting for the statement: it is neither run again nor left running on a connection of the pool. */
	set __knex__disposed(error: unknown) {
		this.abandon(error)
		const connection = this.#running()
		if (connection !== undefined) cut(connection)
	}

	abandon(error: unknown): void {
		this.#abort?.abort(error)
	}

	release(): void {
		this.#abort?.end()
		const connection = this.#connection
		this.#connection = undefined
		if (connection !== undefined) this.#core.settle(connection, false)
	}

	#running(): Mysql2Connection | undefined {
		return this.#connection ?? this.#statement?.connection
	}
}
