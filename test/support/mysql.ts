/** Where does a MySQL or MariaDB for tests, demo and benches come from, and how is it started, hurt and removed? */
import mysql, { type ConnectionOptions } from 'mysql2/promise'
import { dockerAnswers } from './docker-container.ts'
import type { Flavour, MysqlBackend, MysqlConfig } from './mysql-backend.ts'
import { dockerMysql } from './mysql-docker.ts'
import { givenBy, givenMysql } from './mysql-given.ts'
import { localMysql } from './mysql-local.ts'
import { debianProgram, installedProgram } from './mysql-programs.ts'
import { until } from './until.ts'
import { firstWay, type Way } from './ways.ts'

export type { Flavour, MysqlConfig } from './mysql-backend.ts'

/** One connection as the server lists it. */
export interface MysqlConnection {
	readonly id: number
	readonly db: string | null
	/** Such as `Sleep` or `Query`. */
	readonly command: string
	readonly info: string | null
}

/** One real server. What hurts it rejects with a clear error when it was given by a URL in the environment. */
export interface MysqlServer {
	readonly flavour: Flavour
	readonly host: string
	readonly port: number
	/** Such as "9.7.4" or "10.11.19"; empty until it was started for the first time. */
	readonly version: string
	/** `given` is a server that `HOLDFAST_MYSQL_URL` or `HOLDFAST_MARIADB_URL` names. */
	readonly source: MysqlBackend['source']
	/** For `mysql.createPool(...)`: the account `holdfast`, which has an application's rights (`read_only` and `max_connections` bind it). Database `holdfast` by default. */
	config(database?: string): MysqlConfig
	/** The same with the account `root`, which may do all. */
	adminConfig(database?: string): MysqlConfig
	/** `config(database)` as a connection string. */
	url(database?: string): string
	/** Resolves when it answers a query. Throws with the end of the log when it does not come up. */
	start(): Promise<void>
	/** The orderly shutdown (SIGTERM): sessions are ended. Resolves when it is gone. A stopped server is left as it is. */
	stop(): Promise<void>
	/** kill -9 of the server and all its children; resolves when they are gone. */
	kill(): Promise<void>
	/** Stops it (default `fast`) or kills it, and starts it again on the same port and data. */
	restart(mode?: 'fast' | 'kill'): Promise<void>
	/** Freezes it (SIGSTOP). */
	pause(): Promise<void>
	/** Lets it go on (SIGCONT). */
	resume(): Promise<void>
	/** Ends one session by KILL CONNECTION; resolves when the server does not list it any more. */
	killConnection(id: number): Promise<void>
	/** Runs SQL as root on a connection of its own; the rows of the last statement that has any. */
	query<Row = Record<string, unknown>>(sql: string, database?: string): Promise<Row[]>
	/** The connections that are open, without root's own. */
	connections(): Promise<MysqlConnection[]>
	/** Creates an empty database with a unique name and returns that. */
	createDatabase(prefix?: string): Promise<string>
	/** SET GLOBAL for each entry. New sessions have it at once; a restart forgets it (`settings` of `startMysql` last). */
	applySettings(settings: Readonly<Record<string, string | number>>): Promise<void>
	/** Ends all its processes and removes its files. Safe to call twice. */
	dispose(): Promise<void>
}

/** What kind of server is wanted. */
export interface MysqlOptions {
	/** Default `mysql`. */
	readonly flavour?: Flavour
	/** Options of the server, such as `{ max_connections: '20', innodb_flush_log_at_trx_commit: '1', log_bin: 'binlog' }`. They override ours. */
	readonly settings?: Readonly<Record<string, string>>
	/** As a process of this machine also where Docker is there, so that servers reach one another. Default false. */
	readonly local?: boolean
	/** Laid into the data folder before the first start, by name; for a local server only. */
	readonly files?: Readonly<Record<string, string>>
	/** Default true. */
	readonly autostart?: boolean
}

/** Both products, for `describe.each(flavours)`. */
export const flavours: readonly Flavour[] = ['mysql', 'mariadb']

const startWithinMs = 60_000

/**
 * Gets a MySQL or MariaDB of its own: from Docker if an engine answers (`HOLDFAST_NO_DOCKER=1` turns that off), else what is installed
 * on this machine, else unpacked from Debian's packages. `HOLDFAST_MYSQL_SOURCE` and `HOLDFAST_MARIADB_SOURCE` (`docker`,
 * `installed`, `debian`) allow only that one. Throws an Error that names every way that was tried.
 */
export async function startMysql(options: MysqlOptions = {}): Promise<MysqlServer> {
	const { autostart = true } = options
	const { server } = serverOf(await findBackend(options))
	try {
		if (autostart) await server.start()
	} catch (error) {
		await server.dispose()
		throw error
	}
	return server
}

const shared = new Map<Flavour, Promise<MysqlServer>>()

/** The server that this process shares among tests that hurt nobody: the one that the environment's URL names, else an own one. Dispose of it when done. */
export function sharedMysql(flavour: Flavour = 'mysql'): Promise<MysqlServer> {
	const sharing = shared.get(flavour) ?? share(flavour)
	shared.set(flavour, sharing)
	return sharing
}

