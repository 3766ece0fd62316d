/** What does a PostgreSQL in Docker need: which image, which accounts, which signals? */
import { randomUUID } from 'node:crypto'
import { containedServer } from './docker-container.ts'
import type { PostgresBackend } from './postgres-backend.ts'

/** A PostgreSQL of that major in a container of its own. Throws when the image cannot be had. */
export async function dockerPostgres(major: number, settings: Readonly<Record<string, string>>): Promise<PostgresBackend> {
	// Docker publishes the port on all addresses of the machine, so this server has a password.
	const password = randomUUID()
	// By name and not by an option on the command line: those cannot be altered later.
	const alterations = Object.entries(settings).map(([name, value]) => `alter system set ${name} = '${value.replaceAll("'", "''")}';\n`)
	const server = await containedServer({
		image: `postgres:${major}-alpine`,
		port: 5432,
		environment: { POSTGRES_PASSWORD: password, POSTGRES_INITDB_ARGS: '--locale=C --encoding=UTF8 --no-sync' },
		script: { content: alterations.join(''), target: '/docker-entrypoint-initdb.d/settings.sql' },
	})
	const { host, port, start, failure, pause, resume, dispose } = server
	return {
		source: 'docker',
		major,
		connection: { host, port, user: 'postgres', password },
		start,
		failure,
		stop: (mode) => server.end(mode === 'fast' ? 'SIGINT' : 'SIGQUIT'),
		kill: () => server.end('SIGKILL'),
		pause,
		resume,
		async killBackend(pid) {
			const { exitCode, output } = await server.exec(['kill', '-9', String(pid)])
			if (exitCode !== 0) throw new Error(`process ${pid} is no backend of this PostgreSQL: ${output.trim()}`)
		},
		dispose,
	}
}
