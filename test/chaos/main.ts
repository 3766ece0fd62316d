/** Does anything get lost or done twice when everything breaks? `npm run chaos`: the run, its progress and the verdict. */
import { commandLine, readArguments, UsageError, usage } from './arguments.ts'
import { type ChaosOptions, crashesOf, networkFaultsOf, runChaos, type Tally } from './run.ts'
import { count, failures, verdictLines } from './verdict.ts'

const say = (line: string) => process.stdout.write(`${line}\n`)

async function chaos(options: ChaosOptions): Promise<number> {
	say(commandLine(options))
	let ticker: NodeJS.Timeout | undefined
	let tally: Tally
	try {
		tally = await runChaos(options, (live) => {
			ticker = setInterval(progressOf(live), 1_000)
		})
	} finally {
		clearInterval(ticker)
	}
	if (process.stdout.isTTY) say('')
	for (const line of verdictLines(tally, options)) say(line)
	const failed = failures(tally, options).length > 0
	if (failed) say(`the same faults again, in the same order:\n  ${commandLine(options)}`)
	return failed ? 1 : 0
}

/** One line a second: rewritten in place on a terminal, plain lines elsewhere. */
function progressOf(tally: Tally): () => void {
	const startedAtMs = performance.now()
	let before = 0
	return () => {
		const { ok, failed, 'in doubt': inDoubt } = tally.told
		const anomalies = [...tally.anomalyCounts.values()].reduce((sum, each) => sum + each, 0)
		const line = [
			`${count((performance.now() - startedAtMs) / 1_000).padStart(5)} s`,
			tally.isolation.padEnd(14),
			`ok ${count(ok)} (+${count(ok - before)})`.padEnd(21),
			`failed ${failed}`,
			`in doubt ${inDoubt}`,
			`crashes ${crashesOf(tally)}`,
			`network faults ${networkFaultsOf(tally)}`,
			`anomalies ${anomalies}`,
		].join('  ')
		before = ok
		process.stdout.write(process.stdout.isTTY ? `\r\u001b[2K${line}` : `${line}\n`)
	}
}

try {
	const options = readArguments(process.argv.slice(2))
	if (options === 'help') process.stdout.write(usage)
	// What hangs would keep the process alive; the servers are gone by now.
	else process.exit(await chaos(options))
} catch (error) {
	if (!(error instanceof UsageError)) throw error
	process.stderr.write(`${error.message}\n\n${usage}`)
	process.exitCode = 2
}
