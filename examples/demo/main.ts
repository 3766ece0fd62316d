/** What does Holdfast do for an application whose database dies? Shows it live, side by side with the bare pool, and checks the books. */
import { writeFile } from 'node:fs/promises'
import { setTimeout as sleep } from 'node:timers/promises'
import { play, Stage } from './acts.ts'
import { type DemoOptions, readArguments, UsageError, usage } from './arguments.ts'
import { audit } from './audit.ts'
import { type Bank, openBank, type ServerName } from './bank.ts'
import { endOnSignals } from './interrupt.ts'
import { Screen } from './screen.ts'
import { connectionsPerPool, runWorkers, type Side } from './side.ts'
import { brokenPromises, type Result, summary } from './summary.ts'
import { Tally } from './tally.ts'
import { timeline } from './timeline.ts'

// Longer than any call may wait by default (deadlineMs, 30 s): what has no answer by then has been forgotten.
const lastAnswersWithinMs = 40_000

const names: Readonly<Record<ServerName, string>> = { postgres: 'PostgreSQL', mysql: 'MySQL', mariadb: 'MariaDB' }

type Load = Pick<DemoOptions, 'seconds' | 'workers' | 'seed'>

const screen = new Screen(process.stdout)

async function demo({ seconds, workers, seed, server, out }: DemoOptions): Promise<number> {
	let opening: Promise<Bank> | undefined
	const interrupted = endOnSignals(async () => {
		screen.stop()
		screen.line('interrupted: removing the server and its files')
		await (await opening)?.server.dispose()
	})
	try {
		screen.line(`starting a real ${names[server]} (the first time installs it) ...`)
		opening = openBank(server)
		const bank = await opening
		const { sides, stage } = await perform(bank, { seconds, workers, seed })
		const endMs = stage.now()
		const results = await Promise.all(
			sides.map(async (side): Promise<Result> => ({ side, audit: await audit(bank, side), hanging: side.tally.pending })),
		)
		screen.line()
		for (const line of summary(results, { outages: stage.outages, endMs })) screen.line(line)
		await writeFile(out, timeline({ sides, acts: stage.played, endMs, setting: describe(bank, { seconds, workers, seed }) }))
		screen.line(`\nThe timeline is in ${out}`)
		return verdict(results)
	} catch (error) {
		// Whatever failed did so because the server was taken away: the handler of the signal ends the process.
		if (interrupted.aborted) return new Promise(() => {})
		throw error
	} finally {
		screen.stop()
		if (!interrupted.aborted)
			await opening?.then(
				(bank) => bank.server.dispose(),
				() => {},
			)
	}
}

/** The run itself: both sides at work while the acts are played; ends when every worker has its last answer. */
async function perform(bank: Bank, { seconds, workers, seed }: Load): Promise<{ sides: Side[]; stage: Stage }> {
	const databases = [await bank.found('wrapped'), await bank.found('bare')] as const
	screen.line(describe(bank, { seconds, workers, seed }))
	const stage = new Stage()
	const sides = [bank.open('wrapped', databases[0], new Tally(stage.now)), bank.open('bare', databases[1], new Tally(stage.now))]
	screen.watch(sides, seconds * 1_000, stage.now)
	const work = Promise.all(sides.map((side) => runWorkers(side, workers, seed, stage)))
	await play(bank, databases, stage, seconds * 1_000, (title) => screen.announce(title))
	stage.over = true
	const patience = new AbortController()
	const allAnswered = await Promise.race([work.then(() => true), sleep(lastAnswersWithinMs, false, { signal: patience.signal })])
	patience.abort()
	screen.stop()
	// A pool with a transfer that never ends never ends itself.
	if (allAnswered) await Promise.all(sides.map((side) => side.end()))
	return { sides, stage }
}

function verdict(results: readonly Result[]): number {
	const wrapped = results.find(({ side }) => side.name === 'wrapped') as Result
	const broken = brokenPromises(wrapped)
	if (broken.length === 0) screen.verdict(true, 'The wrapped side: not one error, not one cent lost.')
	else screen.verdict(false, `The wrapped side FAILED: ${broken.join('; ')}.`)
	const exitCode = broken.length === 0 ? 0 : 1
	// What never got an answer would keep the process alive.
	if (results.some(({ hanging }) => hanging > 0)) process.exit(exitCode)
	return exitCode
}

function describe({ title }: Bank, { seconds, workers, seed }: Load): string {
	return `${title}; on each side ${workers} workers, ${connectionsPerPool} connections; ${seconds} s, seed ${seed}, Node ${process.versions.node}`
}

try {
	const options = readArguments(process.argv.slice(2))
	if (options === 'help') screen.line(usage)
	else process.exitCode = await demo(options)
} catch (error) {
	if (!(error instanceof UsageError)) throw error
	process.stderr.write(`${error.message}\n\n${usage}`)
	process.exitCode = 2
}
