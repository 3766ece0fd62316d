/** How is knex made to run on connections of ours, with every statement passing by? Through its own hooks: a dialect's class, and a pool that is given. */
import makeKnex from 'knex'
import { addressOf as hostAddress } from '../../../src/driver.ts'
import type { Connection, Dialect, DialectClient, KnexConfig, KnexPool, StatementWatcher } from './shape.ts'

/** A knex instance, as far as the runner uses it itself. */
export interface KnexInstance {
	readonly client: DialectClient
	userParams?: object
	isTransaction?: boolean
	on?(event: string, listener: (...args: unknown[]) => void): unknown
	emit?(event: string, ...args: unknown[]): unknown
	destroy(): Promise<void>
}

export const build = makeKnex as unknown as (config: KnexConfig) => KnexInstance

/** The pool that knex is given for one session: tarn's shape, one connection, never taken away. */
export class OneSession implements KnexPool {
	readonly #session: Connection

	constructor(session: Connection) {
		this.#session = session
	}

	acquire(): { promise: Promise<Connection> } {
		return { promise: Promise.resolve(this.#session) }
	}

	release(): boolean {
		return true
	}

	destroy(): Promise<void> {
		return Promise.resolve()
	}

	numFree(): number {
		return 0
	}

	numUsed(): number {
		return 1
	}

	numPendingAcquires(): number {
		return 0
	}
}

/** The run holds a session, looks at locks from another, and a migration without a transaction has its own: a smaller pool would wait for itself. */
export function refuseSmallPool(pool: unknown, least: number): void {
	const { options, config, pool: inner } = pool as NativePool
	const max = options?.max ?? config?.connectionLimit ?? inner?.config?.connectionLimit
	if (max !== undefined && max < least)
		throw new RangeError(`migrate: the connectionPool of knex must have room for ${least} connections, got ${max}`)
}

/** How many connections a pool of pg, of mysql2, and of mysql2's promises may have. */
interface NativePool {
	readonly options?: { readonly max?: number }
	readonly config?: { readonly connectionLimit?: number }
	readonly pool?: NativePool
}

/** The dialect's own class, whatever has been put in front of this instance. */
export function dialectOf({ config }: DialectClient): Dialect {
	const { client } = config
	return typeof client === 'function' ? client : (build({ client: client as string }).client.constructor as Dialect)
}

/** The dialect with every statement passing by the watcher. Its transactions are made from this class as well. */
export function watched(Base: Dialect, statements: StatementWatcher): Dialect {
	return class extends Base {
		override _query(connection: Connection, query: Parameters<DialectClient['_query']>[1]) {
			const sql = typeof query === 'string' ? query : query.sql
			return statements.run(connection, sql, () => super._query(connection, query))
		}
		override _stream(connection: Connection, query: { sql: string }, stream: unknown, options: unknown) {
			return statements.run(connection, query.sql, () => super._stream(connection, query, stream, options))
		}
	}
}

const forwarded = ['start', 'query', 'query-error', 'query-response']

/** Migrations see the user's parameters, and the user's listeners hear of their queries. */
export function share(from: KnexInstance, to: KnexInstance): void {
	to.userParams = { ...from.userParams }
	for (const event of forwarded) to.on?.(event, (...args) => from.emit?.(event, ...args))
}

/** The server's address, by the same rules as the drivers, so that they share one gate. */
export function addressOf({ driverName, driver, connectionSettings = {}, config }: DialectClient): string {
	if (config.connectionPool !== undefined || config.connection === undefined || typeof config.connection === 'function')
		return `knex migrations over a pool of the user's (${driverName})`
	if (driverName === 'pg' && driver.Client !== undefined) {
		const { host, port } = new driver.Client(connectionSettings)
		return hostAddress({ host, port })
	}
	const { socketPath, host = 'localhost', port = 3306 } = connectionSettings as { socketPath?: string; host?: string; port?: number }
	return socketPath ?? hostAddress({ host, port })
}
