/** What was asked for on the command line? Every option is checked before anything is started. */
import { parseArgs } from 'node:util'
import { type ClientName, type CommitMode, clientNames, commitModes } from './clients.ts'
import { type Driver, drivers, type ServerName, serversOf } from './database.ts'
import { isolations } from './operations.ts'
import { type FaultKind, faultKinds, kindsFor } from './plan.ts'
import type { ChaosOptions } from './run.ts'

/** What is wrong with the command line: a message for people, without a stack. */
export class UsageError extends Error {}

export const usage = `npm run chaos -- [options]

Workers run transactions on a real server while it is killed, stopped and frozen and while its links break; then what they were
told is held against what stands in the database. Exit code: 0 no anomaly, 1 an anomaly, 2 bad options, 130 Ctrl-C.

  --seed <n>          seed of faults and transactions (default: drawn, and printed)
  --minutes <n>       run at least so long (default 1, or 0 with one of the next two)
  --crashes <n>       run until the server has lost its memory so often
  --faults <n>        run until so many network faults have hit
  --driver <name>     ${drivers.join(', ')} (default pg)
  --server <name>     ${drivers.map((driver) => `${serversOf[driver].join(' or ')} for ${driver}`).join(', ')} (default: the first)
  --client <name>     ${clientNames.join(', ')} (default holdfast)
                      holdfast-client: hand-written BEGIN and COMMIT on a client of the wrapped pool; the last two do without Holdfast,
                      bare-xid on pg only
  --commit <mode>     ${commitModes.join(', ')} (default verify; with mysql2 ledger, for it has no verify)
  --isolation <level> ${isolations.map((level) => `"${level}"`).join(', ')} or both, round by round (default both)
  --workers <n>       (default 24)
  --connections <n>   size of the pool (default 16)
  --nemeses <list>    only these kinds of faults, separated by commas (default all that the server knows):
${faultKinds.map((row) => `                        ${row.kind.padEnd(15)}${row.what}${'driver' in row ? ` (${row.driver} only)` : ''}`).join('\n')}
  --reply-ms <n>      how late all replies of the server are (default 3)
  --round-s <n>       seconds between two checks (default 20)
  --attempt-ms <n>    time limit of one attempt, which ends what hangs in a black hole (default 1500)
  --fsync             with durable settings; kill -9 loses nothing without
  --help              this text
`

const defaults = {
	client: 'holdfast',
	driver: 'pg',
	isolation: 'both',
	workers: '24',
	connections: '16',
	'reply-ms': '3',
	'round-s': '20',
	'attempt-ms': '1500',
} as const

/** The options, or `'help'`. Throws a UsageError that names the option, the rule and the value. */
export function readArguments(args: readonly string[]): ChaosOptions | 'help' {
	const values = parse(args)
	if (values.help) return 'help'
	const driver = oneOf('driver', values.driver, drivers)
	const servers: readonly ServerName[] = serversOf[driver]
	const client = oneOf('client', values.client, clientNames)
	if (client === 'bare-xid' && driver !== 'pg') throw new UsageError(`--client bare-xid is for --driver pg, got ${JSON.stringify(driver)}`)
	const isolation = oneOf('isolation', values.isolation, [...isolations, 'both'])
	const only = values.nemeses === undefined ? undefined : nemeses(values.nemeses, driver)
	const counted = values.crashes !== undefined || values.faults !== undefined
	const options: ChaosOptions = {
		seed: number('seed', values.seed ?? String(Math.floor(performance.timeOrigin) % 2 ** 31), 0, 2 ** 31),
		minutes: number('minutes', values.minutes ?? (counted ? '0' : '1'), 0, 24 * 60, 'fraction'),
		crashes: number('crashes', values.crashes ?? '0', 0, 1e6),
		faults: number('faults', values.faults ?? '0', 0, 1e6),
		driver,
		server: values.server === undefined ? servers[0]! : oneOf('server', values.server, servers),
		client,
		commit: commitMode(values.commit, driver),
		isolations: isolation === 'both' ? isolations : [isolation],
		workers: number('workers', values.workers, 1, 500),
		connections: number('connections', values.connections, 1, 80),
		replyMs: number('reply-ms', values['reply-ms'], 0, 1_000),
		roundMs: number('round-s', values['round-s'], 1, 600) * 1_000,
		attemptTimeoutMs: number('attempt-ms', values['attempt-ms'], 1, 60_000),
		fsync: values.fsync,
		...(only !== undefined && { only }),
	}
	if (only) requireReachable(options, only)
	return options
}

