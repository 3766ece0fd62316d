/** What must stand behind knex's pool, whatever the database? A wrapped pool of the driver, and three ways to work on it. */
import type { PoolOptions, QueryOptions, Stats, TransactionOptions } from '../../src/driver.ts'
import type { ClientConfig, KnexClient, KnexConnection } from './shape.ts'

/** What a builder's one statement runs on. The statement may move to another connection. */
export interface StatementConnection extends KnexConnection {
	/** Gives back what is still held. */
	release(): void
	/** Never runs the statement again. */
	abandon(error: unknown): void
}

/** One attempt of a transaction that may be run again, as the driver sees it. */
export interface TransactionLink {
	/** The driver's own connection. */
	readonly connection: object
	/** Sends a statement of the transaction, in the form in which the driver's connection takes it. */
	query(...given: unknown[]): unknown
	/** Cuts the connection. */
	cut(error: Error): void
	onCommit(callback: () => unknown): void
}

export interface Backend {
	/** The driver's pool, wrapped. */
	readonly pool: object
	/** Connections by their state, and callers that wait. */
	counts(): { readonly total: number; readonly idle: number; readonly waiting: number }
	/** A connection of the driver's own, lent until it is given back. */
	borrow(): Promise<KnexConnection>
	/** False where it was not lent, or was given back already. */
	giveBack(connection: KnexConnection): boolean
	/** Waits for a connection, on which the statement then starts. */
	statement(options: QueryOptions, mayBeAbandoned: boolean): Promise<StatementConnection>
	/** Runs `work` in a transaction that the driver begins and ends, as often as transient faults need it. */
	transact(work: (link: TransactionLink) => Promise<void>, options: TransactionOptions): Promise<void>
	stats(): Stats
	ready(options: object | undefined): Promise<void>
	end(): Promise<void>
}

/** Makes the backend of one knex client. */
export type MakeBackend = (client: KnexClient, config: ClientConfig, options: PoolOptions) => Backend
