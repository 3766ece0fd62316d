/** Do `wait` and `doctor` tell each state of a real PostgreSQL? */
import pg from 'pg'
import { type PostgresServer, startPostgres } from '../support/postgres.ts'
import { type Asker, password, type Subject, tellsEveryState } from './states.ts'

const ofCommandLine =
	"SELECT count(*)::int AS n FROM pg_stat_activity WHERE application_name LIKE 'holdfast wait' OR application_name = 'holdfast doctor'"

/** Writes into the data folder, which the server knows and we need not. */
const writeFile = (server: PostgresServer, name: string, ...lines: string[]) =>
	server.query(`COPY (VALUES ${lines.map((line) => `('${line}')`).join(', ')}) TO PROGRAM 'cat > ${name}'`)

function urlOf(
	server: PostgresServer,
	{ user = 'postgres', password: given, database = 'postgres', port = server.port }: Asker = {},
): string {
	const secret = given === undefined ? '' : `:${encodeURIComponent(given)}`
	return `postgres://${user}${secret}@127.0.0.1:${port}/${database}`
}

async function makeSubject(): Promise<Subject> {
	const server = await startPostgres({ settings: { max_connections: '8', superuser_reserved_connections: '3' } })
	await server.query(`CREATE ROLE asker LOGIN PASSWORD '${password}'`)
	await writeFile(server, 'pg_hba.conf', 'host all asker all scram-sha-256', 'host all all all trust')
	await server.query('SELECT pg_reload_conf()')
	return {
		server,
		protocol: 'postgres',
		url: (asker) => urlOf(server, asker),
		connections: async () => (await server.query<{ n: number }>(ofCommandLine))[0]?.n ?? 0,
		async fill() {
			const clients = Array.from({ length: 5 }, () => new pg.Client({ connectionString: urlOf(server, { user: 'asker', password }) }))
			for (const client of clients) await client.connect()
			return () => Promise.all(clients.map((client) => client.end()))
		},
		async makeReadOnly() {
			// A standby without a primary: it recovers for ever, and takes reads.
			await writeFile(server, 'standby.signal', '')
			await server.restart()
			return () => server.query('SELECT pg_promote()')
		},
		async starting() {
			const another = await startPostgres({ settings: { hot_standby: 'off' } })
			await writeFile(another, 'standby.signal', '')
			await another.stop()
			// It never answers, so nobody waits for that.
			another.start().catch(() => {})
			return { url: urlOf(another), dispose: () => another.dispose() }
		},
	}
}

tellsEveryState('PostgreSQL', makeSubject, { tls: '?sslmode=verify-full' })
