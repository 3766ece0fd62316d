/** How do MySQL and MariaDB tell who holds which lock, and how are they told not to wait? */
import { createHash } from 'node:crypto'
import type { Blocker } from './errors.ts'
import { redact } from './redact.ts'
import type { Ask, Holder, Identity, Server, TablePlace } from './server.ts'
import type { Connection } from './shape.ts'

const number = (value: unknown) => Number(value ?? 0)
const string = (value: unknown) => String(value ?? '')

// Whatever is not known to leave the transaction open counts as ending it (MySQL manual, "Statements That Cause an Implicit Commit").
const leavesTransactionOpen =
	/^[\s(]*(?:select|insert|update|delete|replace|with|values|table|set|show|explain|describe|desc|do|use|savepoint|release|rollback\s+(?:work\s+)?to|commit|rollback|begin|start\s+transaction)\b/i
const setsLastingly = /^\s*set\s(?:\s*(?:password|default)\b|.*\bautocommit\b)/is
// They leave the transaction alone because what they make lasts no longer than the session.
const temporary = /^\s*(?:create|drop)\s+temporary\s+table\b/i

export class MysqlServer implements Server {
	readonly dialect = 'mysql'
	readonly rollsBackDdl = false
	readonly leastLockTimeoutMs = 1_000
	readonly knowsBlockers = false
	readonly #ask: Ask
	readonly #place: TablePlace
	#name: string | undefined
	#rollsBackOnTimeout = true

	constructor(ask: Ask, place: TablePlace) {
		this.#ask = ask
		this.#place = place
	}

	async prepare(connection: Connection): Promise<Identity> {
		const [row] = await this.#ask(connection, 'SELECT CONNECTION_ID() AS pid, COALESCE(?, DATABASE()) AS place', [this.#place.schemaName])
		// The name of a user lock may have 64 characters, and all databases of the server share them.
		const digest = createHash('sha256')
			.update(`${string(row?.place)}.${this.#place.tableName}`)
			.digest('hex')
		this.#name = `holdfast:${digest.slice(0, 40)}`
		const [setting] = await this.#ask(connection, 'SELECT @@innodb_rollback_on_timeout AS whole')
		this.#rollsBackOnTimeout = number(setting?.whole) !== 0
		// It keeps the lock while another connection runs what cannot be in a transaction.
		await this.#ask(connection, 'SET SESSION wait_timeout = 2147483')
		return { pid: number(row?.pid), startedAt: await this.#serverStart(connection) }
	}

	async tryLock(connection: Connection): Promise<boolean> {
		const [row] = await this.#ask(connection, 'SELECT GET_LOCK(?, 0) AS got', [this.#name])
		return number(row?.got) === 1
	}

	async holdsLock(connection: Connection): Promise<boolean> {
		const [row] = await this.#ask(connection, 'SELECT IS_USED_LOCK(?) = CONNECTION_ID() AS ours', [this.#name])
		return number(row?.ours) === 1
	}

	async unlock(connection: Connection): Promise<void> {
		await this.#ask(connection, 'SELECT RELEASE_LOCK(?)', [this.#name])
	}

	async holder(connection: Connection): Promise<Holder | undefined> {
		const [row] = await this.#ask(connection, 'SELECT IS_USED_LOCK(?) AS pid', [this.#name])
		if (row?.pid === null || row === undefined) return undefined
		const [session] = await this.#ask(connection, 'SELECT USER, HOST, COMMAND, TIME FROM information_schema.PROCESSLIST WHERE ID = ?', [
			row.pid,
		])
		const details =
			session && ` (${string(session.USER)} from ${string(session.HOST)}), ${string(session.COMMAND)} for ${string(session.TIME)} s`
		return {
			pid: number(row.pid),
			startedAt: await this.#serverStart(connection),
			words: `the connection ${string(row.pid)}${details ?? ''}`,
		}
	}

	async endSession(connection: Connection, orphan: Identity): Promise<void> {
		// Connection ids begin anew with each start of the server; without one in between they are not used again.
		// The start is worked out from whole seconds.
		if (Math.abs(number(orphan.startedAt) - number(await this.#serverStart(connection))) > 5) return
		await this.#ask(connection, `KILL ${orphan.pid}`)
	}

	async limitLocks(connection: Connection, lockTimeoutMs: number, _local: boolean): Promise<void> {
		// Both count in whole seconds, and MySQL has no shorter wait than one. Their greatest values are as good as none.
		const seconds = lockTimeoutMs === 0 ? undefined : Math.max(1, Math.ceil(lockTimeoutMs / 1_000))
		await this.#ask(
			connection,
			`SET SESSION lock_wait_timeout = ${seconds ?? 31_536_000}, SESSION innodb_lock_wait_timeout = ${seconds ?? 1_073_741_824}`,
		)
	}

	/**
	 * Whom we wait for is told only by a performance schema that is often off; so these are those who could be it: every transaction and
	 * query in the database. A role without PROCESS sees its own user's sessions only, and not whether they are in a transaction.
	 */
	async blockersOf(connection: Connection, waiting: Connection): Promise<readonly Blocker[]> {
		const others = `p.ID <> CONNECTION_ID() AND p.ID <> ? AND COALESCE(p.STATE, '') NOT LIKE 'Waiting for%lock%' AND p.DB = DATABASE()`
		const columns = 'p.ID AS pid, p.USER AS application, p.COMMAND AS command, p.INFO AS query'
		const ids = [waiting.threadId ?? 0]
		const rows = await this.#ask(
			connection,
			`SELECT ${columns}, GREATEST(p.TIME, COALESCE(TIMESTAMPDIFF(SECOND, t.trx_started, NOW()), 0)) AS age, t.trx_id IS NOT NULL AS open
			FROM information_schema.PROCESSLIST p LEFT JOIN information_schema.INNODB_TRX t ON t.trx_mysql_thread_id = p.ID
			WHERE ${others} AND (t.trx_id IS NOT NULL OR p.COMMAND IN ('Query', 'Execute')) ORDER BY age DESC LIMIT 10`,
			ids,
		).catch(() =>
			this.#ask(
				connection,
				`SELECT ${columns}, p.TIME AS age, 0 AS open FROM information_schema.PROCESSLIST p WHERE ${others} ORDER BY age DESC LIMIT 10`,
				ids,
			),
		)
		return rows.map(({ pid, application, command, query, age, open }) => ({
			pid: number(pid),
			ageMs: number(age) * 1_000,
			state: `${string(command).toLowerCase()}${number(open) === 1 ? ' in a transaction' : ''}`,
			query: redact(string(query), 'mysql'),
			application: string(application),
		}))
	}

	/** Nobody can tell. */
	async remaining(): Promise<readonly Blocker[]> {
		return []
	}

	async invalidIndexes(): Promise<readonly string[]> {
		// InnoDB's DDL is atomic for each statement: it leaves no half-made index.
		return []
	}

	commitsImplicitly(text: string): boolean {
		if (temporary.test(text)) return false
		return !leavesTransactionOpen.test(text) || setsLastingly.test(text)
	}

	failsWhole(text: string): boolean {
		return !/^\s*(?:call|load)\b/i.test(text)
	}

	mayRepeatInside(text: string): boolean {
		return this.commitsImplicitly(text) || !this.#rollsBackOnTimeout
	}

	async sessions(connection: Connection): Promise<readonly string[]> {
		const rows = await this.#ask(
			connection,
			`SELECT ID, USER, HOST, COMMAND FROM information_schema.PROCESSLIST WHERE DB = DATABASE() AND ID <> CONNECTION_ID() ORDER BY ID LIMIT 10`,
		)
		return rows.map((row) => `connection ${string(row.ID)} (${string(row.USER)} from ${string(row.HOST)}, ${string(row.COMMAND)})`)
	}

	/** When the server started, in seconds. */
	async #serverStart(connection: Connection): Promise<string> {
		const [row] = await this.#ask(connection, "SHOW GLOBAL STATUS LIKE 'Uptime'")
		const [now] = await this.#ask(connection, 'SELECT UNIX_TIMESTAMP() AS at')
		return string(Math.round(number(now?.at) - number(row?.Value ?? row?.VALUE)))
	}
}
