/** Has a borrower's server turned read-only? Then what it refuses has had no effect, and another server may do it. */
import type { Call, Fault } from '../../src/driver.ts'
import { execute, refusalOn } from './client.ts'
import type { PgCore } from './core.ts'
import { faultOfRefusal } from './read-only.ts'
import type { PgClient } from './shape.ts'
import { isAlive } from './state.ts'
import { sqlstateOf } from './witness.ts'

/** Whether a server that is meant to take writes has refused one: read_only_sql_transaction. */
export const isRefusal = (core: PgCore, error: unknown): boolean => !core.readsOnly && sqlstateOf(error) === '25006'

/**
 * The fault of a refused statement, outside any transaction or first in its own (`inTransaction`), which is rolled back. Where the scope is
 * the connection or the endpoint, the statement can be run on another connection.
 */
export async function refusedOnLoan(core: PgCore, client: PgClient, error: unknown, call: Call, inTransaction: boolean): Promise<Fault> {
	const fault: Fault = { ...call.classify(error, 'statement'), outcome: 'rolled_back' }
	await new Promise<void>((resolve) => core.whenQuiet(client, core.policy.endpoint.probeTimeoutMs, resolve))
	// A link that breaks here shows in the question that follows.
	if (inTransaction) await execute(client, 'ROLLBACK').catch(() => undefined)
	// It is looked into here, and not again when the connection is given back.
	refusalOn(client)
	if (!isAlive(client)) return { ...fault, scope: 'connection', retryable: true }
	return faultOfRefusal(core, client, error, fault, call)
}

/**
 * What is to be said of a server among several on which BEGIN, though it may write, has opened a transaction that cannot; undefined where that is
 * the user's own wish. With one address it may be a replica on purpose, on which ORMs read in transactions.
 */
export async function beganReadOnly(
	core: PgCore,
	client: PgClient,
	call: Call,
): Promise<{ readonly error: Error; readonly fault: Fault } | undefined> {
	const { beside } = core
	if (beside?.hasHosts !== true || beside.forWriting !== core) return undefined
	const error = Object.assign(new Error('The server takes no writes, and the transaction was not begun as READ ONLY'), { code: '25006' })
	const fault: Fault = { ...call.classify(error, 'statement'), outcome: 'not_sent' }
	const found = await faultOfRefusal(core, client, error, fault, call)
	return found.scope === 'connection' || found.scope === 'endpoint' ? { error, fault: found } : undefined
}
