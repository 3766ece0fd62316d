/** What does a MySQL or MariaDB in Docker need: which image, which accounts, which options? */
import { randomUUID } from 'node:crypto'
import { containedServer } from './docker-container.ts'
import { accountStatements, applicationUser, type Flavour, firstDatabase, type MysqlBackend } from './mysql-backend.ts'
import { serverFlags } from './mysql-settings.ts'

const images: Readonly<Record<Flavour, { readonly image: string; readonly password: string }>> = {
	mysql: { image: 'mysql:8.4', password: 'MYSQL_ROOT_PASSWORD' },
	mariadb: { image: 'mariadb:11', password: 'MARIADB_ROOT_PASSWORD' },
}

/** A server of that flavour in a container of its own. Throws when the image cannot be had. */
export async function dockerMysql(flavour: Flavour, settings: Readonly<Record<string, string>>): Promise<MysqlBackend> {
	// Docker publishes the port on all addresses of the machine, so this server has passwords.
	const password = randomUUID()
	const { image, password: variable } = images[flavour]
	const server = await containedServer({
		image,
		port: 3306,
		environment: { [variable]: password },
		script: { content: accountStatements(password).join('\n'), target: '/docker-entrypoint-initdb.d/accounts.sql' },
		// The image puts the server's name in front.
		command: serverFlags(flavour, settings),
	})
	const { host, port, start, failure, pause, resume, dispose } = server
	const account = { host, port, password, database: firstDatabase }
	return {
		source: 'docker',
		flavour,
		accounts: { admin: { ...account, user: 'root' }, user: { ...account, user: applicationUser } },
		start,
		failure,
		stop: () => server.end('SIGTERM'),
		kill: () => server.end('SIGKILL'),
		pause,
		resume,
		dispose,
	}
}
