/** Which parts of `pg` and `pg-pool` does the wrapper rely on? Only these; `pg-drift.test.ts` notices when they change. */
import type { EventEmitter } from 'node:events'

/** What a query answers with. */
export interface PgResult {
	readonly command?: string
	readonly rows: unknown[]
}

export type QueryCallback = (error: unknown, result?: unknown) => void

/** A query object that runs itself: pg.Query, pg-cursor, pg-query-stream. */
export interface Submittable {
	submit(connection: unknown): unknown
	handleError(error: unknown, connection: unknown): unknown
	handleRowDescription?(message: unknown): unknown
	handleReadyForQuery?(connection: unknown): unknown
	callback?: QueryCallback | undefined
	readonly text?: unknown
	/** Of a prepared statement. */
	name?: string | undefined
	/** pg-cursor: where it stands, and how it ends early. pg-query-stream keeps its cursor in `cursor`. */
	readonly state?: string
	readonly read?: unknown
	readonly cursor?: { state?: string; readonly text?: unknown }
	close?(callback: (error?: unknown) => void): unknown
	/** pg-query-stream. */
	destroy?(error?: Error): unknown
	listenerCount?(event: string): number
	/** pg.native.Query, which knows nothing of ReadyForQuery. */
	once?(event: '_done', listener: () => void): unknown
}

/** pg.Query, as far as a query that carries BEGIN overrides it. */
export interface PgQuery extends Submittable {
	name: string | undefined
	text: string
	requiresPreparation(): boolean
	/** Sends Parse, Bind, Describe, Execute and Sync. */
	prepare(connection: unknown): void
	handleDataRow(message: { fields: ReadonlyArray<string | null> }): void
	handleCommandComplete(message: { text: string }, connection: unknown): void
	handleReadyForQuery(connection: unknown): void
	handleError(error: unknown, connection: unknown): void
}

export type PgQueryClass = new (config: unknown, values: unknown) => PgQuery

export interface PgClient extends EventEmitter {
	query(config: unknown, values?: unknown, callback?: QueryCallback): unknown
	release(error?: unknown): void
	end(callback?: () => void): unknown
	connect(callback: (error?: unknown) => void): void
	/** I, T or E as the server last said; absent in pg-native and before pg 8.21. */
	getTransactionStatus?(): 'I' | 'T' | 'E' | null
	readonly host: string
	readonly port: number
	readonly connectionParameters?: object
	/** The backend's pid, as the handshake told it; a pooler tells one of its own. */
	readonly processID?: number | null
	/** False while a query runs; absent in pg-native. */
	readonly readyForQuery?: boolean
	readonly _queryable: boolean
	readonly _ending: boolean
	/** What waits to be sent. `queryQueue` before pg 8.17. */
	readonly _queryQueue?: readonly Submittable[]
	readonly queryQueue?: readonly Submittable[]
	/** Pipeline mode: what was sent behind the active query. */
	readonly _sentQueryQueue?: readonly unknown[]
	/** `activeQuery` before pg 8.17. */
	_getActiveQuery?(): Submittable | null
	readonly activeQuery?: Submittable | null
	readonly pipeline?: boolean
	readonly binary?: boolean
	/** Absent in pg-native. */
	readonly connection?: {
		ssl?: object | boolean
		readonly stream: { destroy(error?: Error): unknown }
		prependListener?(event: 'readyForQuery', listener: (message: { status: 'I' | 'T' | 'E' }) => void): unknown
		on?(event: 'commandComplete', listener: () => void): unknown
		on?(event: 'errorMessage', listener: (message: { readonly code?: string | undefined } | undefined) => void): unknown
	}
	/** pg-native only. */
	_hasActiveQuery?(): unknown
	readonly _pipelineInFlight?: boolean
	readonly native?: { readonly pq: { transactionStatus?(): 0 | 1 | 2 | 3 | 4 } }
}

export type PgClientClass = new (options: unknown) => PgClient

export type ConnectCallback = (error: unknown, client: PgClient | undefined, release: (error?: unknown) => void) => void

/** A caller in the pool's own queue. */
export interface Pending {
	readonly callback: ConnectCallback
	readonly timedOut?: boolean
}

export interface PgPool extends EventEmitter {
	readonly options: { readonly max: number; readonly connectionTimeoutMillis?: number; readonly query_timeout?: number }
	readonly idleCount: number
	readonly totalCount: number
	readonly waitingCount: number
	readonly ending: boolean
	readonly Client: PgClientClass
	/** The promise that the pool's calls return. */
	readonly Promise?: PromiseConstructor
	_clients: PgClient[]
	/** Who waits for a connection in the pool itself. */
	readonly _pendingQueue: Pending[]
	/** Who is idle, and which of them have reached the end of their lifetime; absent in old versions. */
	readonly _idle?: readonly { readonly client: PgClient }[]
	readonly _expired?: Pick<WeakSet<PgClient>, 'has'>
	/** Serves the first of them where an idle connection is there. */
	_pulseQueue?(): void
	connect(callback?: ConnectCallback): unknown
	/** Opens a connection at once; `connect` would first look for an idle one. */
	newClient(pending: Pending): void
	query(...args: unknown[]): unknown
	end(callback?: (error?: unknown) => void): unknown
}

/** Whether it is a pool of pg, by the parts that are used. */
export function isPgPool(value: unknown): value is PgPool {
	if (typeof value !== 'object' || value === null) return false
	const pool = value as Partial<PgPool>
	return (
		typeof pool.connect === 'function' &&
		typeof pool.newClient === 'function' &&
		typeof pool.query === 'function' &&
		typeof pool.end === 'function' &&
		typeof pool.on === 'function' &&
		typeof pool.Client === 'function' &&
		typeof pool.options === 'object' &&
		Array.isArray(pool._clients) &&
		typeof pool.totalCount === 'number'
	)
}
