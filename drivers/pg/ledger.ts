/** Was this transaction committed, by the commit ledger? A token written in the transaction itself, looked for afterwards. */
import { randomUUID } from 'node:crypto'
import { type CommitLedger, type CommitMark, type CommitVerdict, HoldfastError, ledgerRetentionHours } from '../../src/driver.ts'
import { forgetPrepared, type Marked, type Marking } from './begin.ts'
import { execute } from './client.ts'
import type { PgClient } from './shape.ts'
import { transactionStatus } from './state.ts'
import { backendStartedAt, rowsOf, type Since, sqlstateOf, startedAt, type Witness } from './witness.ts'

interface LedgerMark extends CommitMark {
	readonly token: string
	readonly slot: Slot
	readonly backend: Backend
}

/** Who runs the transaction. */
interface Backend {
	readonly pid: string
	readonly since: Since
	/** When it was first seen in a transaction, in microseconds by the server's clock. */
	readonly seenAtUs: string
}

/** The row of one connection. Its name is used again by a later connection, unless somebody may still hold the row or ask for it. */
interface Slot {
	readonly index: number
	readonly name: string
	/** The server has told what became of the transaction in it. */
	resolved: boolean
	/** Its connection is gone, and went in the middle of a transaction: what is left of that on the server holds the row. */
	orphaned: boolean
}

// What stands in a row that no transaction of ours has written.
const fenced = 'fenced'

export class LedgerWitness implements Witness {
	readonly #ledger: CommitLedger
	readonly #table: string
	readonly #pool = randomUUID()
	readonly #slots = new WeakMap<PgClient, Slot>()
	readonly #unused: number[] = []
	#slotCount = 0
	#tokenCount = 0
	// Where no pooler stands in between, a connection has one backend for its whole life.
	readonly #backends = new WeakMap<PgClient, Backend>()
	#named = true
	#swept = false
	// Sessions that cannot write (a standby, default_transaction_read_only) have nothing to leave a token for.
	readonly #readOnly = new WeakSet<PgClient>()

	constructor(ledger: CommitLedger) {
		this.#ledger = ledger
		this.#table = ledger.name('postgres')
	}

