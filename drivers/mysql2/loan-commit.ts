/** What becomes of a borrower's COMMIT whose answer was lost? It is looked into, as the commits of the pool are. */
import { type Call, type CommitMark, resolveCommit } from '../../src/driver.ts'
import { cut } from './client.ts'
import type { Mysql2Core } from './core.ts'
import type { Mysql2Connection, QueryCallback } from './shape.ts'
import { isAlive } from './state.ts'
import type { Mysql2TransactionDriver } from './transaction.ts'

/** How a COMMIT was answered. */
export interface Committed {
	readonly error: unknown
	readonly answer: readonly [result?: unknown, fields?: unknown]
	readonly mark: CommitMark | undefined
	/** There was a transaction that may write, or there may have been. */
	readonly wasOpen: boolean
	/** The link died under the mark. */
	readonly neverSent: boolean
}

/** Tells the borrower of a COMMIT that was answered, or whose answer was lost. */
export function committed(
	core: Mysql2Core,
	driver: Mysql2TransactionDriver,
	connection: Mysql2Connection,
	commit: Committed,
	tell: QueryCallback,
): void {
	const { error, answer, mark, wasOpen, neverSent } = commit
	if (error === null || error === undefined) {
		driver.ledger?.confirmed(mark)
		return tell(null, ...answer)
	}
	const call = core.call({})
	const fault = call.classify(error, 'commit')
	if (fault.outcome !== 'unknown' || !wasOpen) return tell(error)
	if (neverSent) return tell(call.notApplied(error, fault))
	// A time limit of mysql2's own: the server may still be at it.
	if (isAlive(connection)) cut(connection)
	const host = { driver, acquire: (given: Call) => core.acquire(given) }
	resolveCommit(host, mark, call, core.policy.counters).then((resolution) => {
		if (resolution.state === 'applied') return tell(null, committedHeader())
		if (resolution.state === 'not applied') return tell(call.notApplied(error, fault))
		return tell(call.inDoubt(error, 'commit', { token: mark?.token, detail: resolution.why }))
	})
}

// SERVER_STATUS_AUTOCOMMIT: what a session says that has no transaction.
const autocommit = 2

/** What mysql2 makes of the answer to a COMMIT. */
function committedHeader(): object {
	return { fieldCount: 0, affectedRows: 0, insertId: 0, info: '', serverStatus: autocommit, warningStatus: 0, changedRows: 0 }
}
