/** How is money moved on MySQL and MariaDB? The same statements on both sides. */
import type { ResultSetHeader } from 'mysql2'
import type { Connection } from 'mysql2/promise'
import type { Transfer } from '../transfer.ts'

/**
 * The statements of a transfer, to be run in a transaction. The ledger's primary key makes it idempotent: where the transfer is
 * there already, from an attempt whose COMMIT got no answer, nothing moves. While such an attempt is still under way on the server, the
 * insert waits for its end.
 */
export async function moveMoney(tx: Pick<Connection, 'query' | 'execute'>, { id, from, to, cents }: Transfer): Promise<void> {
	const [entry] = await tx.execute<ResultSetHeader>('insert ignore into transfers (id, debited, credited, cents) values (?, ?, ?, ?)', [
		id,
		from,
		to,
		cents,
	])
	if (entry.affectedRows === 0) return
	// Not in the order of the accounts' numbers, which would avoid deadlocks: these are wanted here.
	await tx.query('update accounts set cents = cents - ? where id = ?', [cents, from])
	await tx.query('update accounts set cents = cents + ? where id = ?', [cents, to])
}
