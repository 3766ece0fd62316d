/** A program that owns a server and then waits to be killed: what `owner.test.ts` runs as a child. Prints the server's port and its data folder. */
import type { Flavour } from '../support/mysql.ts'
import { startMysql } from '../support/mysql.ts'
import { startPostgres } from '../support/postgres.ts'

const product = process.argv[2] as 'postgres' | Flavour
const server = product === 'postgres' ? await startPostgres() : await startMysql({ flavour: product })
const askFolder = product === 'postgres' ? "SELECT current_setting('data_directory') AS folder" : 'SELECT @@datadir AS folder'
const [row] = await server.query<{ folder: string }>(askFolder)
process.stdout.write(`${JSON.stringify({ port: server.port, folder: row?.folder })}\n`)
setInterval(() => {}, 60_000)
