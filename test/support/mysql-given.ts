/** How is a MySQL or MariaDB reached that HOLDFAST_MYSQL_URL or HOLDFAST_MARIADB_URL names? */
import { accountIn, notOurs } from './given.ts'
import { type Flavour, firstDatabase, type MysqlBackend } from './mysql-backend.ts'

/** The variable that names a running server of that flavour. */
export const givenBy = { mysql: 'HOLDFAST_MYSQL_URL', mariadb: 'HOLDFAST_MARIADB_URL' } as const satisfies Record<Flavour, string>

/** The server at `url`. Throws when the URL is none. It was not asked anything yet. */
export function givenMysql(flavour: Flavour, url: string): MysqlBackend {
	const account = accountIn(url, { port: 3306, user: 'root', database: firstDatabase })
	return { ...notOurs(givenBy[flavour], 'startMysql()'), flavour, accounts: { admin: account, user: account } }
}
