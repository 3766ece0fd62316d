/** How does PostgreSQL tell who holds which lock, and how is it told not to wait? */
import { createHash } from 'node:crypto'
import { HoldfastError, mayCommitPartly } from '../../../src/driver.ts'
import { type Blocker, stillThere } from './errors.ts'
import { redact } from './redact.ts'
import type { Ask, Holder, Identity, Server, TablePlace } from './server.ts'
import type { Connection } from './shape.ts'

// The first half of the key of our advisory locks: "hold" in ASCII.
const lockClass = 0x68_6f_6c_64

const mostLooks = 10

const number = (value: unknown) => Number(value ?? 0)
const string = (value: unknown) => String(value ?? '')

export class PostgresServer implements Server {
	readonly dialect = 'postgres'
	readonly rollsBackDdl = true
	readonly leastLockTimeoutMs = 1
	readonly knowsBlockers = true
	readonly #ask: Ask
	readonly #place: TablePlace
	readonly #openSecond: () => Promise<Connection>
	readonly #close: (connection: Connection) => void
	#key: number | undefined

	constructor(ask: Ask, place: TablePlace, openSecond: () => Promise<Connection>, close: (connection: Connection) => void) {
		this.#ask = ask
		this.#place = place
		this.#openSecond = openSecond
		this.#close = close
	}

	async prepare(connection: Connection): Promise<Identity> {
		const [row] = await this.#ask(
			connection,
			`SELECT pg_backend_pid() AS pid, coalesce($1, current_schema(), '') AS schema,
				(SELECT backend_start::text FROM pg_stat_activity WHERE pid = pg_backend_pid()) AS started`,
			[this.#place.schemaName],
		)
		const pid = number(row?.pid)
		if (connection.processID !== pid) await this.#refuseTransactionPooler(connection, pid)
		// It keeps the lock while another session runs what cannot be in a transaction. Before PostgreSQL 14 there is no such limit.
		await this.#ask(connection, `SELECT set_config(name, '0', false) FROM pg_settings WHERE name = 'idle_session_timeout'`)
		// The lock is about one table: runners of different tables in one database do not wait for each other.
		const digest = createHash('sha256')
			.update(`${string(row?.schema)}.${this.#place.tableName}`)
			.digest()
		this.#key = digest.readInt32BE(0)
		return { pid, startedAt: string(row?.started) }
	}

	async tryLock(connection: Connection): Promise<boolean> {
		const [row] = await this.#ask(connection, 'SELECT pg_try_advisory_lock($1, $2) AS got', [lockClass, this.#key])
		return row?.got === true
	}

	async holdsLock(connection: Connection): Promise<boolean> {
		const rows = await this.#ask(connection, `SELECT 1 FROM pg_locks WHERE ${this.#isOurs()} AND pid = pg_backend_pid()`)
		return rows.length > 0
	}

	async unlock(connection: Connection): Promise<void> {
		await this.#ask(connection, 'SELECT pg_advisory_unlock($1, $2)', [lockClass, this.#key])
	}

