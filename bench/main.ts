/** Which bench is run? `npm run bench -- <name> [--save]`; exit code 1 when a limit is broken. */
import { installPeers } from './support/peers.ts'
import { Report } from './support/report.ts'

/** A bench is a file of this folder that exports `run`. */
const questions = {
	restart: 'do 50 workers get through 20 rounds of kill -9 and restart without an error?',
	outage: 'how many connection attempts do 1,000 callers on 3 pools make in an outage of 5 s?',
	recovery: 'how soon after a recovery are 1,000 parked reads answered?',
	overhead: 'what does the wrapper cost when nothing fails?',
	'knex-overhead': 'what does a wrapped knex instance cost against a bare one when nothing fails?',
	'commit-cost': 'what does it cost to be able to resolve a commit in doubt?',
	migrations: 'do 30 migrations get through kill -9, and do readers notice one that waits for a lock?',
	exit: 'does Node exit by itself after pool.end(), also during an outage?',
} as const

type Name = keyof typeof questions

const isName = (name: string): name is Name => Object.hasOwn(questions, name)

const words = process.argv.slice(2)
const save = words.includes('--save')
const names = words.filter((word) => word !== '--save')
const unknown = names.filter((name) => name !== 'all' && !isName(name))

if (names.length === 0 || unknown.length > 0) {
	if (unknown.length > 0) console.error(`Unknown: ${unknown.join(', ')}`)
	console.error('npm run bench -- <name> [--save]\n')
	for (const [name, question] of Object.entries({ ...questions, all: 'all of these, one after the other' })) {
		console.error(`  ${name.padEnd(15)}${question}`)
	}
	process.exitCode = 2
} else {
	await installPeers()
	for (const name of names.includes('all') ? (Object.keys(questions) as Name[]) : names.filter(isName)) {
		const report = new Report(name, questions[name])
		const { run } = (await import(`./${name}.ts`)) as { run(report: Report): Promise<void> }
		await run(report)
		if (!report.end(save)) process.exitCode = 1
	}
}
