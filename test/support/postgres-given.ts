/** How is a PostgreSQL reached that HOLDFAST_PG_URL names? */
import pg from 'pg'
import { accountIn, notOurs } from './given.ts'
import type { PostgresBackend } from './postgres-backend.ts'

/** The server at `url`. Throws when the URL is none or the server does not answer. */
export async function givenPostgres(url: string): Promise<PostgresBackend> {
	const connection = accountIn(url, { port: 5432, user: 'postgres', database: 'postgres' })
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
	return { ...notOurs('HOLDFAST_PG_URL', 'startPostgres()'), major, connection }
}
