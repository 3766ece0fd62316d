/** Where does a transaction leave the proof that it was committed? The ledger's table, for every database. */
import { bool, checkOptions, type OptionRule, type OptionRules } from './options.ts'

/** Options of `commitLedger`. */
export interface LedgerOptions {
	/** Name of the table. Default `holdfast_commits`. */
	table?: string | undefined
	/** Schema (PostgreSQL) or database (MySQL) of the table. Default: where the connection looks first. */
	schema?: string | undefined
	/** Creates the table when it is missing. Needs the right to create tables. Default false. */
	create?: boolean | undefined
}

const identifier: OptionRule = {
	rule: 'an identifier of letters, digits and underscores, at most 48 long',
	accepts: (value) => typeof value === 'string' && /^[A-Za-z_][A-Za-z0-9_]{0,47}$/.test(value),
}

const rules: OptionRules<LedgerOptions> = { table: identifier, schema: identifier, create: bool }

/** How long a row stays after its last use. Longer than any deadline that a commit could be asked about after. */
export const ledgerRetentionHours = 24

/** A ledger: pass it as `commit` to `holdfast`. */
export class CommitLedger {
	readonly table: string
	readonly schema: string | undefined
	readonly create: boolean

	/** @internal Made by `commitLedger`. */
	constructor(options: LedgerOptions) {
		this.table = options.table ?? 'holdfast_commits'
		this.schema = options.schema
		this.create = options.create ?? false
	}

	/** The table's name as it stands in a statement. */
	name(dialect: 'postgres' | 'mysql'): string {
		const quote = dialect === 'postgres' ? '"' : '`'
		const parts = this.schema === undefined ? [this.table] : [this.schema, this.table]
		return parts.map((part) => quote + part + quote).join('.')
	}

	/**
	 * The statement that creates the table, for a migration of your own. The application's role needs SELECT, INSERT, UPDATE and DELETE on it.
	 */
	migration(dialect: 'postgres' | 'mysql' = 'postgres'): string {
		if (dialect === 'postgres') {
			return `CREATE TABLE IF NOT EXISTS ${this.name(dialect)} (
	slot text PRIMARY KEY,
	token text NOT NULL,
	used_at timestamptz NOT NULL DEFAULT now()
) WITH (fillfactor = 20)`
		}
		return `CREATE TABLE IF NOT EXISTS ${this.name(dialect)} (
	slot varchar(64) PRIMARY KEY,
	token varchar(64) NOT NULL,
	used_at timestamp(6) NOT NULL DEFAULT CURRENT_TIMESTAMP(6)
) ENGINE = InnoDB`
	}
}

/**
 * A commit ledger: a small table in the user's database, in which each transaction leaves a token. When the answer to a COMMIT is lost,
 * the token's presence says whether it was applied: also after a crash, after a failover, and where the server keeps no record of its own.
 * One row for each connection of a pool, updated in place. Throws a TypeError for a bad option.
 */
export function commitLedger(options: LedgerOptions = {}): CommitLedger {
	checkOptions<LedgerOptions>('commitLedger', options, rules)
	return new CommitLedger(options)
}
