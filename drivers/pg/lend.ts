/** How does a connection get to a borrower of `pool.connect()`, and back? */
import { cut, refusalOn } from './client.ts'
import type { PgCore } from './core.ts'
import { Loan } from './loan.ts'
import { faultOfRefusal } from './read-only.ts'
import type { ConnectCallback, PgClient } from './shape.ts'
import { isAlive, isClean, openCursors } from './state.ts'
import type { PgTransactionDriver } from './transaction.ts'

/** Borrows a connection and hands it out with a `release` that takes back only what is healthy and clean. */
export function lend(core: PgCore, driver: PgTransactionDriver, callback: ConnectCallback): void {
	const call = core.call({})
	core.lend({
		deadlineAtMs: call.deadlineAtMs,
		signal: call.signal,
		isBatch: call.isBatch,
		done: (error, client) => {
			if (client === undefined) return callback(error, undefined, () => {})
			const { release } = client
			const releaseOf = (target: PgClient) => (target === client ? release : target.release)
			const gone = new WeakSet<PgClient>()
			const loan = driver.verifies
				? new Loan(core, driver, client, (dead, reason) => {
						gone.add(dead)
						releaseOf(dead)(reason)
						core.returned()
					})
				: undefined
			let released = false
			client.release = (reason) => {
				// The words of pg-pool, whose own check comes too late for a connection that is still busy.
				if (released) throw new Error('Release called on client which has already been released to the pool.')
				released = true
				const back = () => {
					loan?.end()
					const target = loan?.target ?? client
					if (!gone.has(target)) takeBack(core, target, releaseOf(target), reason)
				}
				if (reason || loan === undefined) back()
				else loan.whenDone(back)
			}
			callback(undefined, client, client.release)
		},
	})
}

function takeBack(core: PgCore, client: PgClient, release: PgClient['release'], reason: unknown): void {
	if (reason) {
		release(reason)
		// `release` asks the server politely; one that does not answer would keep the socket, and the process, for minutes.
		if (core.breaks(reason)) cut(client)
		return core.returned()
	}
	// A cursor that nobody reads to its end never ends, and holds its snapshot and locks.
	if (openCursors(client).length > 0) {
		core.policy.counters.discarded += 1
		release(true)
		cut(client)
		return core.returned()
	}
	// A limit only where the user has set one: what runs on is the borrower's own business, and may take its time.
	core.whenQuiet(client, core.queryTimeoutMs, () => {
		// A transaction is still open on it, or it is dead: the next borrower must not get it.
		const dirty = isAlive(client) && !isClean(client)
		const refusal = refusalOn(client)
		if (refusal !== undefined && !core.readsOnly && !dirty && isAlive(client)) return takeBackRefused(core, client, release, refusal)
		if (dirty) core.policy.counters.discarded += 1
		release(dirty ? true : undefined)
		core.returned()
	})
}

/** Its borrower was refused a write. If the server takes none the others must not meet the same. */
function takeBackRefused(core: PgCore, client: PgClient, release: PgClient['release'], error: object): void {
	const call = core.call({})
	const fault = call.classify(error, 'statement')
	faultOfRefusal(core, client, error, fault, call).then(({ scope }) => {
		if (scope === 'endpoint' || scope === 'connection') {
			core.lost(client)
			release(error)
			cut(client)
		} else release()
		core.returned()
	})
}
