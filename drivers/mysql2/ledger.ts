/** Was this transaction committed? A token written in the transaction itself, looked for afterwards: MySQL and MariaDB keep no other record. */
import { type CommitLedger, type CommitMark, type CommitVerdict, HoldfastError, ledgerRetentionHours } from '../../src/driver.ts'
import { errnoOf } from './begin.ts'
import { execute } from './client.ts'
import { isReadOnly, readOnlyColumns } from './read-only.ts'
import type { Mysql2Connection } from './shape.ts'
import { type Slot, Slots } from './slots.ts'

/** A transaction that was marked. */
export interface LedgerMark extends CommitMark {
	readonly token: string
	readonly slot: Slot
	readonly threadId: number | null
	/** When it began, by the clock of this process. */
	readonly atMs: number
	/** A commit had left a row in the slot before this transaction began. */
	readonly kept: boolean
}

/** The statement that marks a transaction, and what is known by it. */
export interface Marking {
	readonly text: string
	readonly mark: LedgerMark
}

// Error numbers: MySQL manual, "Server Error Message Reference"; each is explained in src/classify/mysql.ts or here.
const noSuchTable = new Set([1146, 1049])
const noRight = new Set([1044, 1142, 1143, 1370])
/** ER_BAD_FIELD_ERROR, ER_NO_DEFAULT_FOR_FIELD, ER_DATA_TOO_LONG, ER_NON_INSERTABLE_TABLE: a table of that name that is no ledger. */
const noLedger = new Set([1054, 1364, 1406, 1471])
/** A server, or a session, that takes no writes. */
const readOnly = new Set([1290, 1792, 1836])
/** ER_LOCK_NOWAIT; MariaDB answers NOWAIT with ER_LOCK_WAIT_TIMEOUT. */
const lockedRow = new Set([3572, 1205])

export class Ledger {
	readonly #ledger: CommitLedger
	readonly #table: string
	readonly #now: () => number
	readonly #limit: (connection: Mysql2Connection) => () => void
	readonly #slots = new Slots()
	#tokenCount = 0
	#checked = false
	#swept = false

	/**
	 * `now`: the clock of the process, in milliseconds. `limit`: cuts a connection that does not answer a short question, unless what it
	 * returns is called.
	 */
	constructor(ledger: CommitLedger, now: () => number, limit: (connection: Mysql2Connection) => () => void) {
		this.#limit = limit
		this.#ledger = ledger
		this.#table = ledger.name('mysql')
		this.#now = now
	}

