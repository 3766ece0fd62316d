/** What becomes of a borrower's COMMIT whose answer was lost? It is looked into, as the commits of the pool are. */
import { type Call, type CommitMark, resolveCommit } from '../../src/driver.ts'
import type { PgCore } from './core.ts'
import type { LoanLink } from './loan-link.ts'
import { resultOf } from './result.ts'
import type { PgTransactionDriver } from './transaction.ts'

/** The result of a COMMIT that failed with `error`; rejects with what the borrower is to be told. */
export async function afterLostCommit(
	core: PgCore,
	driver: PgTransactionDriver,
	link: LoanLink,
	inTransaction: boolean,
	mark: CommitMark | undefined,
	error: unknown,
): Promise<unknown> {
	const call = core.call({})
	const fault = call.classify(error, 'commit')
	if (fault.outcome !== 'unknown' || !inTransaction) throw error
	link.drop(error)
	const resolution = await resolveCommit({ driver, acquire: (given: Call) => core.acquire(given) }, mark, call, core.policy.counters)
	if (resolution.state === 'applied') return resultOf(link.client, 'COMMIT')
	if (resolution.state === 'not applied') throw call.notApplied(error, fault)
	throw call.inDoubt(error, 'commit', { xid: mark?.xid, token: mark?.token, detail: resolution.why })
}
