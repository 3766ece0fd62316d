/** What becomes of a run of migrations whose server is killed in its middle? One run, one kill, and what the database says afterwards. */
import makeKnex, { type Knex } from 'knex'
import type { PostgresServer } from '../support/postgres.ts'
import { sampleMigrations, sourceOf } from './sample.ts'

/** What the database holds after the run. */
export interface Aftermath {
	/** Errors that the run ended with; empty where one call was enough. */
	readonly errors: readonly unknown[]
	/** Whether the runner (not the server) was still at work when the kill came. */
	readonly hit: boolean
	/** Migrations that were not applied, and that were applied more than once. */
	readonly missing: readonly string[]
	readonly twice: readonly string[]
	/** Migrations that are recorded more or less often than they were applied. */
	readonly misrecorded: readonly string[]
	/** Whether knex's lock was still set. */
	readonly locked: boolean
	/** Advisory locks that are held. */
	readonly advisoryLocks: number
	readonly elapsedMs: number
}

export interface KilledRun {
	readonly count: number
	/** When the server is killed, in milliseconds after the start of the run; Infinity for never. */
	readonly killAfterMs: number
	readonly outside?: boolean
	/** Runs all migrations, by whatever means. */
	run(knex: Knex): Promise<unknown>
}

/** A database of its own on the server; the server is killed and started again at once. */
export async function killedRun(server: PostgresServer, { count, killAfterMs, outside = false, run }: KilledRun): Promise<Aftermath> {
	const database = await server.createDatabase('migrations')
	await server.query('create table applied (name text not null)', database)
	const migrations = sampleMigrations(count, { outside })
	const knex = makeKnex({
		client: 'pg',
		connection: server.config(database),
		migrations: { migrationSource: sourceOf(migrations) },
		log: { warn() {}, error() {}, debug() {}, deprecate() {} },
	})
	const startedAtMs = performance.now()
	let running = true
	const errors: unknown[] = []
	const ended = run(knex)
		.catch((error: unknown) => errors.push(error))
		.finally(() => {
			running = false
		})
	let hit = false
	if (killAfterMs !== Number.POSITIVE_INFINITY) {
		await new Promise((resolve) => setTimeout(resolve, killAfterMs))
		hit = running
		await server.kill()
		await server.start()
	}
	await ended
	const elapsedMs = performance.now() - startedAtMs
	await knex.destroy()
	const after = await aftermath(server, database, [...migrations.keys()])
	return { ...after, errors, hit, elapsedMs }
}

async function aftermath(server: PostgresServer, database: string, names: readonly string[]) {
	const counted = async (table: string) => {
		const rows = await server
			.query<{ name: string; times: string }>(`select name, count(*) as times from ${table} group by name`, database)
			.catch(() => [])
		return new Map(rows.map(({ name, times }) => [name, Number(times)]))
	}
	const applied = await counted('applied')
	const recorded = await counted('knex_migrations')
	const locks = await server.query('select 1 from knex_migrations_lock where is_locked <> 0', database).catch(() => [])
	const advisory = await server.query(
		"select 1 from pg_locks where locktype = 'advisory' and database = (select oid from pg_database where datname = current_database())",
		database,
	)
	return {
		missing: names.filter((name) => !applied.has(name)),
		twice: names.filter((name) => (applied.get(name) ?? 0) > 1),
		misrecorded: names.filter((name) => recorded.get(name) !== applied.get(name)),
		locked: locks.length > 0,
		advisoryLocks: advisory.length,
	}
}
