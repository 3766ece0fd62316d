/** What does a test of migrations need? A real server behind a proxy, a database and a knex for each test, and the question what is left. */
import { createScheduler } from 'holdfast'
import { type MigrateEvent, type MigrateOptions, migrate } from 'holdfast/knex'
import makeKnex, { type Knex } from 'knex'
import { accidentMark } from '../support/leaks.ts'
import { type Flavour, startMysql } from '../support/mysql.ts'
import { startPostgres } from '../support/postgres.ts'
import { type FaultProxy, startProxy } from '../support/proxy.ts'
import { until } from '../support/until.ts'
import { sourceOf } from './sample.ts'

export type Product = 'postgres' | Flavour

/** The parts that the servers of both products share. */
interface Server {
	readonly host: string
	readonly port: number
	config(database?: string): object
	query<Row = Record<string, unknown>>(sql: string, database?: string): Promise<Row[]>
	createDatabase(prefix?: string): Promise<string>
	start(): Promise<void>
	stop(): Promise<unknown>
	kill(): Promise<void>
	dispose(): Promise<void>
}

/** A migration as tests write it; `down` does nothing where it is not given. */
export interface Written {
	readonly up: (knex: Knex) => unknown
	readonly down?: (knex: Knex) => unknown
	readonly config?: { readonly transaction: boolean }
}

export interface MigrationStage {
	readonly product: Product
	readonly server: Server
	readonly proxy: FaultProxy
	/** The database of this test. */
	readonly database: string
	/** A bare knex that talks to the database through the proxy. */
	knex(migrations: Readonly<Record<string, Written>>, config?: Partial<Knex.Config>, section?: Knex.MigratorConfig): Knex
	/** Runs the runner on a knex, on a scheduler of this test. */
	migrate(knex: Knex, options?: MigrateOptions): Promise<unknown>
	/** What the runner has told since the test began. */
	readonly events: readonly MigrateEvent[]
	/** Asks the database itself, past the proxy. */
	ask<Row = Record<string, unknown>>(sql: string): Promise<Row[]>
	/** Names that are recorded as run, in the order of their records. */
	recorded(): Promise<string[]>
	/** The values of knex's lock. */
	lock(): Promise<number[]>
	/** A new database, for the next test. */
	begin(): Promise<void>
	/** Ends what the test has opened and asserts that nothing is left: no session, no wait, no accident. */
	leaveNothing(): Promise<void>
	close(): Promise<void>
}

const quiet = { warn() {}, error() {}, debug() {}, deprecate() {} }
const sessionsLeft = {
	postgres: (database: string) => `SELECT pid FROM pg_stat_activity WHERE datname = '${database}' AND application_name <> 'holdfast-admin'`,
	mysql: (database: string) => `SELECT ID FROM information_schema.PROCESSLIST WHERE DB = '${database}' AND USER <> 'root'`,
}

export async function migrationStage(product: Product): Promise<MigrationStage> {
	const isPostgres = product === 'postgres'
	const server: Server = isPostgres ? await startPostgres() : await startMysql({ flavour: product })
	const proxy = await startProxy({ target: server, protocol: isPostgres ? 'postgres' : 'mysql' })
	let database = ''
	let instances: Knex[] = []
	let schedulers: ReturnType<typeof createScheduler>[] = []
	let events: MigrateEvent[] = []
	let accidents = accidentMark()
	const ask = <Row>(sql: string) => server.query<Row>(sql, database)
	const staged: MigrationStage = {
		product,
		server,
		proxy,
		get database() {
			return database
		},
		get events() {
			return events
		},
		ask,
		knex(migrations, config = {}, section = {}) {
			const full = Object.entries(migrations).map(([name, migration]) => [name, { down: async () => {}, ...migration }] as const)
			const knex = makeKnex({
				client: isPostgres ? 'pg' : 'mysql2',
				connection: { ...server.config(database), host: proxy.host, port: proxy.port },
				migrations: { migrationSource: sourceOf(new Map(full)), ...section },
				log: quiet,
				...config,
			})
			instances.push(knex)
			return knex
		},
		migrate(knex, options = {}) {
			const scheduler = createScheduler()
			schedulers.push(scheduler)
			const onProgress = (event: MigrateEvent) => {
				events.push(event)
				options.onProgress?.(event)
			}
			return (migrate as (knex: Knex, options: MigrateOptions) => Promise<unknown>)(knex, { scheduler, ...options, onProgress })
		},
		async recorded() {
			return (await ask<{ name: string }>('SELECT name FROM knex_migrations ORDER BY id')).map(({ name }) => name)
		},
		async lock() {
			return (await ask<{ is_locked: number }>('SELECT is_locked FROM knex_migrations_lock')).map(({ is_locked }) => is_locked)
		},
		async begin() {
			database = await server.createDatabase('migrations')
		},
		async leaveNothing() {
			for (const knex of instances) await knex.destroy()
			await until(() => schedulers.every((scheduler) => scheduler.stats().waits === 0), { what: 'no wait to be left on the scheduler' })
			const left = sessionsLeft[isPostgres ? 'postgres' : 'mysql'](database)
			await until(async () => (await ask(left)).length === 0, { what: 'no session to be left on the server' })
			await accidents.assertNone()
			accidents.stop()
			accidents = accidentMark()
			instances = []
			schedulers = []
			events = []
		},
		async close() {
			accidents.stop()
			await proxy.close()
			await server.dispose()
		},
	}
	return staged
}

/** The error that a promise is rejected with. */
export const errorOf = (promise: Promise<unknown>): Promise<Error & { code?: unknown }> =>
	promise.then(
		(value) => {
			throw new Error(`it was fulfilled with ${JSON.stringify(value)}`)
		},
		(error) => error,
	)
