/** What is the short form of `npm run chaos`, for `npm test`? */
import { type ChaosOptions, runChaos, type Tally } from './run.ts'
import { failures, verdictLines } from './verdict.ts'

const short: ChaosOptions = {
	seed: 11,
	minutes: 0,
	crashes: 3,
	faults: 25,
	driver: 'pg',
	server: 'postgres',
	client: 'holdfast',
	commit: 'verify',
	isolations: ['read committed', 'serializable'],
	workers: 12,
	connections: 8,
	replyMs: 3,
	fsync: false,
	roundMs: 4_000,
	attemptTimeoutMs: 1_500,
}

/** Runs it with these changes, and says what was wrong. */
export async function verdictOf(changes: Partial<ChaosOptions>): Promise<{ tally: Tally; failures: string[]; report: string }> {
	const options = { ...short, ...changes }
	const tally = await runChaos(options)
	return { tally, failures: failures(tally, options), report: verdictLines(tally, options).join('\n') }
}
