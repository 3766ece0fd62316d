/** How does an application move money through a wrapped mysql2 pool? One call; the rest is Holdfast's. */
import { holdfast } from 'holdfast/mysql2'
import mysql from 'mysql2/promise'
import type { MysqlConfig } from '../../../test/support/mysql.ts'
import type { Side } from '../side.ts'
import type { Tally } from '../tally.ts'
import { moveMoney } from './money.ts'
import { poolOptions } from './pool-options.ts'

export function wrappedSide(config: MysqlConfig, tally: Tally): Side {
	const pool = holdfast(mysql.createPool(poolOptions(config, tally)))
	return {
		name: 'wrapped',
		database: config.database,
		tally,
		waiting: () => pool.holdfast.stats().waiting,
		end: () => pool.end(),
		// The ledger's key makes a second run harmless: see moveMoney.
		transfer: (transfer) => pool.transaction((tx) => moveMoney(tx, transfer), { isolation: transfer.isolation, idempotent: true }),
		endpointState: () => pool.holdfast.stats().endpoint.state,
		reruns: () => new Map(Object.entries(pool.holdfast.stats().retries)),
	}
}
