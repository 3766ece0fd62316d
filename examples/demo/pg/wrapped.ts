/** How does an application move money through a wrapped pool? One call; the rest is Holdfast's. */
import { holdfast } from 'holdfast/pg'
import pg from 'pg'
import { connectionsPerPool, type Side } from '../side.ts'
import type { Tally } from '../tally.ts'
import { moveMoney } from './money.ts'

export function wrappedSide(config: pg.PoolConfig, tally: Tally): Side {
	const pool = holdfast(new pg.Pool({ ...config, max: connectionsPerPool, stream: tally.socket }))
	return {
		name: 'wrapped',
		database: String(config.database),
		tally,
		waiting: () => pool.waitingCount,
		end: () => pool.end(),
		// The ledger's key makes a second run harmless: see moveMoney.
		transfer: (transfer) => pool.transaction((tx) => moveMoney(tx, transfer), { isolation: transfer.isolation, idempotent: true }),
		endpointState: () => pool.holdfast.stats().endpoint.state,
		reruns: () => new Map(Object.entries(pool.holdfast.stats().retries)),
	}
}
