/** How does a connection get to a borrower of `pool.connect()`, and back? */
import type { PoolCore } from '../../src/driver.ts'
import { cut, isBusy, isUsable, whenQuiet, willBecomeQuiet } from './client.ts'
import type { ConnectCallback, PgClient } from './shape.ts'

/** Borrows a connection and hands it out with a `release` that takes back only what is healthy and clean. */
export function lend(core: PoolCore<PgClient>, callback: ConnectCallback): void {
	const call = core.call({})
	core.borrow({
		deadlineAtMs: call.deadlineAtMs,
		signal: call.signal,
		done: (error, client) => {
			if (client === undefined) return callback(error, undefined, () => {})
			const release = client.release.bind(client)
			client.release = (reason?: unknown) => takeBack(core, client, release, reason)
			callback(undefined, client, client.release)
		},
	})
}

function takeBack(core: PoolCore<PgClient>, client: PgClient, release: (reason?: unknown) => void, reason: unknown): void {
	// The pool's own `release`, for the second call: it throws.
	client.release = release
	const done = () => {
		if (reason || isUsable(client)) release(reason)
		else {
			// A transaction is still open on it, or it is dead: the next borrower must not get it.
			core.policy.counters.discarded += 1
			release(true)
		}
		core.returned()
	}
	if (reason || !isBusy(client)) return done()
	if (willBecomeQuiet(client)) return whenQuiet(client, done)
	core.policy.counters.discarded += 1
	release(true)
	cut(client)
	core.returned()
}
