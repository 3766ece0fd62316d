/** Which bench is run? `npm run bench -- <name> [--save]`; exit code 1 when a limit is broken. */
import { parseArgs } from 'node:util'
import type { FleetWish } from './fleet.ts'
import type { OverheadWish } from './overhead.ts'
import { installPeers } from './support/peers.ts'
import { Report } from './support/report.ts'
import { type ServerName, serversOf } from './support/subject.ts'

/** A bench is a file of this folder that exports `run`. */
const questions = {
	restart: 'do 50 workers get through 20 rounds of kill -9 and restart without an error?',
	outage: 'how many connection attempts do 1,000 callers on 3 pools make in an outage of 5 s?',
	recovery: 'how soon after a recovery are 1,000 parked reads answered?',
	overhead: 'what does the wrapper cost when nothing fails?',
	'knex-overhead': 'what does a wrapped knex instance cost against a bare one when nothing fails?',
	'commit-cost': 'what does it cost to be able to resolve a commit in doubt?',
	migrations: 'do 30 migrations get through kill -9, and do readers notice one that waits for a lock?',
	failover: 'is anything lost or repeated when the primary is killed and its replica promoted, 20 times each way?',
	contention: 'how much gets done when transactions fight for the same rows?',
	parking: 'what does a caller cost that waits, and does it cost the same among many?',
	amplification: 'how many connection attempts does a call cost while half of all attempts fail?',
	'black-hole': 'is everybody served or told when packets vanish for 30 s, and is a query of 60 s left alone?',
	fleet: 'what does a fleet of up to 10,000 processes do to a server that comes back? (simulated)',
	exit: 'does Node exit by itself after pool.end(), also during an outage?',
	timeline: 'who answers, and who hammers, while the server is killed and started again?',
} as const

type Name = keyof typeof questions

const isName = (name: string): name is Name => Object.hasOwn(questions, name)

/** Those that take `--driver` and `--server`; the others have their own server. */
const onAnyServer: ReadonlySet<Name> = new Set([
	'restart',
	'outage',
	'recovery',
	'overhead',
	'commit-cost',
	'contention',
	'black-hole',
	'exit',
])

const usage = `npm run bench -- <name> [--driver pg|mysql2] [--server mysql|mariadb] [--save]
       npm run bench -- overhead [--only TEXT] [--pairs N]   a quick look: rows with TEXT in their name
       npm run bench -- fleet [--processes N] [--seed S] [--save]

${Object.entries({ ...questions, all: 'all of these, one after the other' })
	.map(([name, question]) => `  ${name.padEnd(15)}${question}`)
	.join('\n')}
`

/** What was asked for; a text says what is wrong with it. */
function asked(): { names: Name[]; server: ServerName; save: boolean; how: FleetWish & OverheadWish } | string {
	const { values, positionals } = parseArgs({
		allowPositionals: true,
		options: {
			driver: { type: 'string', default: 'pg' },
			server: { type: 'string' },
			only: { type: 'string' },
			pairs: { type: 'string' },
			processes: { type: 'string' },
			seed: { type: 'string', default: '1' },
			save: { type: 'boolean', default: false },
		},
	})
	const { driver, save } = values
	const unknown = positionals.filter((name) => name !== 'all' && !isName(name))
	if (positionals.length === 0) return 'Which one?'
	if (unknown.length > 0) return `Unknown: ${unknown.join(', ')}`
	if (driver !== 'pg' && driver !== 'mysql2') return `--driver must be pg or mysql2, got ${JSON.stringify(driver)}`
	const servers: readonly ServerName[] = serversOf[driver]
	const server = servers.find((name) => name === (values.server ?? servers[0]))
	if (server === undefined)
		return `--server must be one of ${servers.join(', ')} with --driver ${driver}, got ${JSON.stringify(values.server)}`
	const possible = (Object.keys(questions) as Name[]).filter((name) => driver === 'pg' || onAnyServer.has(name))
	const names = positionals.includes('all') ? possible : positionals.filter(isName)
	const elsewhere = names.filter((name) => !possible.includes(name))
	if (elsewhere.length > 0) return `--driver is not for ${elsewhere.join(', ')}`
	const count = (given: string | undefined) => (given === undefined ? undefined : Number(given))
	const how = { processes: count(values.processes), seed: Number(values.seed), only: values.only, pairs: count(values.pairs) }
	const { processes = 1, seed, pairs = 1 } = how
	if (!Number.isSafeInteger(pairs) || pairs < 1) return `--pairs must be a whole number of at least 1, got ${values.pairs}`
	if ((values.only ?? values.pairs) !== undefined && (save || names.join() !== 'overhead'))
		return '--only and --pairs are for overhead, and not for its record'
	if (!Number.isSafeInteger(processes) || processes < 1) return `--processes must be a whole number of at least 1, got ${values.processes}`
	if (!Number.isSafeInteger(seed)) return `--seed must be a whole number, got ${values.seed}`
	return { names, server, save, how }
}

const wish = asked()
if (typeof wish === 'string') {
	console.error(`${wish}\n\n${usage}`)
	process.exitCode = 2
} else {
	const { names, server, save, how } = wish
	await installPeers()
	for (const name of names) {
		const report = new Report(name, questions[name], server)
		const { run } = (await import(`./${name}.ts`)) as {
			run(report: Report, server: ServerName, how: FleetWish & OverheadWish): Promise<void>
		}
		await run(report, server, how)
		if (!report.end(save)) process.exitCode = 1
	}
}
