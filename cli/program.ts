/** Which commands and options are there? The command line as commander reads it; every error in one place. */
import { createRequire } from 'node:module'
import { Command, CommanderError } from 'commander'
import { examineDatabase } from './doctor.ts'
import { readDuration } from './duration.ts'
import { endings } from './exit-codes.ts'
import { explainErrors } from './explain/explain.ts'
import { Interrupted } from './interruption.ts'
import { Secrets } from './secrets.ts'
import { type Streams, Terminal } from './terminal.ts'
import { UsageError } from './usage-error.ts'
import { waitFor } from './wait.ts'

const urlText = 'postgres://, postgresql://, mysql:// or mariadb://; default: DATABASE_URL'

/** Runs one command line to its end and resolves with the exit code. */
export async function run(words: readonly string[], streams: Streams): Promise<number> {
	const secrets = new Secrets()
	const terminal = new Terminal(streams, secrets)
	for (const text of [...words, process.env.DATABASE_URL ?? '']) secrets.learn(text)
	for (const password of [process.env.PGPASSWORD, process.env.MYSQL_PWD]) if (password) secrets.add(password)
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

	await program.parseAsync([...own], { from: 'user' })
	return exitCode
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
