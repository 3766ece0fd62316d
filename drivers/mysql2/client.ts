/** What can be done with a mysql2 connection besides using it: run a text of our own, wait until it is quiet, cut it. */
import type { Command, Mysql2Connection, QueryCallback } from './shape.ts'
import { isBusy } from './state.ts'

/** Calls `then` once nothing runs on the connection any more, or it is dead. At once, where that is so already. */
export function whenQuiet(connection: Mysql2Connection, then: () => void): void {
	if (!isBusy(connection)) return then()
	// Inside the callback of an error it is busy for a moment longer.
	process.nextTick(() => {
		// Commands are answered in order, so this one is answered last.
		if (isBusy(connection)) connection.ping(() => whenQuiet(connection, then))
		else then()
	})
}

/**
 * Gives back to its pool what no borrower holds. Until then it counts as released, so that whoever had it before can release it once more
 * without taking it away from work of the pool; a borrower's own release counts from the moment when he is given it, as with mysql2.
 */
export function giveBack(connection: Mysql2Connection): void {
	connection._released = false
	connection.release()
}

/** Cuts the link at once; what runs on it fails with the error. `destroy` would leave it without an answer for ever. */
export function cut(connection: Mysql2Connection, error: Error = new Error('Connection lost: cut by Holdfast')): void {
	connection.stream.destroy(error)
}

/** The methods of a connection that a loan answers itself, with mysql2's own. */
export interface OwnMethods {
	query(this: Mysql2Connection, sql: unknown, values?: unknown, callback?: QueryCallback): Command
	execute(this: Mysql2Connection, sql: unknown, values?: unknown, callback?: QueryCallback): Command
	/** The borrower has given the connection back. */
	readonly returned: () => void
}

/** Borrowed connections whose statements are answered by their loan. */
export const lent = new WeakMap<Mysql2Connection, OwnMethods>()

/** The connection's own `query`, past a loan. */
export function send(connection: Mysql2Connection, sql: unknown, values?: unknown, callback?: QueryCallback): Command {
	return (lent.get(connection) ?? connection).query.call(connection, sql, values, callback)
}

/**
 * Runs a text on the connection, past a loan, and resolves with its rows as objects or its header, whatever the pool is configured to
 * make of rows. Rejects with mysql2's error.
 */
export function execute(connection: Mysql2Connection, sql: string, values?: readonly unknown[]): Promise<unknown> {
	return new Promise((resolve, reject) => {
		const plain = { sql, rowsAsArray: false, nestTables: false, typeCast: true, namedPlaceholders: false }
		send(connection, plain, values, (error, result) => {
			if (error === null || error === undefined) resolve(result)
			else reject(error)
		})
	})
}

/** Runs a statement of ours whose answer has no rows, past a loan. The text alone: it needs no options, and they would cost more than it does. */
export function perform(connection: Mysql2Connection, text: string): Promise<void> {
	return new Promise((resolve, reject) => {
		send(connection, text, undefined, (error) => (error === null || error === undefined ? resolve() : reject(error)))
	})
}