	prepare(client: PgClient): void {
		if (this.#swept) return
		this.#swept = true
		// No table yet, no right to delete, a standby, a lost link: the BEGIN that follows tells what matters.
		this.#sweep(client).catch(() => {})
	}

	marking(client: PgClient): Marking | undefined {
		if (this.#readOnly.has(client)) return undefined
		this.#tokenCount += 1
		const slot = this.#slotOf(client)
		// ON CONFLICT finds the row by its index and takes no predicate lock, so that serializable transactions do not meet in the ledger.
		const write = `INSERT INTO ${this.#table} AS ledger (slot, token) VALUES ($1, $2) ON CONFLICT (slot)
				DO UPDATE SET token = excluded.token, used_at = excluded.used_at`
		const known = this.#backends.has(client)
		return {
			name: this.#named ? `holdfast_${known ? 'token' : 'ledger'}_1_${this.#table}` : undefined,
			text: known ? write : `${write} RETURNING pg_backend_pid()::text, ${startedAt}, ${backendStartedAt}`,
			values: [slot.name, `${slot.name}/${this.#tokenCount}`],
			form: String(this.#named),
			more: known ? ' RETURNING ' : ', ',
		}
	}

	read(client: PgClient, { row, tag }: Marked, { values }: Marking): CommitMark | undefined {
		// A trigger of the user's may suppress the row: its absence would prove nothing then.
		if (!tag?.endsWith(' 1')) return undefined
		const backend = this.#backendOf(client, row)
		if (backend === undefined) return undefined
		const mark: LedgerMark = { token: values[1] as string, slot: this.#slotOf(client), backend }
		return mark
	}

	#backendOf(client: PgClient, row: Marked['row']): Backend | undefined {
		const known = this.#backends.get(client)
		if (known !== undefined) return known
		const [pid, started, backendStarted] = (row ?? []) as ReadonlyArray<string | null | undefined>
		if (!pid || !started) return undefined
		// The pid of the handshake is the backend's own only where nobody stands in between.
		if (!backendStarted || String(client.processID) !== pid)
			return { pid, since: { column: 'xact_start', atUs: started }, seenAtUs: started }
		const backend: Backend = { pid, since: { column: 'backend_start', atUs: backendStarted }, seenAtUs: started }
		this.#backends.set(client, backend)
		return backend
	}

	async adapt(client: PgClient, error: unknown, failed: Marking): Promise<boolean> {
		const code = sqlstateOf(error)
		forgetPrepared(client)
		if (failed.form !== String(this.#named)) return true
		// invalid_sql_statement_name, duplicate_prepared_statement: a pooler without support for prepared statements.
		if ((code === '26000' || code === '42P05') && this.#named) {
			this.#named = false
			return true
		}
		// read_only_sql_transaction.
		if (code === '25006') return this.#cannotWrite(client)
		// undefined_table, invalid_schema_name.
		if (code === '42P01' || code === '3F000') {
			if (code === '42P01' && this.#ledger.create) return this.#createTable(client)
			throw this.#unusable('does not exist', `Pass create: true to commitLedger, or run:\n${this.#ledger.migration('postgres')}`, error)
		}
		// insufficient_privilege; undefined_column, invalid_column_reference: a table of that name that is no ledger.
		if (code === '42501') throw this.#unusable('cannot be written by this role', 'It needs SELECT, INSERT, UPDATE and DELETE on it.', error)
		if (code === '42703' || code === '42P10')
			throw this.#unusable('is not a commit ledger', `It should be:\n${this.#ledger.migration('postgres')}`, error)
		return false
	}

	async look(client: PgClient, mark: CommitMark): Promise<CommitVerdict> {
		const { slot, token, backend } = mark as LedgerMark
		const [server] = await rowsOf(
			client,
			'SELECT pg_is_in_recovery() AS standby, (extract(epoch FROM now()) * 1000000)::bigint - $1::bigint > $2::bigint AS old',
			[backend.seenAtUs, String((ledgerRetentionHours / 2) * 3_600_000_000)],
		)
		// A standby cannot be fenced: wait until it is promoted or replaced.
		if (server?.standby !== false) return { state: 'running' }
		await this.#fence(client, backend)
		const found = await this.#fencedToken(client, slot.name)
		if (found === undefined) return { state: 'running' }
		// A row that was never there, or one that has been cleared away since.
		if (found === fenced && server.old === true)
			return { state: 'unknown', why: `The ledger keeps a token for ${ledgerRetentionHours} hours only.` }
		slot.resolved = true
		if (slot.orphaned) this.#unused.push(slot.index)
		return found === token ? { state: 'applied' } : { state: 'not applied' }
	}

	/** Tells the backend to end if it still runs our transaction. */
	async #fence(client: PgClient, { pid, since: { column, atUs } }: Backend): Promise<void> {
		await rowsOf(
			client,
			`SELECT pg_terminate_backend(pid) FROM pg_stat_activity
				WHERE pid = $1::int AND (extract(epoch FROM ${column}) * 1000000)::bigint = $2::bigint AND pid <> pg_backend_pid()`,
			[pid, atUs],
		)
	}

	/**
	 * The token in the slot once no transaction holds the row any more; undefined while one does. It writes, because only a write waits for an
	 * insert that is not committed yet: where there is no row its own then stands there, and a late transaction cannot bring the token.
	 */
	async #fencedToken(client: PgClient, slot: string): Promise<string | undefined> {
		await execute(client, "BEGIN READ WRITE; SET LOCAL lock_timeout = '1s'")
		try {
			const [row] = await rowsOf(
				client,
				`INSERT INTO ${this.#table} AS ledger (slot, token) VALUES ($1, '${fenced}') ON CONFLICT (slot) DO UPDATE SET used_at = now() RETURNING token`,
				[slot],
			)
			await execute(client, 'COMMIT')
			return String(row?.token)
		} catch (error) {
			await execute(client, 'ROLLBACK')
			// lock_not_available: our own limit.
			if (sqlstateOf(error) === '55P03') return undefined
			throw error
		}
	}

	#slotOf(client: PgClient): Slot {
		const known = this.#slots.get(client)
		if (known !== undefined) return known
		const index = this.#unused.pop() ?? this.#slotCount++
		const slot: Slot = { index, name: `${this.#pool}/${index}`, resolved: false, orphaned: false }
		this.#slots.set(client, slot)
		client.once('end', () => {
			// The status is from before what was still running: a BEGIN, perhaps, that the server has had.
			if (slot.resolved || (transactionStatus(client) === 'I' && client.readyForQuery !== false)) this.#unused.push(index)
			else slot.orphaned = true
		})
		return slot
	}

	/** Rows of processes that are gone: each new pool clears them away, so that no job has to. */
	async #sweep(client: PgClient): Promise<void> {
		const old = `SELECT slot FROM ${this.#table} WHERE used_at < now() - interval '${ledgerRetentionHours} hours' LIMIT 1000 FOR UPDATE SKIP LOCKED`
		await execute(client, `DELETE FROM ${this.#table} WHERE slot IN (${old})`)
	}

	async #createTable(client: PgClient): Promise<boolean> {
		try {
			await execute(client, this.#ledger.migration('postgres'))
		} catch (error) {
			const code = sqlstateOf(error)
			if (code === '25006') return this.#cannotWrite(client)
			// insufficient_privilege.
			if (code === '42501')
				throw this.#unusable('does not exist and cannot be created', 'Give the role the right, or run the migration yourself.', error)
			// Two that create it at once: one meets the other's row in the catalogue (unique_violation, duplicate_table, duplicate_object).
			// Anything else, a lost connection above all, says nothing of the ledger.
			if (code !== '23505' && code !== '42P07' && code !== '42710') throw error
		}
		return true
	}

	#cannotWrite(client: PgClient): true {
		this.#readOnly.add(client)
		return true
	}

	#unusable(what: string, advice: string, cause: unknown): HoldfastError {
		return new HoldfastError('HOLDFAST_LEDGER', `The commit ledger ${this.#table} ${what}. Nothing of the transaction was run. ${advice}`, {
			cause,
		})
	}
}