async function share(flavour: Flavour): Promise<MysqlServer> {
	const url = process.env[givenBy[flavour]]
	const server = url ? await givenServer(flavour, url) : await startMysql({ flavour })
	const { dispose } = server
	server.dispose = () => {
		shared.delete(flavour)
		return dispose()
	}
	return server
}

async function givenServer(flavour: Flavour, url: string): Promise<MysqlServer> {
	const { server, askVersion } = serverOf(givenMysql(flavour, url))
	await askVersion().catch((cause: unknown) => {
		throw new Error(`${givenBy[flavour]} names a server at ${server.host}:${server.port} that does not answer`, { cause })
	})
	return server
}

async function findBackend({ flavour = 'mysql', settings = {}, local, files }: MysqlOptions): Promise<MysqlBackend> {
	const ways: Way<MysqlBackend>[] = [
		[
			'docker',
			async () => {
				if (local) return 'it has to run on this machine itself'
				return (await dockerAnswers()) ? dockerMysql(flavour, settings) : 'no engine answers, or HOLDFAST_NO_DOCKER is set'
			},
		],
		[
			'installed',
			async () => {
				const found = await installedProgram(flavour)
				return found ? localMysql(found, settings, files) : `no ${flavour} that is new enough was found on this machine`
			},
		],
		['debian', async () => localMysql(await debianProgram(flavour), settings, files)],
	]
	const none = `no ${flavour} to be had. Start Docker, or install ${flavour}, or run on a Debian whose apt reaches its mirror.`
	return firstWay(ways, process.env[`HOLDFAST_${flavour.toUpperCase()}_SOURCE`], none)
}

function serverOf(backend: MysqlBackend): { server: MysqlServer; askVersion(): Promise<string> } {
	const { admin, user } = backend.accounts
	const named = (account: MysqlConfig, database = account.database) => ({ ...account, database })
	let version = ''

	async function query<Row>(sql: string, database?: string): Promise<Row[]> {
		const options: ConnectionOptions = { ...named(admin, database), multipleStatements: true, connectTimeout: 5_000 }
		const connection = await mysql.createConnection(options)
		// A server that dies under this query rejects it; the event after that has nobody to tell.
		connection.on('error', () => {})
		try {
			const [result] = await connection.query(sql)
			return lastRows(result) as Row[]
		} finally {
			await connection.end().catch(() => connection.destroy())
		}
	}

	async function askVersion(): Promise<string> {
		const [row] = await query<{ version: string }>('SELECT VERSION() AS version')
		version = /^[\d.]+/.exec(row?.version ?? '')?.[0] ?? ''
		return version
	}

	async function start(): Promise<void> {
		await backend.start()
		const end = await until(
			async () => {
				const failure = backend.failure()
				return failure === undefined ? { version: await askVersion() } : { failure }
			},
			{ what: `${backend.flavour} to answer`, timeoutMs: startWithinMs, everyMs: 10 },
		)
		if (end.failure !== undefined) throw new Error(end.failure)
	}

	const connections = () =>
		query<MysqlConnection>(
			`SELECT id AS id, db AS db, command AS command, info AS info FROM information_schema.processlist
			WHERE id <> CONNECTION_ID() AND user = '${user.user}' AND command NOT IN ('Daemon', 'Killed') ORDER BY id`,
		)

	const server: MysqlServer = {
		flavour: backend.flavour,
		host: user.host,
		port: user.port,
		source: backend.source,
		get version() {
			return version
		},
		config: (database) => named(user, database),
		adminConfig: (database) => named(admin, database),
		url(database) {
			const { host, port, user: name, password, database: path } = named(user, database)
			const secret = password === undefined ? '' : `:${encodeURIComponent(password)}`
			return `mysql://${encodeURIComponent(name)}${secret}@${host}:${port}/${encodeURIComponent(path)}`
		},
		start,
		stop: () => backend.stop(),
		kill: () => backend.kill(),
		async restart(mode = 'fast') {
			await (mode === 'kill' ? backend.kill() : backend.stop())
			await start()
		},
		pause: () => backend.pause(),
		resume: () => backend.resume(),
		async killConnection(id) {
			await query(`KILL CONNECTION ${Number(id)}`)
			const listed = `SELECT 1 FROM information_schema.processlist WHERE id = ${Number(id)}`
			await until(async () => (await query(listed)).length === 0, { what: `connection ${id} to be gone` })
		},
		query,
		connections,
		async createDatabase(prefix = 'test') {
			const name = `${prefix}_${crypto.randomUUID().replaceAll('-', '').slice(0, 12)}`
			await query(`CREATE DATABASE \`${name}\``)
			return name
		},
		async applySettings(settings) {
			for (const [name, value] of Object.entries(settings)) {
				await query(`SET GLOBAL ${name} = ${/^-?\d+$/.test(String(value)) ? value : `'${String(value).replaceAll("'", "''")}'`}`)
			}
		},
		dispose: () => backend.dispose(),
	}
	return { server, askVersion }
}

/** mysql2 gives rows for one statement and a list of results for several; what changes data has a header and no rows. */
function lastRows(result: unknown): unknown[] {
	const results = Array.isArray(result) && result.some((one) => Array.isArray(one) || isHeader(one)) ? result : [result]
	const rows = results.findLast((one) => Array.isArray(one))
	return Array.isArray(rows) ? rows : []
}

const isHeader = (one: unknown) => typeof one === 'object' && one !== null && one.constructor.name === 'ResultSetHeader'
