/** What is one unit of work? Money goes from one account to another, and the ledger remembers it; the same statements on both sides. */

/** How the accounts are drawn, and how transactions see each other. */
export interface Traffic {
	/** Transfers run between so many accounts; few of them make conflicts. */
	readonly accounts: number
	readonly isolation: 'read committed' | 'serializable'
}

/** One transfer. */
export interface Transfer {
	/** Unique on its side, and the key of its row in the ledger. */
	readonly id: number
	readonly from: number
	readonly to: number
	readonly cents: number
	readonly isolation: Traffic['isolation']
}

/** Whatever runs a statement: pg's client on the bare side, the transaction's handle on the wrapped one. */
export interface Queries {
	query(text: string, values: unknown[]): Promise<{ rowCount: number | null }>
}

const idsPerWorker = 1_000_000

/** The transfer that worker number `worker` (from 0) does as its `count`th (from 1). */
export function drawTransfer(worker: number, count: number, traffic: Traffic, random: () => number): Transfer {
	const from = 1 + Math.floor(random() * traffic.accounts)
	const step = 1 + Math.floor(random() * (traffic.accounts - 1))
	return {
		id: worker * idsPerWorker + count,
		from,
		to: 1 + ((from - 1 + step) % traffic.accounts),
		cents: 1 + Math.floor(random() * 10_000),
		isolation: traffic.isolation,
	}
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
