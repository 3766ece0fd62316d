/** What does the runner ask of a database product? The one contract that PostgreSQL and MySQL fulfil here. */
import type { Blocker } from './errors.ts'
import type { Connection } from './shape.ts'

/** Runs a statement on a connection and resolves with its rows. */
export type Ask = (connection: Connection, sql: string, values?: readonly unknown[]) => Promise<readonly Record<string, unknown>[]>

/** One session, so that it is known again: ids are used again, the time of its start is not. */
export interface Identity {
	readonly pid: number
	readonly startedAt: string
}

/** Who holds the session lock of the runners. */
export interface Holder extends Identity {
	/** For people: who, from where, since when, doing what. */
	readonly words: string
}

/** Which migrations table the lock is about. */
export interface TablePlace {
	readonly tableName: string
	readonly schemaName: string | null
}

export interface Server {
	readonly dialect: 'postgres' | 'mysql'
	/** Whether a migration's transaction is rolled back as a whole, its DDL included. */
	readonly rollsBackDdl: boolean
	/** The shortest time limit on a wait for a lock that the product has, in milliseconds. */
	readonly leastLockTimeoutMs: number
	/** Whether those that `blockersOf` names are certain to be in our way; else they are those who could be. */
	readonly knowsBlockers: boolean
	/** Prepares a session that is going to hold the lock for as long as the run lasts. Throws where it could not be kept. */
	prepare(connection: Connection): Promise<Identity>
	/** Tries to take the runners' lock for the session. It ends with the session, and the session's transaction ends before it. */
	tryLock(connection: Connection): Promise<boolean>
	/** Whether the session that answers this statement holds the lock. */
	holdsLock(connection: Connection): Promise<boolean>
	unlock(connection: Connection): Promise<void>
	holder(connection: Connection): Promise<Holder | undefined>
	/** Ends a session of ours that is still on the server although its connection is lost. */
	endSession(connection: Connection, orphan: Identity): Promise<void>
	/** How long statements of the session may wait for locks; 0 for any length. `local`: until the end of the transaction that is open. */
	limitLocks(connection: Connection, lockTimeoutMs: number, local: boolean): Promise<void>
	/** Who keeps the session from its lock right now, as far as the server tells. */
	blockersOf(connection: Connection, waiting: Connection): Promise<readonly Blocker[]>
	/** Which of these are still in the same transaction. */
	remaining(connection: Connection, blockers: readonly Blocker[]): Promise<readonly Blocker[]>
	/** The names, quoted where needed, of indexes that are marked invalid and that nobody is building. */
	invalidIndexes(connection: Connection): Promise<readonly string[]>
	/** Whether this text, sent in a transaction, commits it. */
	commitsImplicitly(text: string): boolean
	/** Whether the server's error to this text, sent outside a transaction, means that nothing of it is left. */
	failsWhole(text: string): boolean
	/** Whether this text may be sent again inside a transaction after a lock timeout: the rest of the transaction is still there. */
	mayRepeatInside(text: string): boolean
	/** The other sessions of this database, for people who have to judge whether a runner lives. */
	sessions(connection: Connection): Promise<readonly string[]>
}
