/** Was this transaction committed, by PostgreSQL's own record? Its id, and the crash epoch that says whether the id is still its own. */
import type { CommitMark, CommitVerdict } from '../../src/driver.ts'
import { forgetPrepared, type Marked, type Marking } from './begin.ts'
import type { PgClient } from './shape.ts'
import { backendStartedAt, rowsOf, type Since, sqlstateOf, startedAt, type Witness } from './witness.ts'

/** A transaction as the server knows it. */
interface XactMark extends CommitMark {
	readonly xid: string
	readonly pid: string
	readonly since: Since
	readonly epoch: string
}

/** What holds for as long as a connection lives, where no pooler stands in between: it does not survive a crash. */
interface Session {
	readonly pid: string
	readonly since: Since
	readonly epoch: string
}

/**
 * Changes with every crash recovery, because that discards the statistics, and with every promotion, because that starts a timeline.
 * The server's own address is in it for two replicas that were promoted one after the other: each begins the same timeline, and copies of one
 * data folder have their statistics from it. A clean restart at the same address keeps all of it. After a crash an id whose WAL was never flushed is handed out again: its status is then somebody else's.
 */
export const crashEpoch = `(extract(epoch FROM pg_stat_get_bgwriter_stat_reset_time()) * 1000000)::bigint::text
	|| '/' || substr(pg_walfile_name(pg_current_wal_lsn()), 1, 8)
	|| '/' || coalesce(host(inet_server_addr()), '') || ':' || coalesce(inet_server_port()::text, '')`

// PostgreSQL 13 renamed the functions.
const versions = {
	modern: { id: 'pg_current_xact_id()', status: 'pg_xact_status($1::xid8)' },
	old: { id: 'txid_current()', status: 'txid_status($1::bigint)' },
} as const

// A standby has no ids to give, and a read-only transaction needs none: asking for one would use it up.
const writes = "NOT pg_is_in_recovery() AND current_setting('transaction_read_only') = 'off'"

// The server may have been set read-only since the session began.
const idText = (id: string) => `CASE WHEN ${writes} THEN ${id}::text END`

const fullText = (id: string) => `SELECT ${idText(id)}, pg_backend_pid()::text, ${startedAt},
	CASE WHEN NOT pg_is_in_recovery() THEN ${crashEpoch} END,
	${backendStartedAt}`

export class XactWitness implements Witness {
	#version: keyof typeof versions = 'modern'
	// Servers that only speak the protocol (CockroachDB, Redshift) have no such functions.
	#supported = true
	// Behind a pooler without support for prepared statements the name is unknown, or taken, on the next server connection.
	#named = true
	/** In the form that this server takes; made anew when that changes. */
	#markings: { readonly full: Marking; readonly id: Marking } | undefined
	readonly #sessions = new WeakMap<PgClient, Session>()
	#epoch: string | undefined
	readonly #epochChanged: () => void

	/** `epochChanged` is told when a connection leads to a server that has crashed, or was replaced, since an earlier one was made. */
	constructor(epochChanged: () => void) {
		this.#epochChanged = epochChanged
	}

	marking(client: PgClient): Marking | undefined {
		if (!this.#supported) return undefined
		this.#markings ??= this.#makeMarkings()
		return this.#sessions.has(client) ? this.#markings.id : this.#markings.full
	}

	#makeMarkings(): { readonly full: Marking; readonly id: Marking } {
		const { id } = versions[this.#version]
		const form = this.#form()
		// The names carry a number: behind a pooler another release of Holdfast may have prepared its own text.
		const name = (what: string) => (this.#named ? `holdfast_${what}_2_${this.#version}` : undefined)
		return {
			full: { name: name('mark'), text: fullText(id), values: [], form, more: ', ' },
			id: { name: name('id'), text: `SELECT ${idText(id)}`, values: [], form, more: ', ' },
		}
	}

	read(client: PgClient, { row }: Marked): CommitMark | undefined {
		const [xid, pid, started, seen, backend] = row ?? []
		if (!xid) return undefined
		const session = this.#sessions.get(client)
		if (session !== undefined) return markOf(xid, session)
		if (!pid || !started || !seen) return undefined
		if (this.#epoch !== undefined && this.#epoch !== seen) this.#epochChanged()
		this.#epoch = seen
		// The pid of the handshake is the backend's own only where nobody stands in between. Then everything but the id is known from now on.
		if (backend && String(client.processID) === pid)
			this.#sessions.set(client, { pid, since: { column: 'backend_start', atUs: backend }, epoch: seen })
		return markOf(xid, { pid, since: { column: 'xact_start', atUs: started }, epoch: seen })
	}

	adapt(client: PgClient, error: unknown, failed: Marking): boolean {
		const code = sqlstateOf(error)
		forgetPrepared(client)
		this.#markings = undefined
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
		const { xid, pid, since, epoch: then } = mark as XactMark
		const [server] = await rowsOf(
			client,
			`SELECT pg_is_in_recovery() AS standby, CASE WHEN NOT pg_is_in_recovery() THEN ${crashEpoch} END AS epoch`,
			[],
		)
		// A standby may not have got that far, and cannot end anything: wait until it is promoted or replaced.
		if (server?.standby !== false) return { state: 'running' }
		const backend = await this.#fence(client, xid, pid, since)
		if (backend === 'there') return { state: 'running' }
		const { status } = versions[this.#version]
		let found: unknown
		try {
			// The epoch again, in the same statement: the server may have crashed since the first look.
			const [row] = await rowsOf(client, `SELECT ${status} AS status, ${crashEpoch} AS epoch`, [xid])
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
	async #fence(client: PgClient, xid: string, pid: string, { column, atUs }: Since): Promise<'gone' | 'there' | 'hidden'> {
		const rows = await rowsOf(
			client,
			`SELECT CASE WHEN ours THEN pg_terminate_backend(pid) END AS told, ours, hidden FROM (
				SELECT pid, state IS NULL AND query = '<insufficient privilege>' AS hidden,
					coalesce(backend_xid::text::bigint = $1::bigint % 4294967296 AND (extract(epoch FROM ${column}) * 1000000)::bigint = $3::bigint, false) AS ours
				FROM pg_stat_activity WHERE pid = $2::int AND pid <> pg_backend_pid()) backend`,
			[xid, pid, atUs],
		)
		if (rows.some((row) => row.ours === true)) return 'there'
		return rows.some((row) => row.hidden === true) ? 'hidden' : 'gone'
	}
}

const markOf = (xid: string, session: Session): XactMark => ({ xid, ...session })
