/** How does a connection get to a borrower of `pool.getConnection()`? What comes back is checked by the core. */
import { HoldfastError } from '../../src/driver.ts'
import type { Mysql2Core } from './core.ts'
import { Loan } from './loan.ts'
import type { ConnectionCallback, Mysql2Connection } from './shape.ts'
import { isAlive } from './state.ts'
import type { Mysql2TransactionDriver } from './transaction.ts'

/**
 * Borrows a connection: one that is alive, of this side of the last outage, and with no transaction open on it. With a driver the
 * borrower's commits are seen to.
 */
export function lend(core: Mysql2Core, driver: Mysql2TransactionDriver | undefined, callback: ConnectionCallback): void {
	const { deadlineAtMs, signal, isBatch } = core.call({})
	const borrow = () =>
		core.borrow({
			deadlineAtMs,
			signal,
			isBatch,
			done: (error, connection) => {
				if (connection === undefined) callback(error)
				// Never before `getConnection` has returned.
				else process.nextTick(handOver, core, driver, connection, callback, borrow)
			},
		})
	borrow()
}

/** Gives a borrower the connection that was got for it; where that is lost on the way, `again` gets another. */
export function handOver(
	core: Mysql2Core,
	driver: Mysql2TransactionDriver | undefined,
	connection: Mysql2Connection,
	callback: ConnectionCallback,
	again: () => void,
): void {
	connection._released = false
	if (driver === undefined) return callback(null, connection)
	const lendIt = (unusable?: HoldfastError) => {
		new Loan(core, driver, connection, unusable)
		callback(null, connection)
	}
	const { ledger } = driver
	if (ledger === undefined || ledger.prepared) lendIt()
	else {
		// Before the borrower has begun a transaction: creating the table would commit that.
		ledger.prepare(connection).then(
			() => process.nextTick(lendIt),
			(error: unknown) => {
				if (!isAlive(connection)) process.nextTick(again)
				// Where it is no error of the ledger, the borrower's own statements tell.
				else process.nextTick(lendIt, HoldfastError.is(error) ? error : undefined)
			},
		)
	}
}
