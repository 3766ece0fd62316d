/** Which commands and options are there? The command line as commander reads it; every error in one place. */
import { createRequire } from 'node:module'
import { Argument, Command, CommanderError } from 'commander'
import { examineDatabase } from './doctor.ts'
import { readDuration } from './duration.ts'
import { endings } from './exit-codes.ts'
import { explainErrors } from './explain/explain.ts'
import { Interrupted } from './interruption.ts'
import { type MigrateRun, migrateCommands, runMigrations } from './migrate/migrate.ts'
import { type Secrets, secretsOf } from './secrets.ts'
import { type Streams, Terminal } from './terminal.ts'
import { UsageError } from './usage-error.ts'
import { waitFor } from './wait.ts'

const urlText = 'postgres://, postgresql://, mysql:// or mariadb://; default: DATABASE_URL'

/** Runs one command line to its end and resolves with the exit code. */
export async function run(words: readonly string[], streams: Streams, secrets = secretsOf(words, process.env)): Promise<number> {
	const terminal = new Terminal(streams, secrets)
	try {
		return await parse(words, terminal, secrets)
	} catch (error) {
		return ending(error, terminal)
	}
}

function ending(error: unknown, terminal: Terminal): number {
	if (error instanceof CommanderError) return error.exitCode === 0 ? endings.ok.code : endings.usage.code
	if (error instanceof Interrupted) return error.exitCode
	if (error instanceof UsageError) {
		terminal.tell(error.message)
		return error.exitCode
	}
	return bug(error, terminal)
}

/** Tells of an error that nobody expected; resolves with its exit code. */
export function bug(error: unknown, terminal: Terminal): number {
	terminal.tell(`an error inside Holdfast; please report it\n${error instanceof Error ? error.stack : String(error)}`)
	return endings.bug.code
}

/** Builds the program around its terminal, and runs the command. */
async function parse(words: readonly string[], terminal: Terminal, secrets: Secrets): Promise<number> {
	let exitCode: number = endings.ok.code
	// What comes behind -- belongs to the command, however it looks.
	const at = words[0] === 'wait' ? words.indexOf('--') : -1
	const own = at < 0 ? words : words.slice(0, at)
	const command = at < 0 ? [] : words.slice(at + 1)

	const program = standard(quiet(new Command('holdfast'), terminal))
		.description('Waits for databases, explains their errors, and looks after their health.')
		.helpCommand('help [command]', 'print what a command does')
		.addHelpText('after', '\nExit codes are listed in docs/cli.md of the package. Passwords are never shown.')

	add(program, terminal, 'wait')
		.description('Waits until the database answers a query; then runs the command behind --, with its signals and its exit code.')
		.usage('[options] [url] [-- command...]')
		.argument('[url]', urlText)
		.option('-t, --timeout <time>', 'give up after this: 30, 30s, 500ms, 2m; 0 for never', '60s')
		.option('-q, --quiet', 'say nothing but what went wrong')
		.option('-p, --patient', 'also wait while the server refuses the user or the database: for those that are just being made')
		.action(async (url: string | undefined, options: { timeout: string; quiet?: boolean; patient?: boolean }) => {
			const timeoutMs = readDuration('--timeout', options.timeout)
			if (at >= 0 && command.length === 0) throw new UsageError('no command behind --')
			const { quiet: isQuiet = false, patient = false } = options
			exitCode = await waitFor({ url, command, timeoutMs, quiet: isQuiet, patient }, terminal, secrets)
		})

	add(program, terminal, 'doctor')
		.description('Tells how the database is: down, starting, full, read-only, out of reach; and what would hurt on a bad day.')
		.argument('[url]', urlText)
		.option('-t, --timeout <time>', 'how long to wait for each answer', '5s')
		.option('--json', 'print one JSON object')
		.option('--strict', 'exit code 4 where there are warnings')
		.action(async (url: string | undefined, options: { timeout: string; json?: boolean; strict?: boolean }) => {
			const timeoutMs = readDuration('--timeout', options.timeout)
			if (timeoutMs === Number.POSITIVE_INFINITY) throw new UsageError('--timeout must be more than 0 here')
			const { json = false, strict = false } = options
			exitCode = await examineDatabase({ url, timeoutMs, json, strict }, terminal, secrets)
		})

	add(program, terminal, 'explain')
		.description('Says what an error means, whether it is retried, when and why, and where that is known from.')
		.argument('<error...>', 'a SQLSTATE or a class of them, a number or name of MySQL, a name of Node.js, a condition, or a message')
		.option('--json', 'print JSON')
		.action((texts: string[], options: { json?: boolean }) => {
			exitCode = explainErrors(texts, options.json ?? false, terminal)
		})

	add(program, terminal, 'migrate')
		.description("Runs knex's migrations through restarts and conflicts, without blocking the application, and never twice.")
		.usage('[options] [latest|up|down|rollback|list] [name]')
		.addArgument(new Argument('[command]', 'what to do, by the names of knex').choices(migrateCommands).default('latest'))
		.argument('[name]', 'the migration that up or down is about; default: the next, or the last one')
		.option('--knexfile <path>', 'default: knexfile.js, .mjs, .cjs, .ts, .mts or .cts, here or above')
		.option('--cwd <path>', 'the folder that paths start from')
		.option('--env <name>', 'the environment in the knexfile; default: NODE_ENV, else development')
		.option('--all', 'rollback takes back every migration, not only the last batch')
		.option('--migrations-directory <path>', 'instead of that of the knexfile')
		.option('--migrations-table-name <name>', 'instead of that of the knexfile')
		.option('-t, --timeout <time>', 'how long one wait for the database may last; 0 for ever', '60s')
		.option('--runner-timeout <time>', 'how long to wait for another runner; 0 for ever', '10m')
		.option('--lock-timeout <time>', 'the longest that a statement waits for a lock in one try', '500ms')
		.option('--queue', 'when all tries for a lock failed, queue for it like anybody: everybody behind it waits too')
		.option('--applied <name...>', 'migrations in doubt that were found to be applied')
		.option('--not-applied <name...>', 'migrations in doubt that were found not to be applied')
		.option('-q, --quiet', 'show no progress')
		.option('--stack', 'print the stack of an error')
		.action(async (command: MigrateRun['command'], name: string | undefined, options: MigrateWords) => {
			exitCode = await runMigrations(migrateRun(command, name, options), terminal, secrets)
		})

	await program.parseAsync([...own], { from: 'user' })
	return exitCode
}

