/** Which parts of `mysql2` does the wrapper rely on? Only these; `mysql2-drift.test.ts` notices when they change. */
import type { EventEmitter } from 'node:events'

/** As mysql2 calls back: rows (or the header of a statement without any) and their fields. */
export type QueryCallback = (error: unknown, result?: unknown, fields?: unknown) => void

/** Something that runs on a connection: a query, an execution, a ping. */
export interface Command extends EventEmitter {
	readonly sql?: string
	/** Called once, where a callback was given; otherwise there are the events 'fields', 'result', 'error' and 'end'. */
	onResult?: QueryCallback | undefined
	stream?(options?: object): unknown
	/** What a stream over the command pauses and resumes. */
	_connection?: Mysql2Connection | null
	/** The step that gets the next packet, and the one that gets the first of each answer. */
	readonly next?: unknown
	readonly resultsetHeader?: unknown
	/** How many answers of several statements are complete. */
	readonly _resultIndex?: number
	readonly row?: unknown
	readonly infileOk?: unknown
	readonly pingResponse?: unknown
	readonly resetConnectionResponse?: unknown
}

/** A packet of the server, as the parser hands it over. `offset` is where its content begins. */
export interface Packet {
	readonly buffer: Uint8Array
	readonly offset: number
	/** The end of the content in `buffer`. */
	readonly end: number
}

/** mysql2's ring buffer (denque before 3.23). */
export interface Queue<T> {
	readonly length: number
	get(index: number): T | undefined
	push(item: T): unknown
	pop(): T | undefined
	shift(): T | undefined
}

/** What connections and pools are configured with. */
export interface ConnectionConfig {
	readonly host: string
	readonly port: number
	readonly user?: string
	readonly socketPath?: string
	readonly namedPlaceholders?: boolean
	readonly multipleStatements?: boolean
	/** Errors of promises show where the call was made. */
	readonly trace?: boolean
}

/** A connection of a callback pool. That of a promise pool holds one of these in `connection`. */
export interface Mysql2Connection extends EventEmitter {
	query(sql: unknown, values?: unknown, callback?: QueryCallback): Command
	execute(sql: unknown, values?: unknown, callback?: QueryCallback): Command
	ping(callback: (error?: unknown) => void): unknown
	/** Back to the pool; does nothing the second time. */
	release(): void
	/** Leaves the pool at once and closes politely: what runs on it is never called back. */
	destroy(): void
	readonly config: ConnectionConfig
	/** The server's id of the connection. */
	readonly threadId: number | null
	readonly stream: { destroy(error?: Error): unknown; readonly destroyed?: boolean }
	/** The pool that it is in; null once it has left it. */
	_pool: Mysql2Pool | null
	/** Its borrower has given it back. */
	_released: boolean
	/** What runs, and what waits behind it. */
	readonly _command: Command | null | undefined
	readonly _commands: Queue<Command>
	readonly _closing?: boolean
	readonly _fatalError: unknown
	readonly _protocolError: unknown
	/** A stream over a command is not read fast enough. */
	readonly _paused: boolean
	/** Prepared statements by text and options, of this connection only. */
	readonly _statements: { clear(): void }
	handlePacket(packet?: Packet): void
}

export type ConnectionCallback = (error: unknown, connection?: Mysql2Connection) => void

export interface Mysql2Pool extends EventEmitter {
	readonly config: {
		/** 0: no limit. */
		readonly connectionLimit: number
		readonly waitForConnections: boolean
		/** 0: no limit. */
		readonly queueLimit: number
		/** mysql2 asks the server to reset the session before the connection is free again. */
		readonly resetOnRelease?: boolean
		readonly connectionConfig: ConnectionConfig
	}
	readonly _closed: boolean
	readonly _allConnections: Queue<Mysql2Connection>
	_freeConnections: Queue<Mysql2Connection>
	/** Callers that wait in the pool itself. */
	readonly _connectionQueue: Queue<ConnectionCallback>
	getConnection(callback: ConnectionCallback): void
	/** Ours: a `getConnection` in front of mysql2's does nothing with connections that were handed out before. */
	readonly handsOutIdleAsIs?: boolean
	releaseConnection(connection: Mysql2Connection): void
	query(sql: unknown, values?: unknown, callback?: QueryCallback): Command
	execute(sql: unknown, values?: unknown, callback?: QueryCallback): unknown
	promise(Kind?: PromiseConstructor): Mysql2PromisePool
	end(callback?: (error?: unknown) => void): void
}

