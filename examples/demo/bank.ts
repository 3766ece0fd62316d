/** Where does it all happen? One real server, a database for each side, and what the books say afterwards. */
import { openMysqlBank } from './mysql2/bank.ts'
import { openPostgresBank } from './pg/bank.ts'
import type { Side } from './side.ts'
import type { Tally } from './tally.ts'

/** What is done to the server. */
export interface BankServer {
	/** Resolves when it answers a query. */
	start(): Promise<void>
	/** The clean shutdown. */
	stop(): Promise<void>
	kill(): Promise<void>
	query(sql: string, database?: string): Promise<unknown[]>
	dispose(): Promise<void>
}

/** The books of one side. */
export interface Books {
	readonly cents: number
	/** Accounts whose balance is not what the ledger's transfers make of it. */
	readonly wrongAccounts: number
	/** The transfers in the ledger. The primary key sees to it that none is there twice. */
	readonly ledger: ReadonlySet<number>
}

/** The server of both sides: the same outage, the same conflicts, at the same moment. */
export interface Bank {
	/** Such as "PostgreSQL 18 (embedded)". */
	readonly title: string
	readonly server: BankServer
	/** Creates a database with accounts and an empty ledger; its name. */
	found(side: Side['name']): Promise<string>
	/** Ends all connections to these databases. */
	endConnections(databases: readonly string[]): Promise<void>
	open(side: Side['name'], database: string, tally: Tally): Side
	books(database: string): Promise<Books>
}

/** The servers of each driver; the first is the default. */
export const serversOf = { pg: ['postgres'], mysql2: ['mysql', 'mariadb'] } as const
export type Driver = keyof typeof serversOf
export type ServerName = (typeof serversOf)[Driver][number]

export const openBank = (server: ServerName): Promise<Bank> => (server === 'postgres' ? openPostgresBank() : openMysqlBank(server))
