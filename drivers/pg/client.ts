/** What can be done with a pg connection besides using it: wait until it is quiet, cut it, listen to it. */
import { countCommands } from './proof.ts'
import type { PgClient, QueryCallback } from './shape.ts'
import { hearStatus, isBusy } from './state.ts'

/** Calls `then` once nothing runs on the client any more, or the client is dead. At once, where that is so already. */
export function whenQuiet(client: PgClient, then: () => void): void {
	if (!isBusy(client)) return then()
	const quiet = () => {
		if (isBusy(client)) return
		client.removeListener('drain', quiet)
		client.removeListener('end', quiet)
		then()
	}
	client.on('drain', quiet)
	client.on('end', quiet)
}

/** Cuts the link at once: `end` would wait for a server that may be gone. What runs on it fails with the error. */
export function cut(client: PgClient, error?: Error): void {
	if (client.connection === undefined) client.end(() => {})
	else client.connection.stream.destroy(error)
}

/** Borrowed clients whose `query` is answered by their loan, with pg's own. */
export const lent = new WeakMap<PgClient, PgClient['query']>()

/** The client's own `query`, past a loan. */
export function send(client: PgClient, config: unknown, values?: unknown, callback?: QueryCallback): unknown {
	return (lent.get(client) ?? client.query).call(client, config, values, callback)
}

/** Runs a text on the client, as a promise without a rewritten stack. */
export function execute(client: PgClient, text: string): Promise<unknown> {
	return new Promise((resolve, reject) => {
		const done: QueryCallback = (error, result) => {
			if (error === null || error === undefined) resolve(result)
			else reject(error)
		}
		send(client, text, undefined, done)
	})
}

const heard = new WeakSet<PgClient>()
const refusals = new WeakMap<PgClient, { readonly code?: string | undefined }>()

/** The server's last refusal of a write on this connection, once. */
export function refusalOn(client: PgClient): object | undefined {
	const refusal = refusals.get(client)
	if (refusal !== undefined) refusals.delete(client)
	return refusal
}

/** One listener for the client's whole life, so that none of its errors ends the process; no call has to add one. */
export function listen(client: PgClient, broken: (client: PgClient) => void): void {
	if (heard.has(client)) return
	heard.add(client)
	client.on('error', () => broken(client))
	hearStatus(client)
	countCommands(client)
	// read_only_sql_transaction: borrowers meet it themselves, and return the connection as if it were well.
	client.connection?.on?.('errorMessage', (message) => {
		if (message?.code === '25006') refusals.set(client, message)
	})
}
