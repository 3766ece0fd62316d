/** How does a user run migrations? `migrate(knex, options)`: checks what it is given, makes the crew, and clears up after it. */
import type { Knex } from 'knex'
import { show } from '../../../src/driver.ts'
import { Connections } from './connections.ts'
import type { KnexInstance } from './dialect.ts'
import { Lookout } from './lookout.ts'
import { MysqlServer } from './mysql.ts'
import type { Crew } from './one-migration.ts'
import { type MigrateOptions, settingsOf } from './options.ts'
import { PostgresServer } from './postgres.ts'
import { progressOn } from './progress.ts'
import { type BatchResult, type ListResult, list, runBatch } from './run.ts'
import type { Server } from './server.ts'
import { Sessions } from './session.ts'
import type { DialectClient, Migrator, MigratorConfig } from './shape.ts'
import { Statements } from './statements.ts'

/**
 * Runs knex's migrations so that a restart of the database, a conflict, or the death of a runner leaves none of them half done or done twice.
 *
 * Each migration runs in a transaction of its own, together with its record in knex's table; it is run again after serialization failures,
 * deadlocks and lost connections, and a COMMIT without an answer is looked up in that table. It waits for locks only briefly and tries again,
 * so that nobody queues behind it. Takes a plain knex instance or one wrapped by `holdfast(knex)`, for pg or mysql2, and works on
 * connections of its own, which are closed at the end.
 *
 * @returns what knex's own command resolves with: `[batch, names]`, for `list` `[completed, pending]`.
 * @throws the migration's own error, untouched, where a rerun would meet it again; MigrationBlockedError when the lock is not to be had;
 * MigrationInDoubtError when one that cannot be rolled back was interrupted; MigrationsLockedError when another runner does not finish;
 * DeadlineError when the database does not answer; TypeError or RangeError for bad options.
 */
export function migrate(knex: Knex, options: MigrateOptions & { command: 'list' }): Promise<ListResult>
export function migrate(
	knex: Knex,
	options?: MigrateOptions & { command?: Exclude<MigrateOptions['command'], 'list'> },
): Promise<BatchResult>
export function migrate(knex: Knex, options: MigrateOptions): Promise<BatchResult | ListResult>
export async function migrate(knex: Knex, options: MigrateOptions = {}): Promise<BatchResult | ListResult> {
	const instance = checkKnex(knex)
	const settings = settingsOf(options, progressOf(options))
	const statements = new Statements()
	const connections = new Connections(instance, settings, statements)
	const crew = makeCrew(knex as unknown as { migrate: Migrator }, instance, settings, connections, statements)
	try {
		return await (settings.command === 'list' ? list(crew) : runBatch(crew))
	} finally {
		crew.lookout.close()
		await crew.sessions.end()
		await connections.end()
	}
}

function makeCrew(
	knex: { migrate: Migrator },
	instance: KnexInstance,
	settings: Crew['settings'],
	connections: Connections,
	statements: Statements,
): Crew {
	const config = mergedConfig(knex, settings.config)
	const { ask } = connections
	const server: Server =
		instance.client.driverName === 'pg'
			? new PostgresServer(
					ask,
					config,
					() => connections.session(),
					(connection) => connections.close(connection),
				)
			: new MysqlServer(ask, config)
	const sessions = new Sessions(instance, connections, server, settings, config, statements)
	return { settings, config, connections, server, sessions, statements, lookout: new Lookout(connections, () => server) }
}

/** knex's configuration of migrations with what is to be replaced, merged by knex itself: its defaults, its source, its warnings. */
function mergedConfig(knex: { migrate: Migrator }, given: object | undefined): MigratorConfig {
	const { migrate } = knex
	if (given === undefined) return migrate.config
	const Migrator = migrate.constructor as new (knex: object) => Migrator
	const { config, logger } = (knex as unknown as KnexInstance).client
	const parts: Record<string, unknown> = { ...config.migrations, ...given }
	// As knex does it: what is said of folders replaces a source that was configured before.
	const isAboutFolders = ['directory', 'sortDirsSeparately', 'loadExtensions'].some((name) => Reflect.get(given, name) !== undefined)
	if (isAboutFolders) parts.migrationSource = undefined
	return new Migrator({ client: { config: { ...config, migrations: parts }, logger }, userParams: {} }).config
}

function checkKnex(knex: unknown): KnexInstance {
	const { client, isTransaction } = (typeof knex === 'function' ? knex : {}) as Partial<KnexInstance> & { client?: DialectClient }
	if (client?.config === undefined || typeof client.driverName !== 'string')
		throw new TypeError(`migrate: knex must be a knex instance, got ${show(knex)}`)
	if (isTransaction === true)
		throw new TypeError('migrate: knex must be a knex instance, got a transaction, which a migration cannot be run in')
	if (client.driverName !== 'pg' && client.driverName !== 'mysql2')
		throw new TypeError(`migrate: knex must be made for pg or mysql2, got one for ${client.driverName}`)
	return knex as unknown as KnexInstance
}

function progressOf(options: MigrateOptions): (event: Parameters<ReturnType<typeof progressOn>>[0]) => void {
	const { progress } = (options ?? {}) as MigrateOptions
	if (progress === true) return progressOn(process.stderr)
	return typeof progress === 'object' && progress !== null && typeof progress.write === 'function' ? progressOn(progress) : () => {}
}
