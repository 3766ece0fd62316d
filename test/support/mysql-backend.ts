/** What must a way of running MySQL or MariaDB be able to do? The contract of the local, the Docker and the given one. */

/** Which product. The two speak the same protocol and differ in error numbers, settings and set-up. */
export type Flavour = 'mysql' | 'mariadb'

/** How to reach a database: fits `mysql.createPool(...)` of mysql2. */
export interface MysqlConfig {
	readonly host: string
	readonly port: number
	readonly user: string
	readonly password?: string
	readonly database: string
}

/** Who connects: `root` may do all, and `holdfast` what an application may, so that `read_only` and `max_connections` bind it. */
export interface Accounts {
	readonly admin: MysqlConfig
	readonly user: MysqlConfig
}

/** One MySQL or MariaDB, however it is run. */
export interface MysqlBackend {
	readonly source: 'docker' | 'installed' | 'debian' | 'given'
	readonly flavour: Flavour
	readonly accounts: Accounts
	/** Starts it; the caller finds out when it answers. */
	start(): Promise<void>
	/** Why it will never answer (it has ended again), with the end of its log; undefined while it runs. */
	failure(): string | undefined
	stop(): Promise<void>
	kill(): Promise<void>
	pause(): Promise<void>
	resume(): Promise<void>
	dispose(): Promise<void>
}

/** The database that every server has from the beginning. */
export const firstDatabase = 'holdfast'

/** The account that tests use. */
export const applicationUser = 'holdfast'

const applicationRights = [
	...['SELECT', 'INSERT', 'UPDATE', 'DELETE', 'CREATE', 'DROP', 'REFERENCES', 'INDEX', 'ALTER', 'CREATE TEMPORARY TABLES', 'LOCK TABLES'],
	...['EXECUTE', 'CREATE VIEW', 'SHOW VIEW', 'CREATE ROUTINE', 'ALTER ROUTINE', 'EVENT', 'TRIGGER'],
].join(', ')

/** What a new server is told: the application's account and the first database. One statement a line. */
export function accountStatements(password = ''): string[] {
	return [
		`CREATE DATABASE IF NOT EXISTS ${firstDatabase};`,
		`CREATE USER ${applicationUser}@'%' IDENTIFIED BY '${password}';`,
		`GRANT ${applicationRights} ON *.* TO ${applicationUser}@'%';`,
	]
}
