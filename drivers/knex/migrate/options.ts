/** What can be set for a migration run, and what may it be? Every option once, with its rule. */
import {
	abortSignal,
	bool,
	checkOptions,
	fn,
	type OptionRules,
	oneOf,
	positiveMs,
	positiveMsOrInfinity,
	show,
	text,
} from '../../../src/driver.ts'
import type { Scheduler } from '../../../src/index.ts'
import type { MigrateEvent } from './events.ts'

/** Options of `migrate(knex, options)`. */
export interface MigrateOptions {
	/**
	 * What to do, by knex's names: all that is pending, the next (or the one called `name`), the last one back (or the one called `name`), the last batch back, or
	 * only tell. Default 'latest'.
	 */
	command?: 'latest' | 'up' | 'down' | 'rollback' | 'list' | undefined
	/** The migration that `up` or `down` is about. Default: the next, or the last one. */
	name?: string | undefined
	/** `rollback` takes back every migration, not only the last batch. Default false. */
	all?: boolean | undefined
	/** Replaces entries of the `migrations` section of knex's configuration: `directory`, `tableName`, `migrationSource` and so on. */
	config?: object | undefined
	/** How long one wait for the database may last: while containers start, or through a restart, in milliseconds. Default 60,000. */
	deadlineMs?: number | undefined
	/** How long to wait for another runner to finish, in milliseconds. Default 600,000. */
	runnerDeadlineMs?: number | undefined
	/** The longest that a statement may wait for a lock in one try, in milliseconds; MySQL counts in whole seconds. Everybody behind it waits as long. Default 500. */
	lockTimeoutMs?: number | undefined
	/** How often one migration is tried. Default: 10 times after deadlocks, conflicts and lost connections, 35 times for a lock, over half an hour. */
	attempts?: number | undefined
	/** When the tries for a lock are used up: fail and name the blockers, or queue for the lock like anybody (`'wait'`). Default 'fail'. */
	blocked?: 'fail' | 'wait' | undefined
	/** What you found out about migrations in doubt, by name: `'applied'` records it as done, `'not applied'` lets it run again. Default: nothing. */
	resolved?: Readonly<Record<string, 'applied' | 'not applied'>> | undefined
	/** Told what goes on. An error that it throws ends the run before the next migration. */
	onProgress?: ((event: MigrateEvent) => void) | undefined
	/** Shows the progress on standard error, or on the stream given: a bar in a terminal, lines elsewhere. Default false. */
	progress?: boolean | NodeJS.WritableStream | undefined
	/** Ends the run before the next migration, and every wait at once. */
	signal?: AbortSignal | undefined
	/** The backoff scheduler. Default: the one of the process. */
	scheduler?: Scheduler | undefined
}

const commands = ['latest', 'up', 'down', 'rollback', 'list'] as const
const isObject = (value: unknown): value is object => typeof value === 'object' && value !== null && !Array.isArray(value)
const answers = ['applied', 'not applied']

const rules: OptionRules<MigrateOptions> = {
	command: oneOf(...commands),
	name: text,
	all: bool,
	config: { rule: "an object with entries of knex's migrations configuration", accepts: isObject },
	deadlineMs: positiveMsOrInfinity,
	runnerDeadlineMs: positiveMsOrInfinity,
	lockTimeoutMs: positiveMs,
	attempts: {
		rule: 'a whole number of at least 1',
		accepts: (value) => Number.isSafeInteger(value) && (value as number) >= 1,
		range: true,
	},
	blocked: oneOf('fail', 'wait'),
	resolved: {
		rule: "an object of migration names with 'applied' or 'not applied'",
		accepts: (value) => isObject(value) && Object.values(value).every((answer) => answers.includes(answer as string)),
	},
	onProgress: fn,
	progress: {
		rule: 'true, false or a writable stream',
		accepts: (value) => typeof value === 'boolean' || (isObject(value) && 'write' in value && typeof value.write === 'function'),
	},
	signal: abortSignal,
	scheduler: {
		rule: 'a scheduler made by createScheduler',
		accepts: (value) => isObject(value) && 'wakeUps' in value && 'endpoint' in value,
	},
}

/** The options with their defaults. */
export interface Settings {
	readonly command: (typeof commands)[number]
	readonly name: string | undefined
	readonly all: boolean
	readonly config: object | undefined
	readonly deadlineMs: number
	readonly runnerDeadlineMs: number
	readonly lockTimeoutMs: number
	readonly attempts: number | undefined
	readonly blocked: 'fail' | 'wait'
	readonly resolved: Readonly<Record<string, 'applied' | 'not applied'>>
	readonly signal: AbortSignal | undefined
	readonly scheduler: Scheduler | undefined
	/** Tells of an event. Never throws: what a listener throws waits for the next `throwIfEnded`. */
	tell(event: MigrateEvent): void
	/** Throws the reason of the signal, or what a listener has thrown: no further migration begins. */
	throwIfEnded(): void
}

/** Checks the options and fills in the defaults; `tell` is what hears of the progress. @throws TypeError, RangeError naming option, rule and value. */
export function settingsOf(options: unknown, showProgress: (event: MigrateEvent) => void): Settings {
	checkOptions<MigrateOptions>('migrate', options, rules)
	const given = options as MigrateOptions
	const command = given.command ?? 'latest'
	if (given.name !== undefined && command !== 'up' && command !== 'down')
		throw new TypeError(`name goes with the commands 'up' and 'down', got ${show(given.name)} with '${command}'`)
	if (given.all === true && command !== 'rollback') throw new TypeError(`all goes with the command 'rollback', got true with '${command}'`)
	let thrown: { readonly error: unknown } | undefined
	return {
		command,
		name: given.name,
		all: given.all ?? false,
		config: given.config,
		deadlineMs: given.deadlineMs ?? 60_000,
		runnerDeadlineMs: given.runnerDeadlineMs ?? 600_000,
		lockTimeoutMs: given.lockTimeoutMs ?? 500,
		attempts: given.attempts,
		blocked: given.blocked ?? 'fail',
		resolved: given.resolved ?? {},
		signal: given.signal,
		scheduler: given.scheduler,
		tell(event) {
			// It may be called by a timer, where an error would end the process.
			try {
				showProgress(event)
				given.onProgress?.(event)
			} catch (error) {
				thrown ??= { error }
			}
		},
		throwIfEnded() {
			given.signal?.throwIfAborted()
			if (thrown !== undefined) throw thrown.error
		},
	}
}
