/** Has a borrower's server turned read-only? Then what it refuses has had no effect, and another server may do it. */
import { type Call, type Fault, mayCommitPartly } from '../../src/driver.ts'
import { errnoOf } from './begin.ts'
import type { Mysql2Core } from './core.ts'
import { findRefusal } from './refused.ts'
import type { Mysql2Connection } from './shape.ts'

// ER_OPTION_PREVENTS_STATEMENT, which other options raise as well; ER_CANT_EXECUTE_IN_READ_ONLY_TRANSACTION; ER_READ_ONLY_MODE.
const refusals = new Set([1290, 1792, 1836])

/** Whether a statement may have been refused because the server takes no writes, though it is meant to, and nothing of it was done before. */
export function isRefusal(core: Mysql2Core, error: unknown, sql: unknown): boolean {
	if (core.readsOnly || !refusals.has(errnoOf(error) ?? 0)) return false
	const text = typeof sql === 'string' ? sql : (sql as { sql?: unknown } | null)?.sql
	return typeof text === 'string' && !mayCommitPartly(text, 'mysql')
}

/** The fault of such an error. Where its scope is the connection or the endpoint, the statement can be run on another connection. */
export async function faultOnLoan(core: Mysql2Core, connection: Mysql2Connection, error: unknown, call: Call): Promise<Fault> {
	// mysql2 tells an error while it is still at work on the packet that brought it.
	await new Promise<void>((resolve) => process.nextTick(resolve))
	await new Promise<void>((resolve) => findRefusal(core, connection, error, resolve))
	return { ...call.classify(error, 'statement'), outcome: 'rolled_back' }
}
