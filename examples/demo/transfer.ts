/** What is one unit of work? Money goes from one account to another, and the ledger remembers it. */

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
