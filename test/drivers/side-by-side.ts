/** Does a wrapped pool do what the bare one does? Runs the same steps on both, against one real server, and records what can be seen. */
import { type HoldfastPool, holdfast } from 'holdfast/pg'
import pg from 'pg'
import { afterAll, beforeAll } from 'vitest'
import { assertNoBackends } from '../support/leaks.ts'
import { type PostgresServer, sharedPostgres } from '../support/postgres.ts'

/** A pool by its methods alone: pg takes more forms than its types say. */
export interface Untyped {
	query(...given: unknown[]): unknown
	connect(...given: unknown[]): unknown
	end(...given: unknown[]): unknown
}

/** The server of a test file; it is there once `beforeAll` has run. */
export interface Ground {
	readonly server: PostgresServer
	/** A configuration for `new pg.Pool`, with an application name by which the server knows the pool. */
	config(options?: pg.PoolConfig): pg.PoolConfig
	/** A wrapped pool that is ended after the file. */
	wrapped(options?: pg.PoolConfig, how?: Parameters<typeof holdfast>[1]): HoldfastPool
	/** Runs `steps` on a bare and on a wrapped pool, each of its own, ends both, and checks that no backend is left. */
	both<T>(steps: (pool: pg.Pool, kind: 'bare' | 'wrapped') => Promise<T>, options?: pg.PoolConfig): Promise<{ bare: T; wrapped: T }>
}

/** Registers the hooks that give a test file its server. */
export function ground(start: () => Promise<PostgresServer> = sharedPostgres): Ground {
	let server: PostgresServer | undefined
	let names = 0
	const pools: pg.Pool[] = []
	beforeAll(async () => {
		server = await start()
	})
	afterAll(async () => {
		// A test that failed may hold a client for ever: that must not hang the hook as well.
		for (const pool of pools) if (!pool.ending) pool.end(() => {})
		await server?.dispose()
	})
	const there = () => {
		if (server === undefined) throw new Error('the server is not there before beforeAll')
		return server
	}
	const config = (options: pg.PoolConfig = {}) => {
		names += 1
		return { ...there().config(), application_name: `drop-in-${names}`, ...options }
	}
	const wrapped = (options: pg.PoolConfig = {}, how = {}) => {
		const pool = holdfast(new pg.Pool(config(options)), how)
		pools.push(pool)
		return pool
	}
	return {
		get server() {
			return there()
		},
		config,
		wrapped,
		async both(steps, options) {
			const run = async (kind: 'bare' | 'wrapped') => {
				const given = config(options)
				const pool = new pg.Pool(given)
				// Without a listener a bare pool's idle error would end the test run.
				if (kind === 'bare') pool.on('error', () => {})
				else holdfast(pool)
				try {
					return await steps(pool, kind)
				} finally {
					if (!pool.ending) await pool.end()
					await assertNoBackends(there(), given.application_name)
				}
			}
			return { bare: await run('bare'), wrapped: await run('wrapped') }
		},
	}
}

/** What a caller can tell of an error, but for the stack. */
export function seen(error: unknown): unknown {
	if (!(error instanceof Error)) return { thrown: error }
	const { stack: _stack, ...fields } = Object.fromEntries(Object.getOwnPropertyNames(error).map((name) => [name, Reflect.get(error, name)]))
	return { class: error.constructor.name, ...fields, message: error.message }
}

/** How a call ends: by throwing at once, by a promise, or by `undefined`. */
export async function ending(call: () => unknown): Promise<unknown> {
	let returned: unknown
	try {
		returned = call()
	} catch (error) {
		return { threw: seen(error) }
	}
	if (typeof (returned as PromiseLike<unknown> | undefined)?.then !== 'function') return { returned: typeof returned }
	try {
		return { resolved: shape(await returned) }
	} catch (error) {
		return { rejected: seen(error) }
	}
}

/** How a call with a callback ends. */
export function calledBack(call: (callback: (error: unknown, result?: unknown) => void) => unknown): Promise<unknown> {
	return new Promise((resolve) => {
		const returned = call((error, result) => {
			setImmediate(() =>
				resolve({ returned: typeof returned, error: error ? seen(error) : error, result: shape(result), sameTick: returned === undefined }),
			)
		})
	})
}

/** A result as plain data. */
export function shape(result: unknown): unknown {
	if (Array.isArray(result)) return result.map(shape)
	if (typeof result !== 'object' || result === null || !('rows' in result)) return result
	const { command, rowCount, oid, rows, fields } = result as pg.QueryResult
	return {
		class: result.constructor.name,
		command,
		rowCount,
		oid,
		rows,
		fields: fields.map(({ name, dataTypeID, format }) => ({ name, dataTypeID, format })),
		keys: Object.keys(result),
	}
}
