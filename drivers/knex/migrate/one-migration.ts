/** How is one migration run exactly once? Tried again while nothing of it is in force, looked up when its end is unknown, never guessed. */
import type { Knex } from 'knex'
import { HoldfastError } from '../../../src/driver.ts'
import type { Fault, Phase } from '../../../src/index.ts'
import { markOf } from './books.ts'
import type { Connections } from './connections.ts'
import { type Direction, MigrationInDoubtError } from './errors.ts'
import { LockWaits } from './lock-waits.ts'
import type { Lookout } from './lookout.ts'
import type { Settings } from './options.ts'
import type { Server } from './server.ts'
import type { Session, Sessions } from './session.ts'
import type { MigrationContent, MigratorConfig } from './shape.ts'
import { type Statements, Watch } from './statements.ts'

/** What all migrations of a run share. */
export interface Crew {
	readonly settings: Settings
	readonly config: MigratorConfig
	readonly connections: Connections
	readonly server: Server
	readonly sessions: Sessions
	readonly statements: Statements
	readonly lookout: Lookout
}

/** One migration, and its place in the run. */
export interface Job {
	readonly name: string
	readonly migration: unknown
	readonly content: MigrationContent
	readonly direction: Direction
	readonly batch: number
	readonly number: number
	readonly total: number
}

/** How a try ended that did not succeed. */
interface Failure {
	readonly error: unknown
	readonly fault: Fault
	/** `recording`: all statements of the migration itself were confirmed. */
	readonly phase: Phase | 'recording'
	/** Whether the try has looked into knex's table before it began: then nothing of an earlier try is in doubt any more. */
	readonly looked: boolean
	readonly watch: Watch
}

type Ending = 'done' | 'done before' | Failure

const defaultTries = 10
const firstPauseMs = 25
const longestPauseMs = 2_000

/** Runs the migration and records it. Resolves once both are certain. Rejects with the migration's own error, or says what is in doubt. */
export async function runMigration(crew: Crew, job: Job): Promise<void> {
	const { settings, sessions } = crew
	const { name, number, total, direction } = job
	const { clock } = crew.connections.core.policy.scheduler
	const startedAtMs = clock.now()
	const waits = new LockWaits(name, direction, settings, crew.connections.core, crew.lookout)
	const inTransaction = job.content.config?.transaction ?? !crew.config.disableTransactions
	let isInDoubt = false
	let faults = 0
	for (let tryNumber = 1; ; tryNumber++) {
		settings.throwIfEnded()
		settings.tell({ type: 'running', name, number, total, tryNumber })
		const ending = inTransaction ? await tryInside(crew, job, waits) : await tryOutside(crew, job, waits)
		const isOver = ending === 'done' || ending === 'done before'
		if (isInDoubt && (isOver || ending.looked)) {
			isInDoubt = false
			settings.tell({ type: 'resolved', name, applied: ending === 'done before' })
		}
		if (isOver) break
		sessions.dropIfLost()
		const next = await whatNext(crew, job, ending, inTransaction)
		if (next === 'record') {
			await recordAlone(crew, job)
			break
		}
		isInDoubt ||= next === 'look'
		if (ending.fault.kind === 'lock_timeout') {
			await pauseForLock(crew, job, waits, ending)
			continue
		}
		faults += 1
		if (faults >= (settings.attempts ?? defaultTries)) {
			if (isInDoubt && (await isRecorded(crew, job))) break
			throw await failed(crew, job, ending)
		}
		const waitMs = clock.random() * Math.min(firstPauseMs * 2 ** faults, longestPauseMs)
		settings.tell({ type: 'retry', name, tryNumber, fault: ending.fault, waitMs })
		await sessions.pause(waitMs)
	}
	settings.tell({ type: 'done', name, number, total, elapsedMs: clock.now() - startedAtMs })
}

