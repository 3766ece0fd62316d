/** How does a promise pool run a query? As mysql2's own method does, but without making a command, which nobody gets to hold here. */
import type { Mysql2PromisePool, QueryCallback } from './shape.ts'

/** The callback pool inside it. */
interface Inside {
	/** Whether the query may pass it by; otherwise it goes through it, as with mysql2. */
	takes(sql: unknown): boolean
	run(sql: unknown, values: unknown, done: QueryCallback): void
}

/** The `query` of this promise pool. */
export function promisedQuery(promisePool: Mysql2PromisePool, inside: Inside): Mysql2PromisePool['query'] {
	const { query: bare, Promise: Kind } = promisePool
	const { trace } = promisePool.pool.config.connectionConfig
	return function query(sql, values) {
		if (typeof values === 'function' || !inside.takes(sql)) return bare.call(promisePool, sql, values)
		const caller: { stack?: unknown } = {}
		if (trace) Error.captureStackTrace(caller, query)
		return new Kind((resolve, reject) => {
			inside.run(sql, values, (error, rows, fields) => {
				if (error === null || error === undefined) return resolve([rows, fields])
				pointAt(caller.stack, error)
				reject(error)
			})
		})
	}
}

/** As mysql2 does it: the frames are those of the caller, the object stays the same. */
function pointAt(frames: unknown, error: unknown): void {
	if (!(error instanceof Error) || typeof frames !== 'string') return
	// A frozen error stays as it is.
	Reflect.set(error, 'stack', [`${error.name}: ${error.message}`, ...frames.split('\n').slice(1)].join('\n'))
}
