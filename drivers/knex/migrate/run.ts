/** How does a run go from its command to its end? Lock, plan, one migration after the other, and nothing left behind. */
import type { Knex } from 'knex'
import { classify } from '../../../src/index.ts'
import { type LockState, markOf } from './books.ts'
import { MigrationInDoubtError, MigrationsLockedError } from './errors.ts'
import { type Crew, type Job, runMigration } from './one-migration.ts'
import { batchOf, type Candidate, type Plan, planOf } from './plan.ts'
import type { Session } from './session.ts'
import type { MigrationContent, Migrator } from './shape.ts'

/** What knex's own commands resolve with. */
export type BatchResult = [batch: number, names: string[]]
export type ListResult = [completed: { name: string }[], pending: unknown[]]

interface Survey {
	readonly plan: Plan
	readonly batch: number
	readonly source: readonly Candidate[]
	readonly lock: LockState
}

// A server that is full has no second session for us: the run goes on without.
const longestLookoutMs = 1_000

/** What is done and what is not. */
export function list(crew: Crew): Promise<ListResult> {
	return crew.sessions.steadily((session) => ensureTables(crew, session))
}

/** Runs what the command asks for. */
export async function runBatch(crew: Crew): Promise<BatchResult> {
	const first = await survey(crew)
	if (first.plan.migrations.length === 0 && first.lock.by === 'nobody') return [first.batch, []]
	const lookout = crew.lookout.prepare()
	await claim(crew)
	let result: BatchResult
	try {
		// Without it the first try could not see whom it waits for, and readers would be held up by a second one.
		await Promise.race([lookout, crew.sessions.pause(longestLookoutMs)])
		await settleUnfinished(crew)
		// Another runner may have worked until we got the lock.
		result = await runPlan(crew, await survey(crew))
	} catch (error) {
		await releaseAfter(crew, error)
		throw error
	}
	await crew.sessions.steadily(({ books }) => books.release())
	return result
}

async function runPlan(crew: Crew, { plan, batch }: Survey): Promise<BatchResult> {
	const { settings, config, connections } = crew
	const { direction, migrations } = plan
	const names = migrations.map(({ name }) => name)
	const startedAtMs = connections.core.policy.scheduler.clock.now()
	if (names.length === 0) return [batch, []]
	const contents = await Promise.all(migrations.map(({ name, migration }) => contentOf(crew, name, migration)))
	settings.tell({ type: 'start', direction, batch, names })
	const raw = migrations.map(({ migration }) => migration)
	await config.beforeAll?.(connections.pooled, raw)
	for (const [index, { name, migration }] of migrations.entries()) {
		const content = contents[index] as MigrationContent
		const job: Job = { name, migration, content, direction, batch, number: index + 1, total: names.length }
		await runMigration(crew, job)
	}
	await config.afterAll?.(connections.pooled, raw)
	settings.tell({ type: 'end', batch, names, elapsedMs: connections.core.policy.scheduler.clock.now() - startedAtMs })
	return [batch, names]
}

/** Reads knex's tables and the source, and decides what is to be done. */
function survey(crew: Crew): Promise<Survey> {
	const { config, settings } = crew
	return crew.sessions.steadily(async (session) => {
		await ensureTables(crew, session)
		const { migrationSource, loadExtensions } = config
		const migrations = await migrationSource.getMigrations(loadExtensions)
		const source = migrations.map((migration) => ({ migration, name: migrationSource.getMigrationName(migration) }))
		const recorded = await session.books.recorded()
		const plan = planOf(settings, source, recorded)
		return { plan, batch: batchOf(plan, recorded), source, lock: await session.books.lockState() }
	})
}

// Two runners that begin at the same time on an empty database both make the tables: the second finds them there.
const madeMeanwhile = new Set(['42P07', '23505', 'ER_TABLE_EXISTS_ERROR'])

/** knex's own list: makes the tables that are missing, and refuses a folder in which files are missing. */
async function ensureTables({ config }: Crew, { bare }: Session): Promise<ListResult> {
	const { tableName, schemaName, disableMigrationsListValidation, migrationSource, loadExtensions } = config
	// What is said of folders is in the source already; said again, it would make knex forget the source.
	const source = {
		getMigrations: () => migrationSource.getMigrations(loadExtensions),
		getMigrationName: (migration: unknown) => migrationSource.getMigrationName(migration),
	}
	const knex = bare as Knex & { migrate: Migrator }
	const ask = () => knex.migrate.list({ tableName, schemaName, disableMigrationsListValidation, migrationSource: source })
	return ask().catch((error) => {
		if (madeMeanwhile.has(error?.code)) return ask()
		throw error
	})
}

