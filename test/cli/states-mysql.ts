/** How are MySQL and MariaDB brought into each state that the command line tells? */
import mysql from 'mysql2/promise'
import { type Flavour, type MysqlServer, startMysql } from '../support/mysql.ts'
import { type Asker, password, type Subject } from './states.ts'

function urlOf(server: MysqlServer, asker: Asker = {}): string {
	const { port = server.port, user = 'asker', password: given = password, database = 'holdfast' } = asker
	// Both schemes lead to the same driver.
	const scheme = server.flavour === 'mariadb' ? 'mariadb' : 'mysql'
	return `${scheme}://${user}:${encodeURIComponent(given)}@127.0.0.1:${port}/${database}`
}

// The least that MariaDB takes.
const mostConnections = 10

/** A server with the account `asker`, which has an application's rights. */
export async function mysqlSubject(flavour: Flavour): Promise<Subject> {
	const server = await startMysql({ flavour, settings: { max_connections: String(mostConnections) } })
	await server.query(`CREATE USER asker@'%' IDENTIFIED BY '${password}'`)
	await server.query("GRANT SELECT, INSERT, UPDATE, DELETE, CREATE, DROP ON *.* TO asker@'%'")
	return {
		server,
		protocol: 'raw',
		url: (asker) => urlOf(server, asker),
		async connections() {
			const rows = await server.query("SELECT id FROM information_schema.processlist WHERE user = 'asker' OR user = 'unauthenticated user'")
			return rows.length
		},
		async fill() {
			const clients = await Promise.all(Array.from({ length: mostConnections }, () => mysql.createConnection(server.config())))
			return () => Promise.all(clients.map((client) => client.end()))
		},
		async makeReadOnly() {
			await server.applySettings({ read_only: 1 })
			return () => server.applySettings({ read_only: 0 })
		},
	}
}