	/**
	 * Once for each pool, before its first transaction: the table is there (or is created), and takes part in transactions. Rejects with
	 * what is wrong with it.
	 */
	async prepare(connection: Mysql2Connection): Promise<void> {
		if (this.#checked) return
		for (;;) {
			try {
				await this.#limited(connection, () => execute(connection, `SELECT slot, token, used_at FROM ${this.#table} LIMIT 0`))
				break
			} catch (error) {
				await this.adapt(connection, error)
			}
		}
		await this.#limited(connection, () => this.#checkEngine(connection))
		this.#checked = true
		if (this.#swept) return
		this.#swept = true
		// No right to delete, a replica, a lost link: what follows tells what matters.
		await this.#sweep(connection).catch(() => undefined)
	}

	/** Whether that was done. */
	get prepared(): boolean {
		return this.#checked
	}

	/** The mark of the connection's next transaction. */
	marking(connection: Mysql2Connection): Marking {
		this.#tokenCount += 1
		const slot = this.#slots.of(connection, ({ lock }) => {
			// Sent ahead and not waited for. Where it is refused, an orphan of this connection is waited for and never killed.
			execute(connection, `SELECT GET_LOCK('${lock}', 0)`).catch(() => undefined)
		})
		const token = `${slot.name}/${this.#tokenCount}`
		slot.marking = true
		return {
			// The row is found by its primary key, so that only this row is locked (MySQL manual, "Locks Set by Different SQL Statements in InnoDB").
			text: `INSERT INTO ${this.#table} (slot, token) VALUES ('${slot.name}', '${token}') ON DUPLICATE KEY UPDATE token = '${token}', used_at = CURRENT_TIMESTAMP(6)`,
			mark: { token, slot, threadId: connection.threadId, atMs: this.#now(), kept: slot.kept },
		}
	}

	/** The server has answered the marking, or what ended the transaction that it was for. */
	answered(marking: Marking | undefined): void {
		if (marking !== undefined) marking.mark.slot.marking = false
	}

	/** The server has confirmed the commit. */
	confirmed(mark: CommitMark | undefined): void {
		if (mark !== undefined) (mark as LedgerMark).slot.kept = true
	}

	/** Mends what can be mended after an error of the marking; rejects with the error, in words, where nothing can. Outside a transaction only. */
	async adapt(connection: Mysql2Connection, error: unknown): Promise<void> {
		if (noSuchTable.has(errnoOf(error) ?? 0)) this.#checked = false
		if (errnoOf(error) !== 1146 || !this.#ledger.create) throw this.explained(error)
		await this.#createTable(connection)
	}

	/** Whether the error says that this transaction cannot write, and so has nothing to leave a token for: a replica, transaction_read_only. */
	isReadOnly(error: unknown): boolean {
		return readOnly.has(errnoOf(error) ?? 0)
	}

	/** The error in words, where it is one of the ledger. */
	explained(error: unknown): unknown {
		const errno = errnoOf(error) ?? 0
		const migration = this.#ledger.migration('mysql')
		if (noSuchTable.has(errno)) return this.#unusable('does not exist', `Pass create: true to commitLedger, or run:\n${migration}`, error)
		if (noRight.has(errno))
			return this.#unusable('cannot be written by this user', 'It needs SELECT, INSERT, UPDATE and DELETE on it.', error)
		if (noLedger.has(errno)) return this.#unusable('is not a commit ledger', `It should be:\n${migration}`, error)
		return error
	}

	async look(connection: Mysql2Connection, given: CommitMark): Promise<CommitVerdict> {
		const mark = given as LedgerMark
		const { slot } = mark
		if (this.#now() - mark.atMs > (ledgerRetentionHours / 2) * 3_600_000)
			return { state: 'unknown', why: `The ledger keeps a token for ${ledgerRetentionHours} hours only.` }
		const [server] = await rowsOf(connection, `SELECT ${readOnlyColumns}, IS_USED_LOCK('${slot.lock}') AS holder`)
		// A replica may not have got that far, and its rows are not locked: wait until it is promoted or replaced.
		if (isReadOnly(server)) return { state: 'running' }
		// The connection that this server knows by our lock and by our id is ours. Ids alone begin again with each restart.
		if (server?.holder !== null && Number(server?.holder) === mark.threadId && (await this.#kill(connection, mark.threadId)))
			return { state: 'running' }
		const found = await this.#fencedToken(connection, slot.name)
		if (found === 'locked') return { state: 'running' }
		if (found === 'missing' && mark.kept)
			return { state: 'unknown', why: 'The row of the ledger is gone: somebody has emptied the table, or this is another database.' }
		// Asking has left a row there.
		slot.kept = true
		this.#slots.resolved(slot)
		return found === mark.token ? { state: 'applied' } : { state: 'not applied' }
	}

	/**
	 * The token in the slot once no transaction holds the row any more. It writes and commits, and for that there are three reasons. In a
	 * cluster of equals (Galera, group replication) only a write meets a transaction that is still open on another server. InnoDB shows
	 * what was committed before it is on disk, and a commit after it makes it durable. And where there is no row, none can come later.
	 */
	async #fencedToken(connection: Mysql2Connection, slot: string): Promise<string> {
		await execute(connection, 'START TRANSACTION READ WRITE')
		try {
			const [row] = await rowsOf(connection, `SELECT token FROM ${this.#table} WHERE slot = '${slot}' FOR UPDATE NOWAIT`)
			await execute(
				connection,
				`INSERT INTO ${this.#table} (slot, token) VALUES ('${slot}', 'fenced') ON DUPLICATE KEY UPDATE used_at = CURRENT_TIMESTAMP(6)`,
			)
			await execute(connection, 'COMMIT')
			return row === undefined ? 'missing' : String(row.token)
		} catch (error) {
			await execute(connection, 'ROLLBACK')
			if (lockedRow.has(errnoOf(error) ?? 0)) return 'locked'
			throw error
		}
	}

	/** False where this user may not, or it was gone: then its row tells. */
	async #kill(connection: Mysql2Connection, threadId: number): Promise<boolean> {
		try {
			await execute(connection, `KILL CONNECTION ${threadId}`)
			return true
		} catch (error) {
			if (errnoOf(error) === undefined) throw error
			return false
		}
	}

	/** The caller has been given no connection yet: a server that has fallen silent must not keep him. */
	async #limited(connection: Mysql2Connection, ask: () => Promise<unknown>): Promise<void> {
		const stop = this.#limit(connection)
		try {
			await ask()
		} finally {
			stop()
		}
	}

	async #createTable(connection: Mysql2Connection): Promise<void> {
		try {
			await execute(connection, this.#ledger.migration('mysql'))
		} catch (error) {
			// A lost connection above all says nothing of the ledger.
			if (!noRight.has(errnoOf(error) ?? 0)) throw error
			throw this.#unusable('does not exist and cannot be created', 'Give the user the right, or run the migration yourself.', error)
		}
	}

	/** What does not roll back proves nothing: its token would stand there after a rollback as well. */
	async #checkEngine(connection: Mysql2Connection): Promise<void> {
		const { schema, table } = this.#ledger
		const [row] = await rowsOf(
			connection,
			`SELECT t.ENGINE AS engine, e.TRANSACTIONS AS transactional FROM information_schema.TABLES t
			LEFT JOIN information_schema.ENGINES e ON e.ENGINE = t.ENGINE
			WHERE t.TABLE_SCHEMA = ${schema === undefined ? 'DATABASE()' : `'${schema}'`} AND t.TABLE_NAME = '${table}'`,
		)
		if (row === undefined || row.transactional === 'YES') return
		throw this.#unusable(
			`takes no part in transactions (its engine is ${String(row.engine ?? 'none, as of a view')})`,
			`Run: ALTER TABLE ${this.#table} ENGINE = InnoDB`,
			undefined,
		)
	}