/** Gets the lock of knex for us; waits for a plain knex that has it. */
async function claim(crew: Crew): Promise<void> {
	const { sessions, settings, server } = crew
	for (;;) {
		const lock = await sessions.steadily(async ({ books }) => {
			const before = await books.lockState()
			if (before.by !== 'nobody') return before
			try {
				await books.take()
			} catch (error) {
				// knex takes it inside of its transaction where it can: what we see is still free, and cannot be written.
				if (classify(error).kind === 'lock_timeout') return { by: 'plain knex' } as const
				throw error
			}
			return { ...(await books.lockState()), isNew: true }
		})
		if ('isNew' in lock && lock.by === 'holdfast') break
		if (lock.by === 'unfinished') break
		if (lock.by === 'holdfast') {
			// It is guarded by the lock of a session, and that is ours now: its owner's session has ended.
			settings.tell({ type: 'lock freed', detail: 'the lock of a runner whose session has ended was taken over' })
			break
		}
		const others = async () => {
			const list = await sessions.steadily(({ connection }) => server.sessions(connection)).catch(() => [])
			return new MigrationsLockedError(lockedText(settings.runnerDeadlineMs, list))
		}
		await sessions.waitForRunner('a plain knex holds the lock', others)
	}
	sessions.ready()
}

function lockedText(deadlineMs: number, others: readonly string[]): string {
	const who =
		others.length === 0 ? 'No other session is connected to this database now' : `Connected to this database now: ${others.join('; ')}`
	return `migrate: the lock of knex (is_locked = 1) was set by a plain knex, and not freed in runnerDeadlineMs (${deadlineMs}). Nothing was run. Plain knex leaves no trace of who set it, so it cannot be proven that its owner is dead. ${who}. If no knex migrates this database, free it with "knex migrate:unlock" and run again.`
}

/** A runner has died in the middle of a migration that cannot be rolled back: the user has said what became of it, or is asked. */
async function settleUnfinished(crew: Crew): Promise<void> {
	const { sessions, settings, server } = crew
	const { lock, source, batch } = await survey({ ...crew, settings: { ...settings, command: 'latest', name: undefined, all: false } })
	if (lock.by !== 'unfinished') return
	const found = source.flatMap(({ name }) =>
		(['up', 'down'] as const).filter((direction) => markOf(name, direction) === lock.mark).map((direction) => ({ name, direction })),
	)[0]
	const invalidIndexes = await sessions.steadily(({ connection }) => server.invalidIndexes(connection)).catch(() => [])
	if (found === undefined) {
		throw new MigrationsLockedError(
			'migrate: a run was interrupted in the middle of a migration that cannot be rolled back, and that is not among the migrations here. Run from where it is, or check its effects and free the lock with "knex migrate:unlock".',
		)
	}
	const { name, direction } = found
	const answer = settings.resolved[name]
	if (answer === undefined) {
		const why = 'an earlier run ended in the middle of it'
		throw new MigrationInDoubtError({
			migration: name,
			direction,
			why,
			confirmed: undefined,
			inFlight: undefined,
			invalidIndexes,
			cause: undefined,
		})
	}
	await sessions.steadily(async ({ bare, books }) => {
		await bare.transaction(async () => {
			const isDone = (await books.has(name)) === (direction === 'up')
			if (answer === 'applied' && !isDone) await books.record(name, direction, batch)
			await books.keep()
		})
	})
	settings.tell({ type: 'resolved', name, applied: answer === 'applied' })
}

/** Frees the lock of a run that failed. What is in doubt stays marked, for every runner to see; so does a lock that we cannot get at now: it is known as that of a dead session. */
async function releaseAfter({ sessions }: Crew, error: unknown): Promise<void> {
	const free = async ({ books }: Session) => {
		if ((await books.lockState()).by !== 'unfinished') await books.release()
	}
	await sessions.afterwards(error, free).catch(() => {})
}

async function contentOf({ config, settings }: Crew, name: string, migration: unknown): Promise<MigrationContent> {
	settings.throwIfEnded()
	const content = await config.migrationSource.getMigration(migration)
	if (typeof content.up !== 'function' || typeof content.down !== 'function')
		throw new Error(`Invalid migration: ${name} must have both an up and down function`)
	return content
}
