/** What does a call cost apart from the database? A pg client that answers at the next tick, for `new pg.Pool({ Client })`. */
import { EventEmitter } from 'node:events'

type Callback = (error: unknown, result?: unknown) => void

const answer = { command: 'SELECT', rowCount: 1, rows: [{ one: 1 }], fields: [] }

const begins = /^begin/i
const ends = /^(commit|rollback)/i

/** The parts of `pg.Client` that pg-pool and wrappers look at; it is always connected, and never busy. */
export class StubClient extends EventEmitter {
	readonly host = 'stub'
	readonly port = 5432
	readonly connection = { stream: { destroy() {} }, prependListener() {} }
	readonly readyForQuery = true
	readonly _queryable = true
	readonly _ending = false
	#status = 'I'

	connect(callback: Callback): void {
		process.nextTick(callback, null)
	}

	/** Like pg: a promise where no callback is given. */
	query(text: string, values?: unknown, callback?: Callback): unknown {
		const done = typeof values === 'function' ? (values as Callback) : callback
		if (done === undefined) return new Promise((resolve) => this.query(text, values, (_error, result) => resolve(result)))
		if (begins.test(text)) this.#status = 'T'
		else if (ends.test(text)) this.#status = 'I'
		process.nextTick(done, null, answer)
		return undefined
	}

	getTransactionStatus(): string {
		return this.#status
	}

	end(callback?: () => void): void {
		if (callback !== undefined) process.nextTick(callback)
	}
}
