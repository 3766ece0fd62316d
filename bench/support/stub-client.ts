/** What does a call cost apart from the database? A pg client that answers at the next tick, for `new pg.Pool({ Client })`. */
import { EventEmitter } from 'node:events'

type Callback = (error: unknown, result?: unknown) => void

const answer = { command: 'SELECT', rowCount: 1, rows: [{ one: 1 }], fields: [] }

/** The parts of `pg.Client` that pg-pool and wrappers look at; it is always connected, idle and outside a transaction. */
export class StubClient extends EventEmitter {
	readonly host = 'stub'
	readonly port = 5432
	readonly connection = { stream: { destroy() {} } }
	readonly readyForQuery = true
	readonly _queryable = true
	readonly _ending = false

	connect(callback: Callback): void {
		process.nextTick(callback, null)
	}

	query(_config: unknown, values: unknown, callback: Callback | undefined): void {
		const done = typeof values === 'function' ? (values as Callback) : (callback as Callback)
		process.nextTick(done, null, answer)
	}

	getTransactionStatus(): string {
		return 'I'
	}

	end(callback?: () => void): void {
		if (callback !== undefined) process.nextTick(callback)
	}
}