async function pauseForLock(crew: Crew, job: Job, waits: LockWaits, failure: Failure): Promise<void> {
	try {
		await waits.failed(failure.error, [])
	} catch (error) {
		throw await failed(crew, job, { ...failure, error })
	}
}

/** `again`: nothing of it is in force. `look`: the next try finds out whether it is. `record`: all of it is but the record. Else throws. */
async function whatNext(crew: Crew, job: Job, failure: Failure, inTransaction: boolean): Promise<'again' | 'look' | 'record'> {
	const { fault, phase, watch } = failure
	// A statement that was tried by itself has had its tries.
	if (watch.ended !== undefined) throw await failed(crew, job, { ...failure, error: watch.ended.by })
	if (inTransaction && watch.applied.length === 0) {
		if (phase === 'commit' && fault.outcome === 'unknown') {
			if (fault.retryable || (await isRecorded(crew, job))) return 'look'
			throw await failed(crew, job, failure)
		}
		if (watch.undone) {
			if (fault.retryable) return 'again'
			throw await failed(crew, job, failure)
		}
	}
	if (phase === 'recording' || phase === 'commit') {
		// On MySQL the record comes last, and what was sent after the last DDL has gone with it.
		if (await isRecorded(crew, job)) return 'look'
		if (fault.retryable && watch.unanswered === undefined && watch.unfinished === 0) return 'record'
		throw await inDoubt(crew, job, 'its last statements were rolled back with the record of it, after others had come into force', failure)
	}
	if (watch.undone && fault.retryable) return 'again'
	if (watch.undone) throw await failed(crew, job, failure)
	if (watch.unanswered !== undefined) throw await inDoubt(crew, job, 'the connection was lost while one of its statements ran', failure)
	throw await failed(crew, job, failure)
}

async function isRecorded(crew: Crew, { name, direction }: Job): Promise<boolean> {
	return crew.sessions.steadily(async ({ books }) => (await books.has(name)) === (direction === 'up'))
}

/** In one transaction with its record, on the session that holds the lock. */
async function tryInside(crew: Crew, job: Job, waits: LockWaits): Promise<Ending> {
	const { name, migration, content, direction, batch } = job
	const { config, server, statements } = crew
	// The server may be lost again while the lock is taken anew.
	const session = await crew.sessions.steadily(async (opened) => opened)
	const { connection, books } = session
	const watch = new Watch(server, waits, connection, () => books.begin(markOf(name, direction)))
	let phase: Failure['phase'] = 'statement'
	let looked = false
	let first: { readonly error: unknown } | undefined
	const work = async (trx: Knex.Transaction): Promise<Ending> => {
		try {
			await server.limitLocks(connection, waits.lockTimeoutMs, true)
			if (!(await server.holdsLock(connection))) throw lockLost()
			if ((await books.has(name)) === (direction === 'up')) return 'done before'
			looked = true
			watch.isInside = true
			await config.beforeEach?.(trx, [migration])
			await content[direction](trx)
			await config.afterEach?.(trx, [migration])
			watch.isInside = false
			if (watch.rolledBackBy !== undefined) throw watch.rolledBackBy.error
			if (trx.isCompleted()) throw endedByItself(name)
			phase = 'recording'
			await books.record(name, direction, batch)
			// What came into force has made the note durable that the migration had begun.
			if (!server.rollsBackDdl || watch.announced) await books.keep()
			phase = 'commit'
			return 'done'
		} catch (error) {
			watch.isInside = false
			first = { error }
			throw error
		}
	}
	let running: Promise<Ending> | undefined
	const whole = async (): Promise<Ending> => {
		const transaction = session.work.transaction((trx) => {
			running = work(trx)
			return running
		})
		const [outcome] = await Promise.allSettled([transaction])
		// Where the migration ends its transaction itself, knex is done before the migration is.
		await running?.catch(() => {})
		// knex rejects with the error of its ROLLBACK when the connection dies; what the migration met comes first.
		if (first !== undefined) throw first.error
		if (outcome.status === 'rejected') throw outcome.reason
		return outcome.value
	}
	try {
		return await statements.during(watch, whole)
	} catch (error) {
		const failed = phase as Failure['phase']
		return { error, fault: watch.faultOf(error, failed === 'commit' ? 'commit' : 'statement'), phase: failed, looked, watch }
	}
}

