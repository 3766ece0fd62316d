/** Where do examples find their database? A real one for each, with the table that they talk about, handed over as people would. */
import type { PostgresServer } from '../support/postgres.ts'

// Examples in the documents may count on this and nothing else.
const schema = `
	create table accounts (id integer primary key, balance integer not null);
	insert into accounts values (1, 100), (2, 100);
`

/** A new database and the environment variables that lead to it. */
export async function exampleEnvironment(server: PostgresServer): Promise<NodeJS.ProcessEnv> {
	const database = await server.createDatabase('example')
	await server.query(schema, database)
	const { host, port, user, password } = server.config(database)
	return {
		DATABASE_URL: server.url(database),
		PGHOST: host,
		PGPORT: String(port),
		PGUSER: user,
		PGDATABASE: database,
		...(password !== undefined && { PGPASSWORD: password }),
	}
}