	/** Rows of processes that are gone: each new pool clears them away, so that no job has to. Rows in use are left out. */
	async #sweep(connection: Mysql2Connection): Promise<void> {
		const old = `used_at < CURRENT_TIMESTAMP - INTERVAL ${ledgerRetentionHours} HOUR`
		// Without locks first: a locking scan would hold every row of the table.
		const rows = await rowsOf(connection, `SELECT slot FROM ${this.#table} WHERE ${old} LIMIT 1000`)
		if (rows.length === 0) return
		const slots = rows.map(({ slot }) => slot)
		await execute(connection, 'START TRANSACTION')
		try {
			const free = await rowsOf(connection, `SELECT slot FROM ${this.#table} WHERE slot IN (?) AND ${old} FOR UPDATE SKIP LOCKED`, [slots])
			for (const { slot } of free) await execute(connection, `DELETE FROM ${this.#table} WHERE slot = ?`, [slot])
		} finally {
			await execute(connection, 'COMMIT')
		}
	}

	#unusable(what: string, advice: string, cause: unknown): HoldfastError {
		return new HoldfastError('HOLDFAST_LEDGER', `The commit ledger ${this.#table} ${what}. Nothing of the transaction was run. ${advice}`, {
			...(cause !== undefined && { cause }),
		})
	}
}

type Rows = ReadonlyArray<Record<string, unknown>>

async function rowsOf(connection: Mysql2Connection, text: string, values?: readonly unknown[]): Promise<Rows> {
	return (await execute(connection, text, values)) as Rows
}
