/** What was asked for on the command line? Every option is checked before anything is started. */
import { existsSync, statSync } from 'node:fs'
import { dirname, resolve } from 'node:path'
import { parseArgs } from 'node:util'
import { type Driver, type ServerName, serversOf } from './bank.ts'

/** One run of the demo. */
export interface DemoOptions {
	readonly seconds: number
	readonly workers: number
	readonly seed: number
	readonly server: ServerName
	/** The absolute path of the timeline. */
	readonly out: string
}

/** What is wrong with the command line: a message for people, without a stack. */
export class UsageError extends Error {}

export const usage = `npm run demo -- [options]

  --seconds <n>   length of the run, 8 to 600 (default 36)
  --workers <n>   concurrent workers on each side, 1 to 500 (default 50)
  --seed <n>      seed of the transfers and of the pauses between them (default 1)
  --driver <name> the driver to show: pg or mysql2 (default pg)
  --server <name> the server of mysql2: mysql or mariadb (default mysql)
  --out <file>    where the timeline goes (default demo-timeline.svg)
  --help          this text

Exit code: 0 the wrapped side kept every promise, 1 it lost money or raised an error, 2 bad options, 130 Ctrl-C.
`

/** The options, or `'help'`. Throws a UsageError that names the option, the rule and the value. */
export function readArguments(args: readonly string[]): DemoOptions | 'help' {
	const values = parse(args)
	if (values.help) return 'help'
	return {
		seconds: wholeNumber('--seconds', values.seconds, 8, 600),
		workers: wholeNumber('--workers', values.workers, 1, 500),
		seed: wholeNumber('--seed', values.seed, 0, 2 ** 32 - 1),
		server: serverOf(values.driver, values.server),
		out: writable(values.out),
	}
}

function parse(args: readonly string[]) {
	try {
		const { values } = parseArgs({
			args: [...args],
			options: {
				seconds: { type: 'string', default: '36' },
				workers: { type: 'string', default: '50' },
				seed: { type: 'string', default: '1' },
				driver: { type: 'string', default: 'pg' },
				server: { type: 'string' },
				out: { type: 'string', default: 'demo-timeline.svg' },
				help: { type: 'boolean', default: false },
			},
		})
		return values
	} catch (error) {
		throw new UsageError(error instanceof Error ? error.message : String(error))
	}
}

function wholeNumber(name: string, text: string, least: number, most: number): number {
	const value = Number(text)
	if (/^\d+$/.test(text) && value >= least && value <= most) return value
	throw new UsageError(`${name} must be a whole number from ${least} to ${most}, got ${JSON.stringify(text)}`)
}

function serverOf(driver: string, server: string | undefined): ServerName {
	const drivers = Object.keys(serversOf) as Driver[]
	const known = drivers.find((name) => name === driver)
	if (known === undefined) throw new UsageError(`--driver must be one of ${drivers.join(', ')}, got ${JSON.stringify(driver)}`)
	const servers: readonly ServerName[] = serversOf[known]
	const found = server === undefined ? servers[0] : servers.find((name) => name === server)
	if (found !== undefined) return found
	throw new UsageError(`--server must be one of ${servers.join(', ')} with --driver ${known}, got ${JSON.stringify(server)}`)
}

// Found out now, not after the run.
function writable(text: string): string {
	const path = resolve(text)
	const isFolder = (place: string) => existsSync(place) && statSync(place).isDirectory()
	if (text !== '' && isFolder(dirname(path)) && !isFolder(path)) return path
	throw new UsageError(`--out must be a file in a folder that exists, got ${JSON.stringify(text)}`)
}