/** The command that makes the same run again. */
export function commandLine(options: ChaosOptions): string {
	const words: string[] = []
	const say = (name: string, value: string | number, unless?: string | number) => {
		if (value !== unless) words.push(`--${name} ${String(value).includes(' ') ? `"${value}"` : value}`)
	}
	say('seed', options.seed)
	say('minutes', options.minutes)
	say('crashes', options.crashes, 0)
	say('faults', options.faults, 0)
	say('driver', options.driver)
	say('server', options.server, serversOf[options.driver][0])
	say('client', options.client, defaults.client)
	say('commit', options.commit, isNaive(options.client) ? options.commit : undefined)
	say('isolation', options.isolations.length > 1 ? 'both' : options.isolations[0]!, defaults.isolation)
	say('workers', options.workers, Number(defaults.workers))
	say('connections', options.connections, Number(defaults.connections))
	if (options.only) say('nemeses', [...options.only].join(','))
	say('reply-ms', options.replyMs, Number(defaults['reply-ms']))
	say('round-s', options.roundMs / 1_000, Number(defaults['round-s']))
	say('attempt-ms', options.attemptTimeoutMs, Number(defaults['attempt-ms']))
	if (options.fsync) words.push('--fsync')
	return `npm run chaos -- ${words.join(' ')}`
}

export const isNaive = (client: ClientName): boolean => client === 'p-retry' || client === 'bare-xid'

function parse(args: readonly string[]) {
	const text = { type: 'string' } as const
	const withDefault = <T extends string>(value: T) => ({ type: 'string', default: value }) as const
	try {
		return parseArgs({
			args: [...args],
			options: {
				seed: text,
				minutes: text,
				crashes: text,
				faults: text,
				nemeses: text,
				driver: withDefault(defaults.driver),
				client: withDefault(defaults.client),
				commit: text,
				server: text,
				isolation: withDefault(defaults.isolation),
				workers: withDefault(defaults.workers),
				connections: withDefault(defaults.connections),
				'reply-ms': withDefault(defaults['reply-ms']),
				'round-s': withDefault(defaults['round-s']),
				'attempt-ms': withDefault(defaults['attempt-ms']),
				fsync: { type: 'boolean', default: false },
				help: { type: 'boolean', default: false },
			},
		}).values
	} catch (error) {
		throw new UsageError(error instanceof Error ? error.message : String(error))
	}
}

function number(name: string, text: string, least: number, most: number, kind: 'whole' | 'fraction' = 'whole'): number {
	const value = Number(text)
	if ((kind === 'whole' ? /^\d+$/ : /^\d+(\.\d+)?$/).test(text) && value >= least && value <= most) return value
	throw new UsageError(
		`--${name} must be a ${kind === 'whole' ? 'whole ' : ''}number from ${least} to ${most}, got ${JSON.stringify(text)}`,
	)
}

function oneOf<T extends string>(name: string, text: string, choices: readonly T[]): T {
	const found = choices.find((choice) => choice === text)
	if (found === undefined) throw new UsageError(`--${name} must be one of ${choices.join(', ')}, got ${JSON.stringify(text)}`)
	return found
}

function commitMode(text: string | undefined, driver: Driver): CommitMode {
	const mode = oneOf('commit', text ?? defaultCommit[driver], commitModes)
	if (mode !== 'verify' || driver === 'pg') return mode
	throw new UsageError(`--commit must be ledger or off with --driver ${driver}: its servers keep no record of commits, got "verify"`)
}

const defaultCommit: Readonly<Record<Driver, CommitMode>> = { pg: 'verify', mysql2: 'ledger' }

function nemeses(text: string, driver: Driver): ReadonlySet<FaultKind> {
	const kinds = [...kindsFor(driver)]
	return new Set(text.split(',').map((word) => oneOf('nemeses', word.trim(), kinds)))
}

/** A number of faults that can never be reached would make a run without end. */
function requireReachable({ crashes, faults }: ChaosOptions, only: ReadonlySet<FaultKind>): void {
	const drawn = faultKinds.filter(({ kind }) => only.has(kind))
	if (crashes > 0 && !drawn.some((row) => 'crash' in row)) throw new UsageError('--crashes needs a kind of crash among --nemeses')
	if (faults > 0 && !drawn.some(({ family }) => family === 'network'))
		throw new UsageError('--faults needs a network fault among --nemeses')
}
