/** Which parts of `pg` and `pg-pool` does the wrapper rely on? Only these; `drift.test.ts` notices when they change. */
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
	handleReadyForQuery(connection: unknown): unknown
	callback?: QueryCallback | undefined
	readonly text?: unknown
	/** pg-cursor: where it stands. pg-query-stream keeps its cursor in `cursor`. */
	readonly state?: string
	readonly cursor?: { readonly state?: string; readonly text?: unknown }
}

export interface PgClient extends EventEmitter {
	connect(callback: (error: unknown) => void): unknown
	query(config: unknown, values?: unknown, callback?: QueryCallback): unknown
	release(error?: unknown): void
	end(callback?: () => void): unknown
	/** I, T or E as the server last said; absent in pg-native and before pg 8.17. */
	getTransactionStatus?(): string | null
	readonly host: string
	readonly port: number
	/** False while a query runs; absent in pg-native. */
	readonly readyForQuery?: boolean
	readonly _queryable: boolean
	readonly _ending: boolean
	_getActiveQuery?(): Submittable | null
	/** Absent in pg-native. */
	readonly connection?: { readonly stream: { destroy(error?: Error): unknown } }
}

export type PgClientClass = new (options: unknown) => PgClient

export type ConnectCallback = (error: unknown, client: PgClient | undefined, release: (error?: unknown) => void) => void

export interface PgPool extends EventEmitter {
	readonly options: { readonly max: number; readonly connectionTimeoutMillis?: number }
	readonly idleCount: number
	readonly totalCount: number
	readonly ending: boolean
	Client: PgClientClass
	connect(callback: ConnectCallback): unknown
	/** Opens a connection at once; `connect` would first look for an idle one. */
	newClient(pending: { callback: ConnectCallback; timedOut?: boolean }): void
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
		typeof pool.totalCount === 'number'
	)
}
