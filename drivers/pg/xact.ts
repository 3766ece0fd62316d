/** Was this transaction committed, by PostgreSQL's own record? Its id, and the crash epoch that says whether the id is still its own. */
import type { CommitMark, CommitVerdict } from '../../src/driver.ts'
import { forgetPrepared, type Marked, type Marking } from './begin.ts'
import type { PgClient } from './shape.ts'
import { rowsOf, sqlstateOf, startedAt, type Witness } from './witness.ts'

/** A transaction as the server knows it. */
interface XactMark extends CommitMark {
	readonly xid: string
	readonly pid: string
	/** Microseconds, by the server's clock. */
	readonly startedAt: string
	readonly epoch: string
}

/**
 * Changes with every crash recovery, because that discards the statistics, and with every promotion, because that starts a timeline.
 * A clean restart keeps both. After a crash an id whose WAL was never flushed is handed out again: its status is then somebody else's.
 */
const epoch = `(extract(epoch FROM pg_stat_get_bgwriter_stat_reset_time()) * 1000000)::bigint::text
	|| '/' || substr(pg_walfile_name(pg_current_wal_lsn()), 1, 8)`

// PostgreSQL 13 renamed the functions; before 15 the statistics are read from a file that is written anew for every reader who finds it old.
const versions = {
	modern: { id: 'pg_current_xact_id()', status: 'pg_xact_status($1::xid8)', epochEachTime: true },
	fileStatistics: { id: 'pg_current_xact_id()', status: 'pg_xact_status($1::xid8)', epochEachTime: false },
	old: { id: 'txid_current()', status: 'txid_status($1::bigint)', epochEachTime: false },
} as const

// A standby has no ids to give, and a read-only transaction needs none: asking for one would use it up.
const writes = "NOT pg_is_in_recovery() AND current_setting('transaction_read_only') = 'off'"

const markText = (id: string, withEpoch: boolean) => `SELECT CASE WHEN ${writes} THEN ${id}::text END, pg_backend_pid()::text, ${startedAt},
	current_setting('server_version_num'), ${withEpoch ? `CASE WHEN NOT pg_is_in_recovery() THEN ${epoch} END` : 'NULL::text'}`

export class XactWitness implements Witness {
	#version: keyof typeof versions = 'modern'
	// Servers that only speak the protocol (CockroachDB, Redshift) have no such functions.
	#supported = true
	// Behind a pooler without support for prepared statements the name is unknown, or taken, on the next server connection.
	#named = true
	readonly #epochs = new WeakMap<PgClient, { pid: string; epoch: string }>()

	marking(client: PgClient): Marking | undefined {
		if (!this.#supported) return undefined
		const { id, epochEachTime } = versions[this.#version]
		const withEpoch = epochEachTime || !this.#epochs.has(client)
		const name = `holdfast_mark_${this.#version}_${withEpoch ? 'epoch' : 'id'}`
		return { name: this.#named ? name : undefined, text: markText(id, withEpoch), values: [], form: this.#form() }
	}

	read(client: PgClient, { row }: Marked): CommitMark | undefined {
		if (row === undefined) return undefined
		const [xid, pid, started, version, seen] = row
		if (this.#version === 'modern' && Number(version) < 150_000) this.#version = 'fileStatistics'
		if (!xid || !pid || !started) return undefined
		// A connection does not survive a crash, so what it once saw holds for as long as it lives. Should a pooler change the server
		// connection underneath, the old epoch only makes the answer "unknown" where it could have been "applied".
		if (seen) this.#epochs.set(client, { pid, epoch: seen })
		const known = this.#epochs.get(client)
		if (known === undefined || known.pid !== pid) this.#epochs.delete(client)
		const mark: XactMark = { xid, pid, startedAt: started, epoch: known?.epoch ?? '' }
		return mark
	}

	adapt(client: PgClient, error: unknown, failed: Marking): boolean {
		const code = sqlstateOf(error)
		forgetPrepared(client)
		if (failed.form !== this.#form()) return true
		// invalid_sql_statement_name, duplicate_prepared_statement.
		if ((code === '26000' || code === '42P05') && this.#named) this.#named = false
		// undefined_function: a server before 13.
		else if (code === '42883' && this.#version !== 'old') this.#version = 'old'
		// Still undefined, or insufficient_privilege: commits in doubt stay in doubt.
		else if ((code === '42883' || code === '42501') && this.#supported) this.#supported = false
		else return false
		return true
	}

	async look(client: PgClient, mark: CommitMark): Promise<CommitVerdict> {
		const { xid, pid, startedAt: started, epoch: then } = mark as XactMark
		const [server] = await rowsOf(
			client,
			`SELECT pg_is_in_recovery() AS standby, CASE WHEN NOT pg_is_in_recovery() THEN ${epoch} END AS epoch`,
			[],
		)
		// A standby may not have got that far, and cannot end anything: wait until it is promoted or replaced.
		if (server?.standby !== false) return { state: 'running' }
		const backend = await this.#fence(client, xid, pid, started)
		if (backend === 'there') return { state: 'running' }
		const { status } = versions[this.#version]
		let found: unknown
		try {
			// The epoch again, in the same statement: the server may have crashed since the first look.
			const [row] = await rowsOf(client, `SELECT ${status} AS status, ${epoch} AS epoch`, [xid])
			found = row?.status
			if (row?.epoch !== server.epoch) return { state: 'running' }
		} catch (error) {
			// invalid_parameter_value: "transaction ID … is in the future". This history of the server never had it.
			if (sqlstateOf(error) === '22023') return { state: 'not applied' }
			throw error
		}
		const same = server.epoch === then
		if (found === 'aborted') return { state: 'not applied' }
		if (found === 'in progress') {
			// After a crash the id is somebody else's, for our backend is gone, and an id whose commit was durable is not handed out again.
			return same || backend === 'hidden' ? { state: 'running' } : { state: 'not applied' }
		}
		if (found !== 'committed') return { state: 'unknown', why: 'The server no longer keeps the status of so old a transaction.' }
		if (same) return { state: 'applied' }
		return {
			state: 'unknown',
			why: 'The server has crashed or was replaced since: its record of the transaction may be that of another one. A commit ledger can tell.',
		}
	}

	#form(): string {
		return `${this.#version} ${this.#named} ${this.#supported}`
	}

	/** Ends the orphaned backend if it still runs our transaction. `hidden`: this role may not see what that pid does. */
	async #fence(client: PgClient, xid: string, pid: string, started: string): Promise<'gone' | 'there' | 'hidden'> {
		const rows = await rowsOf(
			client,
			`SELECT CASE WHEN ours THEN pg_terminate_backend(pid) END AS told, ours, hidden FROM (
				SELECT pid, state IS NULL AND query = '<insufficient privilege>' AS hidden,
					coalesce(backend_xid::text::bigint = $1::bigint % 4294967296 AND (extract(epoch FROM xact_start) * 1000000)::bigint = $3::bigint, false) AS ours
				FROM pg_stat_activity WHERE pid = $2::int AND pid <> pg_backend_pid()) backend`,
			[xid, pid, started],
		)
		if (rows.some((row) => row.ours === true)) return 'there'
		return rows.some((row) => row.hidden === true) ? 'hidden' : 'gone'
	}
}