/** Without a transaction, on connections of a pool as knex would give it; noted in the lock before it begins. */
async function tryOutside(crew: Crew, job: Job, waits: LockWaits): Promise<Ending> {
	const { name, migration, content, direction } = job
	const { config, server, statements, sessions } = crew
	const before = await sessions.steadily(async ({ books }) => {
		if ((await books.has(name)) === (direction === 'up')) return 'done before'
		await books.begin(markOf(name, direction))
		return undefined
	})
	if (before !== undefined) return before
	const watch = new Watch(server, waits, undefined, async () => {})
	const knex = crew.connections.pooled
	try {
		await statements.during(watch, async () => {
			await config.beforeEach?.(knex, [migration])
			await content[direction](knex)
			await config.afterEach?.(knex, [migration])
		})
	} catch (error) {
		return { error, fault: watch.faultOf(error, 'statement'), phase: 'statement', looked: true, watch }
	}
	await recordAlone(crew, job)
	return 'done'
}

/** Records what is in force already. In doubt about its own commit it looks, and writes again. */
async function recordAlone(crew: Crew, { name, direction, batch }: Job): Promise<void> {
	await crew.sessions.steadily(async ({ bare, books }: Session) => {
		await bare.transaction(async () => {
			if ((await books.has(name)) !== (direction === 'up')) await books.record(name, direction, batch)
			await books.keep()
		})
	})
}

/** The migration has failed for good: tells what of it stays, and gives back its own error, untouched. */
async function failed(crew: Crew, { name, direction }: Job, { error, watch }: Failure): Promise<unknown> {
	const invalidIndexes = watch.halfDone === undefined ? [] : await invalidIndexesAfter(crew, error)
	crew.settings.tell({ type: 'failed', name, applied: watch.applied, invalidIndexes })
	// Where nothing of it is in force it may simply be run again; else the next run asks.
	const stays = watch.applied.length > 0 || watch.halfDone !== undefined
	await crew.sessions.afterwards(error, ({ books }) => (stays ? books.begin(markOf(name, direction)) : books.keep())).catch(() => {})
	return error
}

async function inDoubt(crew: Crew, { name, direction }: Job, why: string, { error, watch }: Failure): Promise<MigrationInDoubtError> {
	const invalidIndexes = await invalidIndexesAfter(crew, error)
	crew.settings.tell({ type: 'failed', name, applied: watch.applied, invalidIndexes })
	return new MigrationInDoubtError({
		migration: name,
		direction,
		why,
		confirmed: watch.applied,
		inFlight: watch.unanswered,
		invalidIndexes,
		cause: error,
	})
}

function invalidIndexesAfter({ sessions, server }: Crew, error: unknown): Promise<readonly string[]> {
	return sessions.afterwards(error, ({ connection }) => server.invalidIndexes(connection)).catch(() => [])
}

function lockLost(): HoldfastError {
	return new HoldfastError(
		'HOLDFAST_POOLER',
		'migrate: the session that this transaction runs on does not hold the lock that was taken for the run. Something between here and the database, such as a pooler in transaction mode, hands out other sessions. The migration was not run. Connect to the database itself.',
	)
}

function endedByItself(name: string): HoldfastError {
	return new HoldfastError(
		'HOLDFAST_TRANSACTION_CONTROL',
		`Migration ${name} has ended the transaction it was given (commit or rollback), so its record cannot be part of it. What it committed is in force, and it is not recorded. Let it return instead, or give it exports.config = { transaction: false }.`,
	)
}