interface MigrateWords {
	readonly knexfile?: string
	readonly cwd?: string
	readonly env?: string
	readonly all?: boolean
	readonly migrationsDirectory?: string
	readonly migrationsTableName?: string
	readonly timeout: string
	readonly runnerTimeout: string
	readonly lockTimeout: string
	readonly queue?: boolean
	readonly applied?: string[]
	readonly notApplied?: string[]
	readonly quiet?: boolean
	readonly stack?: boolean
}

function migrateRun(command: MigrateRun['command'], name: string | undefined, words: MigrateWords): MigrateRun {
	if (name !== undefined && command !== 'up' && command !== 'down')
		throw new UsageError(`a name goes with up and down, not with ${command}`)
	if (words.all === true && command !== 'rollback') throw new UsageError(`--all goes with rollback, not with ${command}`)
	const lockTimeoutMs = readDuration('--lock-timeout', words.lockTimeout)
	if (lockTimeoutMs === Number.POSITIVE_INFINITY) throw new UsageError('--lock-timeout must be more than 0')
	return {
		command,
		name,
		knexfile: words.knexfile,
		cwd: words.cwd,
		env: words.env,
		all: words.all ?? false,
		directory: words.migrationsDirectory,
		tableName: words.migrationsTableName,
		deadlineMs: readDuration('--timeout', words.timeout),
		runnerDeadlineMs: readDuration('--runner-timeout', words.runnerTimeout),
		lockTimeoutMs,
		queue: words.queue ?? false,
		applied: words.applied ?? [],
		notApplied: words.notApplied ?? [],
		quiet: words.quiet ?? false,
		stack: words.stack ?? false,
	}
}

function add(program: Command, terminal: Terminal, name: string): Command {
	return standard(quiet(program.command(name), terminal))
}

/** What every command answers to. */
function standard(command: Command): Command {
	const { version } = createRequire(import.meta.url)('holdfast/package.json') as { version: string }
	return command.version(version, '-V, --version', 'print the version').helpOption('-h, --help', 'print this text')
}

/** Nothing reaches a stream past the terminal, and commander never ends the process. */
function quiet(command: Command, terminal: Terminal): Command {
	return command
		.exitOverride()
		.allowExcessArguments(false)
		.showSuggestionAfterError(true)
		.configureOutput({
			writeOut: (text) => terminal.pass('out', text),
			writeErr: (text) => terminal.pass('err', text),
			outputError: (text, write) => write(text.replace(/^error: /, 'holdfast: ')),
		})
}
