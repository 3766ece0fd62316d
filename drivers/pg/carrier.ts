/** How does a statement take BEGIN along? A query of pg's own that sends BEGIN, and what marks it, in front of itself. */
import { type Marked, type Marking, sendMarked, shortEnough, wasPrepared } from './begin.ts'
import type { PgClient, PgQuery, PgQueryClass, QueryCallback } from './shape.ts'
import { isAlive } from './state.ts'

/** What is taken along, and who is told. */
export interface Freight {
	readonly text: string
	readonly marking: Marking | undefined
	opened(marked: Marked): void
	/** BEGIN or the marking failed, or the link: the statement was not run. `begun` is set where BEGIN had opened a transaction. */
	failed(error: unknown, begun: string | undefined): void
	/** Somebody who wraps `client.query` has handed on a copy of the carrier. Nothing was sent. */
	copied(): void
}

/** A query that carries a BEGIN. */
export interface Carrier extends PgQuery {
	carry(client: PgClient, freight: Freight): void
	/** Whether anything was sent: pg refuses some arguments, and whoever wraps `client.query` may refuse as well. */
	readonly sent: boolean
}

type CarrierClass = new (config: unknown, values: unknown) => Carrier

// One statement, of a kind that is answered alike by both protocols. COPY, for one, is not: its refusal would wait for a second Sync.
const carried = /^\s*(?:select|insert|update|delete|with|values|merge|set|lock)\b[^;]*;?\s*$/i

/**
 * Whether this statement can take BEGIN along. The statements of one text of the simple protocol end with the first that fails. Messages of the extended protocol before one Sync are skipped by the server once one of
 * them failed (PostgreSQL manual, "Message Flow: Pipelining"): so a statement behind a failed BEGIN is never run on its own.
 */
export function carries(client: PgClient, config: unknown): boolean {
	// pg-native has no wire to speak on, and pipeline mode refuses query objects that are not its own.
	if (client.connection === undefined || client.pipeline === true || client.binary === true) return false
	if (queryClassOf(client) === undefined) return false
	if (typeof config === 'string') return carried.test(config)
	if (typeof config !== 'object' || config === null) return false
	const { text, rows, binary, submit } = config as { text?: unknown; rows?: unknown; binary?: unknown; submit?: unknown }
	return typeof text === 'string' && rows === undefined && binary !== true && submit === undefined && carried.test(text)
}

const carriers = new WeakMap<PgQueryClass, CarrierClass>()

/** The client's own class of queries, made to carry. */
export function carrierOf(client: PgClient): CarrierClass {
	const queryClass = queryClassOf(client) as PgQueryClass
	let carrier = carriers.get(queryClass)
	if (carrier === undefined) {
		carrier = carrierFrom(queryClass)
		carriers.set(queryClass, carrier)
	}
	return carrier
}

function queryClassOf(client: PgClient): PgQueryClass | undefined {
	const { Query } = client.constructor as { Query?: PgQueryClass }
	return typeof Query?.prototype?.prepare === 'function' && typeof Query.prototype.requiresPreparation === 'function' ? Query : undefined
}

/** The server tells where in the text the error is. In BEGIN itself, it stays as it is. */
function movePosition(error: unknown, ahead: number): void {
	if (ahead === 0 || typeof error !== 'object' || error === null) return
	const told = error as { position?: unknown }
	const position = Number(told.position)
	if (typeof told.position === 'string' && position > ahead) told.position = String(position - ahead)
}

const ignored: QueryCallback = () => {}

