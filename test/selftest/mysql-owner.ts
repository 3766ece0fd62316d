/** A program that owns a MySQL or MariaDB and then waits to be killed: what `mysql.test.ts` runs as a child. Prints the server's port and folder. */
import { type Flavour, startMysql } from '../support/mysql.ts'

const server = await startMysql({ flavour: process.argv[2] as Flavour })
const [row] = await server.query<{ folder: string }>('SELECT @@datadir AS folder')
process.stdout.write(`${JSON.stringify({ port: server.port, folder: row?.folder })}\n`)
setInterval(() => {}, 60_000)
