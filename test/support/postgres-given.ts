/** What can be done with a server that somebody else runs and `HOLDFAST_PG_URL` names? Everything but hurting it. */
import pg from 'pg'
import type { PostgresBackend } from './postgres-backend.ts'

/** The server at `url`. Throws when the URL is none or the server does not answer. */
export async function givenPostgres(url: string): Promise<PostgresBackend> {
	const parsed = URL.parse?.(url) ?? new URL(url)
	const connection = {
		host: parsed.hostname,
		port: Number(parsed.port || 5432),
		user: decodeURIComponent(parsed.username || 'postgres'),
		database: decodeURIComponent(parsed.pathname.slice(1) || 'postgres'),
		...(parsed.password ? { password: decodeURIComponent(parsed.password) } : {}),
	}
	const client = new pg.Client({ ...connection, connectionTimeoutMillis: 10_000 })
	let major: number
	try {
		await client.connect()
		const { rows } = await client.query<{ server_version_num: string }>('show server_version_num')
		major = Math.floor(Number(rows[0]?.server_version_num) / 10_000)
	} catch (error) {
		throw new Error(`HOLDFAST_PG_URL names a server at ${connection.host}:${connection.port} that does not answer`, { cause: error })
	} finally {
		await client.end().catch(() => {})
	}
	const notOurs = (what: string) => async () => {
		throw new Error(`cannot ${what} the server that HOLDFAST_PG_URL names: it is not ours; use startPostgres() for that`)
	}
	return {
		source: 'given',
		major,
		connection,
		start: notOurs('start'),
		failure: () => undefined,
		stop: notOurs('stop'),
		kill: notOurs('kill'),
		pause: notOurs('pause'),
		resume: notOurs('resume'),
		killBackend: notOurs('kill a backend of'),
		dispose: async () => {},
	}
}