function carrierFrom(Query: PgQueryClass): CarrierClass {
	return class Carrying extends Query implements Carrier {
		#client: PgClient | undefined
		#freight: Freight | undefined
		#sent = false
		#preparing = false
		#name: string | undefined
		#begun: string | undefined
		/** Characters in front of the statement's own text. */
		#ahead = 0
		#row: Marked['row']

		constructor(config: unknown, values: unknown) {
			super(config, values)
			const { submit, handleError, handleReadyForQuery } = Carrying.prototype
			// Whoever wraps `client.query` may hand on a copy, with a comment in its text, say. Of its own it has these, so that pg does not take
			// the copy for a plain config, and run the statement without its BEGIN.
			Object.assign(this, { original: this, submit, handleError, handleReadyForQuery })
			// For a query object pg reads it there.
			const limit = (config as { query_timeout?: unknown }).query_timeout
			if (limit !== undefined) Object.assign(this, { query_timeout: limit })
		}

		static originalOf(query: object): Carrying | undefined {
			return #freight in query ? undefined : (query as { original: Carrying }).original
		}

		get sent(): boolean {
			return this.#sent
		}

		carry(client: PgClient, freight: Freight): void {
			this.#client = client
			this.#freight = freight
			// A config's own callback: the caller has wrapped it.
			this.callback = undefined
			// pg notes at each ParseComplete that the active query's name is known to the server: those of BEGIN come first.
			this.#name = this.name
			this.name = undefined
		}

		override requiresPreparation(): boolean {
			return this.#freight?.marking !== undefined || super.requiresPreparation()
		}

		override submit(connection: unknown): unknown {
			const original = Carrying.originalOf(this)
			if (original !== undefined) {
				// pg waits for an answer to its active query.
				;(connection as { sync(): void }).sync()
				original.#freight?.copied()
				return null
			}
			// It checks its own name, and refuses before anything is sent.
			this.#preparing = true
			this.name = this.#name
			try {
				return super.submit(this.requiresPreparation() ? connection : this.#behindBegin(connection))
			} finally {
				this.#preparing = false
				if (this.#freight !== undefined) this.name = undefined
			}
		}

		/** In the simple protocol they are one text; an error in it ends the whole of it. The text itself may be a getter of a tracer's by now. */
		#behindBegin(connection: unknown): unknown {
			const begin = `${this.#freight?.text};`
			const query = (text: string) => {
				this.#sent = true
				this.#ahead = begin.length
				;(connection as { query(text: string): void }).query(begin + text)
			}
			return Object.create(connection as object, { query: { value: query } })
		}

		override prepare(connection: unknown): void {
			const freight = this.#freight as Freight
			this.#sent = true
			sendMarked(this.#client as PgClient, connection, freight.text, freight.marking)
			super.prepare(connection)
		}

		override handleDataRow(message: { fields: ReadonlyArray<string | null> }): void {
			if (this.#freight === undefined) super.handleDataRow(message)
			else this.#row = message.fields
		}

		override handleCommandComplete(message: { text: string }, connection: unknown): void {
			const freight = this.#freight
			if (freight === undefined) return super.handleCommandComplete(message, connection)
			if (this.#begun === undefined) {
				this.#begun = message.text
				if (freight.marking !== undefined) return
			} else wasPrepared(this.#client as PgClient, shortEnough(freight.marking?.name))
			this.#freight = undefined
			this.name = this.#name
			freight.opened({ row: this.#row, tag: message.text, begun: this.#begun })
		}

		override handleReadyForQuery(connection: unknown): void {
			if (Carrying.originalOf(this) === undefined) super.handleReadyForQuery(connection)
			else this.callback?.(undefined)
		}

		override handleError(error: unknown, connection: unknown): void {
			if (Carrying.originalOf(this) !== undefined) return this.callback?.(error)
			const freight = this.#freight
			movePosition(error, this.#ahead)
			if (freight === undefined || !this.#sent) return super.handleError(error, connection)
			// A value that cannot be turned into text: BEGIN is on its way all the same.
			if (this.#preparing && isAlive(this.#client as PgClient)) return super.handleError(error, connection)
			this.#freight = undefined
			// The statement was skipped, its Parse included.
			const known = (connection as { submittedNamedStatements?: Record<string, unknown> }).submittedNamedStatements
			if (known !== undefined && this.#name !== undefined) delete known[this.#name]
			freight.failed(error, this.#begun)
			// pg's clock for a `query_timeout` is stopped by it. After one the lost link is told as well.
			this.callback?.(error)
			this.callback = ignored
		}
	}
}