/** A pool of `mysql2/promise`: everything it does goes through `pool`. */
export interface Mysql2PromisePool extends EventEmitter {
	readonly pool: Mysql2Pool
	readonly Promise: PromiseConstructor
	getConnection(): Promise<unknown>
	query(sql: unknown, values?: unknown): Promise<unknown>
	execute(sql: unknown, values?: unknown): Promise<unknown>
	end(): Promise<void>
}

/** Whether it is a callback pool of mysql2, by the parts that are used. */
export function isMysql2Pool(value: unknown): value is Mysql2Pool {
	if (typeof value !== 'object' || value === null) return false
	const pool = value as Partial<Mysql2Pool>
	return (
		typeof pool.getConnection === 'function' &&
		typeof pool.releaseConnection === 'function' &&
		typeof pool.query === 'function' &&
		typeof pool.execute === 'function' &&
		typeof pool.promise === 'function' &&
		typeof pool.end === 'function' &&
		typeof pool.on === 'function' &&
		typeof pool.config?.connectionConfig === 'object' &&
		typeof pool._allConnections?.length === 'number' &&
		typeof pool._freeConnections?.length === 'number'
	)
}

/** Whether it is a pool of mysql2/promise. */
export function isMysql2PromisePool(value: unknown): value is Mysql2PromisePool {
	return typeof value === 'object' && value !== null && isMysql2Pool((value as { pool?: unknown }).pool)
}

/** A server of a cluster. */
export interface ClusterNode {
	readonly id: string
	readonly pool: Mysql2Pool
}

/** The nodes of a cluster whose name fits a pattern. */
export interface ClusterNamespace {
	readonly _pattern: string
	/** Picks one of these names: in turn, by chance, or the first. */
	readonly _selector: (ids: readonly string[]) => string
	getConnection(callback: ConnectionCallback): unknown
	query(sql: unknown, values?: unknown, callback?: QueryCallback): Command
	execute(sql: unknown, values?: unknown, callback?: QueryCallback): unknown
}

export interface Mysql2Cluster extends EventEmitter {
	readonly _nodes: Readonly<Record<string, ClusterNode>>
	readonly _namespaces: Readonly<Record<string, ClusterNamespace>>
	/** False: the pool of one node fails, and no other is tried. */
	readonly _canRetry: boolean
	_findNodeIds(pattern: string): readonly string[]
	add(...given: unknown[]): void
	of(pattern?: string, selector?: string): ClusterNamespace
	end(callback?: (error?: unknown) => void): void
}

/** A cluster of `mysql2/promise`: everything it does goes through `poolCluster`. */
export interface Mysql2PromiseCluster {
	readonly poolCluster: Mysql2Cluster
}

/** Whether it is a cluster of mysql2, by the parts that are used. */
export function isMysql2Cluster(value: unknown): value is Mysql2Cluster {
	if (typeof value !== 'object' || value === null) return false
	const cluster = value as Partial<Mysql2Cluster>
	return (
		typeof cluster.add === 'function' &&
		typeof cluster.of === 'function' &&
		typeof cluster.end === 'function' &&
		typeof cluster._findNodeIds === 'function' &&
		typeof cluster._nodes === 'object'
	)
}

/** Whether it is a cluster of mysql2/promise. */
export function isMysql2PromiseCluster(value: unknown): value is Mysql2PromiseCluster {
	return typeof value === 'object' && value !== null && isMysql2Cluster((value as { poolCluster?: unknown }).poolCluster)
}
