/** How is money moved on PostgreSQL? The same statements on both sides. */
import type { Transfer } from '../transfer.ts'

/** Whatever runs a statement: pg's client on the bare side, the transaction's handle on the wrapped one. */
export interface Queries {
	query(text: string, values: unknown[]): Promise<{ rowCount: number | null }>
}

/**
 * The statements of a transfer, to be run in a transaction. The ledger's primary key makes it idempotent: where the transfer is
 * there already, from an attempt whose COMMIT got no answer, nothing moves. While such an attempt is still under way on the server, the
 * insert waits for its end.
 */
export async function moveMoney(tx: Queries, { id, from, to, cents }: Transfer): Promise<void> {
	const entry = await tx.query('insert into transfers (id, debited, credited, cents) values ($1, $2, $3, $4) on conflict (id) do nothing', [
		id,
		from,
		to,
		cents,
	])
	if (entry.rowCount === 0) return
	// Not in the order of the accounts' numbers, which would avoid deadlocks: these are wanted here.
	await tx.query('update accounts set cents = cents - $1 where id = $2', [cents, from])
	await tx.query('update accounts set cents = cents + $1 where id = $2', [cents, to])
}
