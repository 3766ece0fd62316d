/** How are knex's migrations run from the command line? The knexfile in, the runner's progress and its result out. */
import { Writable } from 'node:stream'
import type { Knex } from 'knex'
import { redact } from '../../drivers/knex/migrate/redact.ts'
import { DeadlineError, InDoubtError } from '../../src/index.ts'
import { diagnose } from '../diagnosis.ts'
import { endings } from '../exit-codes.ts'
import { interruption } from '../interruption.ts'
import { packageOf } from '../package-of.ts'
import type { Secrets } from '../secrets.ts'
import { states } from '../states.ts'
import type { Terminal } from '../terminal.ts'
import { UsageError } from '../usage-error.ts'
import { type KnexfileOptions, readKnexfile } from './knexfile.ts'

export const migrateCommands = ['latest', 'up', 'down', 'rollback', 'list'] as const

/** What the command line says; the rest is in the knexfile. */
export interface MigrateRun extends KnexfileOptions {
	readonly command: (typeof migrateCommands)[number]
	readonly name: string | undefined
	readonly all: boolean
	readonly directory: string | undefined
	readonly tableName: string | undefined
	readonly deadlineMs: number
	readonly runnerDeadlineMs: number
	readonly lockTimeoutMs: number
	readonly queue: boolean
	readonly applied: readonly string[]
	readonly notApplied: readonly string[]
	readonly quiet: boolean
	readonly stack: boolean
}

/** Resolves with the exit code. Throws a UsageError for what is wrong with the command line or the knexfile. */
export async function runMigrations(run: MigrateRun, terminal: Terminal, secrets: Secrets): Promise<number> {
	const { folder, config } = await readKnexfile(run)
	process.chdir(folder)
	const { default: makeKnex } = await packageOf<{ default: (config: object) => Knex }>('knex')
	const { migrate } = await import('../../drivers/knex/index.ts')
	const knex = instance(makeKnex, { log: logTo(terminal), ...learning(config, secrets) })
	const interrupted = interruption()
	let began = false
	try {
		const options = {
			...{ deadlineMs: run.deadlineMs, runnerDeadlineMs: run.runnerDeadlineMs, lockTimeoutMs: run.lockTimeoutMs },
			...{ name: run.name, all: run.all, signal: interrupted.signal },
			blocked: run.queue ? ('wait' as const) : ('fail' as const),
			config: { ...(run.directory && { directory: run.directory }), ...(run.tableName && { tableName: run.tableName }) },
			resolved: Object.fromEntries([
				...run.applied.map((name) => [name, 'applied'] as const),
				...run.notApplied.map((name) => [name, 'not applied'] as const),
			]),
			progress: run.quiet ? false : through(terminal),
			onProgress: ({ type }: { type: string }) => {
				began ||= type === 'start'
			},
		}
		if (run.command === 'list') for (const line of listed(await migrate(knex, { ...options, command: 'list' }))) terminal.print(line)
		else for (const line of done(run.command, await migrate(knex, { ...options, command: run.command }))) terminal.print(line)
		return endings.ok.code
	} catch (error) {
		// What is in doubt has to be told, whoever ended the run.
		if (!(error instanceof InDoubtError)) interrupted.signal.throwIfAborted()
		return failed(error, began, run.stack, terminal)
	} finally {
		interrupted.stop()
		knex.destroy().catch(() => {})
	}
}

/** knex's own words, which it would write to stdout; the driver that it misses it names in its error, too. */
function logTo(terminal: Terminal) {
	const tell = (message: unknown) => terminal.tell(String(message))
	return {
		warn: tell,
		deprecate: (name: unknown, instead: unknown) => tell(`${name} is deprecated, use ${instead}`),
		debug: tell,
		error() {},
	}
}

function instance(makeKnex: (config: object) => Knex, config: object): Knex {
	try {
		return makeKnex(config)
	} catch (error) {
		// "Knex: run", "$ npm install …", and then what Node.js says of it.
		const [what, how = ''] = (error instanceof Error ? error.message : String(error)).split('\n')
		const code = how.includes('npm install') ? endings.missing.code : endings.usage.code
		throw new UsageError(`knex cannot be made from the knexfile: ${what} ${how}`.trimEnd(), code)
	}
}

