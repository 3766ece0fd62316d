/** How does a connection get to a borrower of `pool.getConnection()`? What comes back is checked by the core. */
import { HoldfastError } from '../../src/driver.ts'
import type { Mysql2Core } from './core.ts'
import { Loan } from './loan.ts'
import type { ConnectionCallback, Mysql2Connection } from './shape.ts'
import type { Mysql2TransactionDriver } from './transaction.ts'

/**
 * Borrows a connection: one that is alive, of this side of the last outage, and with no transaction open on it. With a driver the
 * borrower's commits are seen to.
 */
export function lend(core: Mysql2Core, driver: Mysql2TransactionDriver | undefined, callback: ConnectionCallback): void {
	const { deadlineAtMs, signal } = core.call({})
	core.borrow({
		deadlineAtMs,
		signal,
		done: (error, connection) => {
			if (connection === undefined) callback(error)
			else handOver(core, driver, connection, callback)
		},
	})
}

/** Gives a borrower the connection that was got for it. */
export function handOver(
	core: Mysql2Core,
	driver: Mysql2TransactionDriver | undefined,
	connection: Mysql2Connection,
	callback: ConnectionCallback,
): void {
	if (driver === undefined) return callback(null, connection)
	const lendIt = (unusable?: HoldfastError) => {
		new Loan(core, driver, connection, unusable)
		callback(null, connection)
	}
	const { ledger } = driver
	if (ledger === undefined || ledger.prepared) lendIt()
	else prepare(ledger, connection, lendIt)
}

/** Whether there is a ledger is found out before the first borrower has begun a transaction: creating it would commit that. */
function prepare(
	ledger: { prepare(connection: Mysql2Connection): Promise<void> },
	connection: Mysql2Connection,
	then: (unusable?: HoldfastError) => void,
): void {
	ledger.prepare(connection).then(
		() => process.nextTick(then),
		// Where it is anything else, a lost link above all, the borrower's own statements tell.
		(error: unknown) => process.nextTick(then, HoldfastError.is(error) ? error : undefined),
	)
}
