/** Was the commit applied? Waits until the database answers, asks it, and asks again while the orphaned transaction still runs. */
import type { Call } from '../call.ts'
import type { CommitMark, TransactionDriver } from '../contract.ts'
import type { Counters } from '../stats.ts'

/** What is known of a commit in the end. `why` says in a sentence why it could not be decided. */
export type Resolution =
	| { readonly state: 'applied' }
	| { readonly state: 'not applied' }
	| { readonly state: 'unresolved'; readonly why: string }

/** What asking needs of a wrapped pool. */
export interface Asker<C extends object> {
	readonly driver: TransactionDriver<C>
	acquire(call: Call): Promise<C>
}

// An orphaned backend that was told to end does so within milliseconds; one that waits for a disk or a standby takes longer.
const firstPollMs = 5
const maxPollMs = 250

/** Resolves with what is known when the call's deadline passes at the latest; never rejects. Counts what it finds. */
export async function resolveCommit<C extends object>(
	host: Asker<C>,
	mark: CommitMark | undefined,
	call: Call,
	counters: Counters,
): Promise<Resolution> {
	counters.inDoubt += 1
	const resolution =
		mark === undefined
			? { state: 'unresolved' as const, why: 'Commits of this kind are not verified.' }
			: await ask(host, mark, call.forAsking())
	if (resolution.state === 'applied') counters.applied += 1
	else if (resolution.state === 'not applied') counters.notApplied += 1
	else counters.unresolved += 1
	return resolution
}

async function ask<C extends object>(host: Asker<C>, mark: CommitMark, call: Call): Promise<Resolution> {
	for (let pollMs = firstPollMs; ; pollMs = Math.min(pollMs * 2, maxPollMs)) {
		let connection: C
		try {
			connection = await host.acquire(call)
		} catch (error) {
			return { state: 'unresolved', why: `The database could not be asked: ${textOf(error)}` }
		}
		const unguard = call.guard((error) => host.driver.cut(connection, error))
		try {
			const verdict = await host.driver.look(connection, mark)
			host.driver.release(connection)
			if (verdict.state === 'applied' || verdict.state === 'not applied') return verdict
			if (verdict.state === 'unknown') return { state: 'unresolved', why: verdict.why }
		} catch (error) {
			const fault = call.classify(error, 'statement')
			host.driver.release(connection, fault.scope === 'connection' || fault.scope === 'endpoint' ? error : undefined)
			if (!fault.retryable) return { state: 'unresolved', why: `Asking the database failed: ${textOf(error)}` }
		} finally {
			unguard()
		}
		try {
			if (!(await call.pause(pollMs)))
				return { state: 'unresolved', why: 'The transaction was still running on the server at the deadline.' }
		} catch (error) {
			return { state: 'unresolved', why: `The wait for the answer was ended: ${textOf(error)}` }
		}
	}
}

// The texts of drivers about connections and rights hold no parameter; the statement asked is Holdfast's own.
function textOf(error: unknown): string {
	return error instanceof Error ? error.message : 'no reason was given'
}
