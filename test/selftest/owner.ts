/** A program that owns a server and then waits to be killed: what `postgres.test.ts` runs as a child. Prints the server's URL. */
import { startPostgres } from '../support/postgres.ts'

const server = await startPostgres()
const [row] = await server.query<{ folder: string }>("select current_setting('data_directory') as folder")
process.stdout.write(`${JSON.stringify({ port: server.port, folder: row?.folder })}\n`)
setInterval(() => {}, 60_000)
