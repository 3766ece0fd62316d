/** What can be done with a server that somebody else runs and HOLDFAST_MYSQL_URL or HOLDFAST_MARIADB_URL names? Everything but hurting it. */
import { type Flavour, firstDatabase, type MysqlBackend } from './mysql-backend.ts'

/** The variable that names a running server of that flavour. */
export const givenBy = { mysql: 'HOLDFAST_MYSQL_URL', mariadb: 'HOLDFAST_MARIADB_URL' } as const satisfies Record<Flavour, string>

/** The server at `url`, such as `mysql://root:secret@127.0.0.1:3306/test`. Throws when the URL is none. It was not asked anything yet. */
export function givenMysql(flavour: Flavour, url: string): MysqlBackend {
	const parsed = new URL(url)
	const account = {
		host: parsed.hostname,
		port: Number(parsed.port || 3306),
		user: decodeURIComponent(parsed.username || 'root'),
		database: decodeURIComponent(parsed.pathname.slice(1) || firstDatabase),
		...(parsed.password ? { password: decodeURIComponent(parsed.password) } : {}),
	}
	const notOurs = (what: string) => async () => {
		throw new Error(`cannot ${what} the server that ${givenBy[flavour]} names: it is not ours; use startMysql() for that`)
	}
	return {
		source: 'given',
		flavour,
		accounts: { admin: account, user: account },
		start: notOurs('start'),
		failure: () => undefined,
		stop: notOurs('stop'),
		kill: notOurs('kill'),
		pause: notOurs('pause'),
		resume: notOurs('resume'),
		dispose: async () => {},
	}
}
