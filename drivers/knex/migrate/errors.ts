/** Which errors does the migration runner raise itself? Each names the migration, what is known of it, and what to do. */
import { HoldfastError, InDoubtError } from '../../../src/index.ts'

/** Up or down. */
export type Direction = 'up' | 'down'

/** A session that keeps a lock from us. */
export interface Blocker {
	/** PostgreSQL's process id or MySQL's connection id; 0 for a prepared transaction, which has no session. */
	readonly pid: number
	/** How long its transaction (or, outside of one, its state) has lasted, in milliseconds. */
	readonly ageMs: number
	/** What it does: `active`, `idle in transaction`, … */
	readonly state: string
	/** Its last statement, with every literal replaced by `?`. */
	readonly query: string
	/** The name that the application gave itself, or its user. */
	readonly application: string
}

/** Those of the blockers whose transaction goes on, with its age now. A younger transaction of the same session is another one. */
export function stillThere(blockers: readonly Blocker[], ages: ReadonlyMap<number, number>): readonly Blocker[] {
	return blockers.flatMap((blocker) => {
		const ageMs = ages.get(blocker.pid) ?? -1
		return ageMs >= blocker.ageMs ? [{ ...blocker, ageMs }] : []
	})
}

/** What a `MigrationBlockedError` knows. */
interface Blocked {
	readonly migration: string
	readonly direction: Direction
	readonly tries: number
	readonly blockers: readonly Blocker[]
	/** Statements that are in force and cannot be rolled back. */
	readonly applied: readonly string[]
	readonly cause: unknown
}

/** The lock that a migration needs is held by others, and the tries are used up. `cause` is the driver's error. */
export class MigrationBlockedError extends HoldfastError {
	readonly migration: string
	readonly direction: Direction
	readonly tries: number
	/** Who held the lock when we last looked; empty where the server does not tell. */
	readonly blockers: readonly Blocker[]

	constructor({ migration, direction, tries, blockers, applied, cause }: Blocked) {
		const by = blockers.length === 0 ? 'The server does not tell by whom.' : `It is blocked by ${blockers.map(describeBlocker).join('; ')}.`
		const left = applied.length === 0 ? 'Nothing of it is in force.' : `In force and not to be rolled back: ${applied.join('; ')}.`
		super(
			'HOLDFAST_MIGRATION_BLOCKED',
			`Migration ${migration} (${direction}) did not get its locks in ${tries === 1 ? '1 try' : `${tries} tries`}. ${left} ${by} Run it again when they are done, or pass blocked: 'wait' to queue for the lock, which makes everybody behind it wait too.`,
			{ cause },
		)
		this.migration = migration
		this.direction = direction
		this.tries = tries
		this.blockers = blockers
	}
}

/** One blocker in words. */
export function describeBlocker({ pid, ageMs, state, query, application }: Blocker): string {
	const who = pid === 0 ? 'a prepared transaction' : `pid ${pid}${application === '' ? '' : ` (${application})`}`
	return `${who}, ${state} for ${Math.round(ageMs / 100) / 10} s${query === '' ? '' : `: ${query}`}`
}

/** Another runner has the lock of knex, or the lock of one whose end cannot be proven. Nothing was run. */
export class MigrationsLockedError extends HoldfastError {
	constructor(message: string, options?: { cause?: unknown }) {
		super('HOLDFAST_MIGRATIONS_LOCKED', message, options)
	}
}

/** What is known of a migration that cannot be rolled back and whose end is not known. */
export interface MigrationDoubt {
	readonly migration: string
	readonly direction: Direction
	/** Why nobody knows. */
	readonly why: string
	/** Statements that the server confirmed, without their parameters; undefined where the process that knew has gone. */
	readonly confirmed: readonly string[] | undefined
	/** The statement that was sent and not answered. */
	readonly inFlight: string | undefined
	/** Indexes of the database that are marked invalid, as a failed CREATE INDEX CONCURRENTLY leaves them. */
	readonly invalidIndexes: readonly string[]
	readonly cause: unknown
}

/**
 * A migration that cannot be rolled back was interrupted: it may have been applied, in part or as a whole, and was not run again.
 * Look for its effect, then say which with the option `resolved`.
 */
export class MigrationInDoubtError extends InDoubtError {
	readonly migration: string
	readonly direction: Direction
	readonly confirmed: readonly string[] | undefined
	readonly inFlight: string | undefined
	readonly invalidIndexes: readonly string[]

	constructor(doubt: MigrationDoubt) {
		super({ cause: doubt.cause, attempts: 1, phase: 'statement' })
		this.migration = doubt.migration
		this.direction = doubt.direction
		this.confirmed = doubt.confirmed
		this.inFlight = doubt.inFlight
		this.invalidIndexes = doubt.invalidIndexes
		this.message = wordsOf(doubt)
	}
}

function wordsOf({ migration, direction, why, confirmed, inFlight, invalidIndexes }: MigrationDoubt): string {
	const lines = [`Migration ${migration} (${direction}) is in doubt: it cannot be rolled back, and ${why}. It was not run again.`]
	if (confirmed !== undefined) {
		lines.push(
			confirmed.length === 0 ? 'The server had confirmed none of its statements.' : `Confirmed by the server: ${confirmed.join('; ')}.`,
		)
	}
	if (inFlight !== undefined) lines.push(`Sent, and not answered: ${inFlight}.`)
	for (const name of invalidIndexes)
		lines.push(`The index ${name} is invalid, as a failed build leaves it: DROP INDEX CONCURRENTLY ${name}.`)
	lines.push(
		`Look whether its effects are in the database. If all of them are, run again with resolved: { '${migration}': 'applied' }; if none is (or after removing what is there), with resolved: { '${migration}': 'not applied' }.`,
	)
	return lines.join(' ')
}