	async holder(connection: Connection): Promise<Holder | undefined> {
		const [row] = await this.#ask(
			connection,
			`SELECT pid, backend_start::text AS started, application_name, usename, client_addr, state,
				date_trunc('second', backend_start)::text AS since FROM pg_locks LEFT JOIN pg_stat_activity USING (pid) WHERE ${this.#isOurs()}`,
		)
		if (row === undefined) return undefined
		const from = row.client_addr === null || row.client_addr === undefined ? '' : ` from ${string(row.client_addr)}`
		const name = string(row.application_name) || string(row.usename)
		const words = `the session with pid ${string(row.pid)}${name && ` (${name})`}${from}, ${string(row.state)}, connected since ${string(row.since)}`
		return { pid: number(row.pid), startedAt: string(row.started), words }
	}

	async endSession(connection: Connection, orphan: Identity): Promise<void> {
		await this.#ask(
			connection,
			'SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid = $1 AND backend_start::text = $2 AND pid <> pg_backend_pid()',
			[orphan.pid, orphan.startedAt],
		)
	}

	async limitLocks(connection: Connection, lockTimeoutMs: number, local: boolean): Promise<void> {
		const value = lockTimeoutMs === 0 ? '0' : `${Math.max(1, Math.ceil(lockTimeoutMs))}ms`
		await this.#ask(connection, `SELECT set_config('lock_timeout', $1, $2)`, [value, local])
	}

	async blockersOf(connection: Connection, waiting: Connection): Promise<readonly Blocker[]> {
		const rows = await this.#ask(
			connection,
			`SELECT DISTINCT ON (b.pid) b.pid, a.state, a.query, coalesce(nullif(a.application_name, ''), a.usename) AS application,
				extract(epoch FROM clock_timestamp() - coalesce(a.xact_start, a.backend_start)) * 1000 AS age
			FROM unnest(pg_blocking_pids($1)) AS b (pid) LEFT JOIN pg_stat_activity a ON a.pid = b.pid ORDER BY b.pid`,
			[waiting.processID],
		)
		return rows
			.map(({ pid, state, query, application, age }) => ({
				pid: number(pid),
				ageMs: number(age),
				state: string(state) || 'unknown',
				query: redact(string(query), 'postgres'),
				application: string(application),
			}))
			.sort((one, other) => other.ageMs - one.ageMs)
	}

	async remaining(connection: Connection, blockers: readonly Blocker[]): Promise<readonly Blocker[]> {
		const rows = await this.#ask(
			connection,
			`SELECT pid, extract(epoch FROM clock_timestamp() - coalesce(xact_start, backend_start)) * 1000 AS age
			FROM pg_stat_activity WHERE pid = ANY ($1::int[]) AND (xact_start IS NOT NULL OR state = 'active')`,
			[blockers.map(({ pid }) => pid)],
		)
		const ages = new Map(rows.map(({ pid, age }) => [number(pid), number(age)]))
		return stillThere(blockers, ages)
	}

	async invalidIndexes(connection: Connection): Promise<readonly string[]> {
		for (let look = 1; ; look++) {
			const rows = await this.#ask(
				connection,
				`SELECT format('%I.%I', n.nspname, c.relname) AS name,
					EXISTS (SELECT 1 FROM pg_locks l WHERE l.relation = i.indexrelid AND l.pid <> pg_backend_pid()) AS busy
				FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid JOIN pg_namespace n ON n.oid = c.relnamespace
				WHERE NOT i.indisvalid AND c.relkind = 'i' ORDER BY 1`,
			)
			// Somebody may be building one now. But the server tells of an error before it has let go of the locks.
			if (look === mostLooks || rows.every(({ busy }) => busy === false))
				return rows.filter(({ busy }) => busy === false).map(({ name }) => string(name))
			await this.#ask(connection, 'SELECT pg_sleep(0.05)')
		}
	}

	commitsImplicitly(): boolean {
		return false
	}

	failsWhole(text: string): boolean {
		return !mayCommitPartly(text, 'postgres')
	}

	mayRepeatInside(): boolean {
		return false
	}

	async sessions(connection: Connection): Promise<readonly string[]> {
		const rows = await this.#ask(
			connection,
			`SELECT pid, coalesce(nullif(application_name, ''), usename) AS application, client_addr, state FROM pg_stat_activity
			WHERE datname = current_database() AND pid <> pg_backend_pid() AND backend_type = 'client backend' ORDER BY backend_start LIMIT 10`,
		)
		return rows.map(
			(row) =>
				`pid ${string(row.pid)} (${string(row.application)}${row.client_addr ? ` from ${string(row.client_addr)}` : ''}, ${string(row.state)})`,
		)
	}

	#isOurs(): string {
		const objid = (this.#key ?? 0) >>> 0
		return `locktype = 'advisory' AND granted AND classid = ${lockClass} AND objid = ${objid} AND objsubid = 2
			AND database = (SELECT oid FROM pg_database WHERE datname = current_database())`
	}

	/**
	 * The pid of the handshake is not that of the backend: there is a pooler in between. In session mode it is harmless. In transaction mode
	 * a second client gets our backend while we are idle, or we get another one once it is taken.
	 */
	async #refuseTransactionPooler(connection: Connection, pid: number): Promise<void> {
		const askPid = async (one: Connection) => number((await this.#ask(one, 'SELECT pg_backend_pid() AS pid'))[0]?.pid)
		const second = await this.#openSecond()
		try {
			await this.#ask(second, 'BEGIN')
			const shared = (await askPid(second)) === pid || (await askPid(connection)) !== pid
			await this.#ask(second, 'ROLLBACK')
			if (!shared) return
		} finally {
			this.#close(second)
		}
		throw new HoldfastError(
			'HOLDFAST_POOLER',
			'migrate: the connection leads through a pooler in transaction mode (such as PgBouncer with pool_mode = transaction), where a lock of the session is lost between two transactions, so two runners could work at once. Nothing was run. Connect to PostgreSQL itself, or to a pool with pool_mode = session.',
		)
	}
}
