/** Was anything lost? What the database says of one side, held against what its application was told. */
import { accounts, centsEach } from './accounts.ts'
import type { Bank } from './bank.ts'
import type { Side } from './side.ts'

export interface Audit {
	/** Cents that came into being; negative for cents that vanished. */
	readonly centsOff: number
	/** Accounts whose balance is not what the ledger's transfers make of it. */
	readonly wrongAccounts: number
	/** Reported as done, and not in the ledger. */
	readonly lost: number
	/** Reported as failed, and in the ledger all the same. */
	readonly doneAfterAll: number
	/** In the ledger although nobody got an answer. */
	readonly unanswered: number
}

/** Looks at one side's books once its workers are done. */
export async function audit(bank: Pick<Bank, 'books'>, { database, tally }: Pick<Side, 'database' | 'tally'>): Promise<Audit> {
	const { cents, wrongAccounts, ledger } = await bank.books(database)
	return {
		centsOff: cents - accounts * centsEach,
		wrongAccounts,
		lost: [...tally.done].filter((id) => !ledger.has(id)).length,
		doneAfterAll: [...tally.failed].filter((id) => ledger.has(id)).length,
		unanswered: [...ledger].filter((id) => !tally.done.has(id) && !tally.failed.has(id)).length,
	}
}