/** Takes note of every password that the configuration holds, whatever form the connection has; one that is made later is looked at then. */
function learning(config: Readonly<Record<string, unknown>>, secrets: Secrets): Record<string, unknown> {
	const { connection } = config
	if (typeof connection !== 'function') {
		learnFrom(connection, secrets)
		return { ...config }
	}
	const learned = async (...given: unknown[]) => {
		const made: unknown = await connection(...given)
		learnFrom(made, secrets)
		return made
	}
	return { ...config, connection: learned }
}

function learnFrom(connection: unknown, secrets: Secrets): void {
	if (typeof connection === 'string') secrets.learn(connection)
	if (typeof connection !== 'object' || connection === null) return
	for (const [name, value] of Object.entries(connection)) {
		if (typeof value !== 'string') continue
		if (/pass|pwd|secret|token/i.test(name)) secrets.add(value)
		else if (/connectionString|uri|url/i.test(name)) secrets.learn(value)
		else secrets.show(value)
	}
}

/** A stream for the runner's progress that hides secrets. */
function through(terminal: Terminal): NodeJS.WritableStream {
	const stream = new Writable({
		decodeStrings: false,
		write(chunk, _encoding, written) {
			terminal.pass('err', String(chunk))
			written()
		},
	})
	return Object.assign(stream, { isTTY: terminal.isLive, columns: terminal.columns })
}

function done(command: Exclude<MigrateRun['command'], 'list'>, [batch, names]: readonly [number, readonly string[]]): string[] {
	const isUp = command === 'latest' || command === 'up'
	if (names.length === 0) return [isUp ? 'Nothing to do: every migration is applied.' : 'Nothing to take back.']
	const what = names.length === 1 ? '1 migration' : `${names.length} migrations`
	return [`Batch ${batch}: ${what} ${isUp ? 'applied' : 'taken back'}.`, ...names.map((name) => `  ${name}`)]
}

function listed([completed, pending]: readonly [readonly { name: string }[], readonly unknown[]]): string[] {
	const nameOf = (migration: unknown) => {
		const { file, name } = migration as { file?: unknown; name?: unknown }
		return String(file ?? name ?? migration)
	}
	return [
		`${completed.length} applied`,
		...completed.map(({ name }) => `  ${name}`),
		`${pending.length} pending`,
		...pending.map((migration) => `  ${nameOf(migration)}`),
	]
}

function failed(error: unknown, began: boolean, stack: boolean, terminal: Terminal): number {
	terminal.tell(textOf(error))
	if (stack && error instanceof Error) terminal.tell(withoutMessage(error))
	const { code } = (error ?? {}) as { code?: unknown }
	if (error instanceof InDoubtError) {
		terminal.tell('say what you found with --applied NAME or --not-applied NAME')
		return endings.inDoubt.code
	}
	if (error instanceof DeadlineError) return endings.timeout.code
	if (code === 'HOLDFAST_MIGRATION_BLOCKED' || code === 'HOLDFAST_MIGRATIONS_LOCKED') return endings.locked.code
	// Before the first migration it is the way to the database that fails; afterwards it is a migration.
	const { state } = diagnose(error)
	return !began && (state === 'credentials' || state === 'unknown database' || state === 'tls') ? states[state].code : endings.failed.code
}

// A lost connection has neither severity nor errno, and knex writes the statement in front of it all the same.
const statement =
	/^\s*(?:alter|analyze|begin|call|comment|commit|copy|create|delete|do|drop|execute|explain|grant|insert|lock|merge|refresh|reindex|rename|replace|revoke|rollback|select|set|show|truncate|update|vacuum|values|with)\b/i

/** The error in a line. knex puts the statement in front of the driver's text, with the values in it: those are left out. */
function textOf(error: unknown): string {
	const { message = String(error), code, severity, errno } = (error ?? {}) as Record<string, string | undefined>
	const at = severity !== undefined || typeof errno === 'number' || statement.test(message) ? message.lastIndexOf(' - ') : -1
	const text =
		at < 0 ? message : `${redact(message.slice(0, at), severity === undefined ? 'mysql' : 'postgres')} - ${message.slice(at + 3)}`
	return code === undefined || text.includes(code) || String(code).startsWith('HOLDFAST_') ? text : `${text} (${code})`
}

/** Where it happened, without the message, which is told apart. */
const withoutMessage = ({ stack = '' }: Error): string => `thrown\n${stack.slice(Math.max(0, stack.search(/^\s+at /m)))}`
