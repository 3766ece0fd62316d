/** The server says that a statement was rolled back: how much of what was sent does that speak of? */
import { type Fault, mayCommitPartly } from '../../src/driver.ts'
import type { PgClient } from './shape.ts'

const completed = new WeakMap<PgClient, { count: number }>()

/** Counts the commands that the server reports as complete, for the client's whole life. */
export function countCommands(client: PgClient): void {
	if (client.connection === undefined) return
	const commands = { count: 0 }
	completed.set(client, commands)
	client.connection.on?.('commandComplete', () => {
		commands.count += 1
	})
}

/** How many there were; undefined where nobody counts (pg-native). */
export const commandsCompleted = (client: PgClient): number | undefined => completed.get(client)?.count

/** What was sent, and when. */
export interface Sent {
	readonly client: PgClient
	/** Undefined where it is not known, as of a prepared statement that is only named. */
	readonly text: unknown
	/** `commandsCompleted` before it was sent. */
	readonly before: number | undefined
	readonly idempotent: boolean
}

/** The fault of a statement outside a transaction, with no more proof in it than there is. */
export function provenFault(fault: Fault, { client, text, before, idempotent }: Sent): Fault {
	if (fault.outcome !== 'rolled_back') return fault
	// The server has not found what it was to run, or not taken it (drivers/pg/cached-plan.ts), on a connection that is well.
	if (fault.kind === 'stale_plan' && fault.scope === 'statement') return fault
	const ended = fault.scope === 'connection' || fault.scope === 'endpoint'
	// The server reports a command as complete before, or while, it commits. A session that is ended behind that may have committed.
	const now = commandsCompleted(client)
	if (ended && (now === undefined || now !== before)) return { ...fault, outcome: 'unknown' }
	if (typeof text === 'string' && !mayCommitPartly(text, 'postgres')) return fault
	// The server's error stays the answer; only the end of the session leaves the caller without one.
	return { ...fault, outcome: 'unknown', retryable: fault.retryable && (ended || idempotent) }
}
