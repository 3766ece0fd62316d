/** How can PostgreSQL be asked what became of a commit? What every way of asking has in common. */
import type { CommitMark, CommitVerdict } from '../../src/driver.ts'
import type { Marked, Marking } from './begin.ts'
import { send } from './client.ts'
import type { PgClient } from './shape.ts'

/** One way of knowing: by the server's own record of transactions, or by the ledger. */
export interface Witness {
	/** What has to be done once before the first marking. */
	prepare?(client: PgClient): void
	/** The statement to send along with BEGIN; undefined where this server has nothing to ask. */
	marking(client: PgClient): Marking | undefined
	/** What its answer says; undefined where the transaction cannot write and there will be nothing to ask. */
	read(client: PgClient, marked: Marked, marking: Marking): CommitMark | undefined
	/** After an error of the marked BEGIN: true if it is worth another try, in the form that `marking` gives then. Rejects with a clearer error. */
	adapt(client: PgClient, error: unknown, failed: Marking): boolean | Promise<boolean>
	/** Asks once. */
	look(client: PgClient, mark: CommitMark): Promise<CommitVerdict>
}

/** The moment a transaction began, by the server's clock in microseconds: with pid and xid it names a transaction of one backend for good. */
export const startedAt = '(extract(epoch FROM now()) * 1000000)::bigint::text'

/** When the connection's backend was started, in microseconds as well. NULL where this role may not see it. */
export const backendStartedAt =
	'(SELECT (extract(epoch FROM backend_start) * 1000000)::bigint::text FROM pg_stat_get_activity(pg_backend_pid()))'

/** With pid and xid it names a transaction for good: after a crash both of those are used again. Microseconds, by the server's clock. */
export interface Since {
	readonly column: 'xact_start' | 'backend_start'
	readonly atUs: string
}

/** SQLSTATE of an error; undefined where it has none. */
export function sqlstateOf(error: unknown): string | undefined {
	const code = typeof error === 'object' && error !== null && 'code' in error ? error.code : undefined
	return typeof code === 'string' ? code : undefined
}

/** Runs a statement with values and gives its rows. Rejects with the driver's error. */
export function rowsOf(client: PgClient, text: string, values: readonly string[]): Promise<ReadonlyArray<Record<string, unknown>>> {
	return new Promise((resolve, reject) => {
		send(client, text, values, (error, result) => {
			if (error === null || error === undefined) resolve((result as { rows: Array<Record<string, unknown>> }).rows)
			else reject(error)
		})
	})
}
