/** What does it cost to be able to resolve a commit in doubt, while no commit is? Verification and the ledger, each beside neither. */
import { commitLedger } from 'holdfast'
import { compare } from './support/paired-runs.ts'
import type { Report } from './support/report.ts'
import { type BenchPool, openSubject, type ServerName, type Subject } from './support/subject.ts'
import { digits } from './support/table.ts'

const poolSize = 8
const pairs = 200
const runMs = 80
const accounts = 10_000

// The limits are lower where nothing hides the cost: no transaction waits for the disk.
const settings = [
	{ name: 'durable (commits wait for the disk)', durable: true, verify: 0.97, ledger: 0.9 },
	{ name: 'not durable', durable: false, verify: 0.93, ledger: 0.87 },
] as const

export async function run(report: Report, on: ServerName): Promise<void> {
	report.say(
		`- Pools of ${poolSize}, ${poolSize} callers; a transaction of 3 statements: two accounts are updated, a transfer is inserted.`,
	)
	report.say(`- ${pairs} pairs of runs of ${runMs} ms in turn; the ratio is the median of the pairs, with its quartiles.`)
	const rows: (string | number)[][] = []
	for (const { name, durable, ...least } of settings) {
		const subject = await openSubject(on, { durable, quiet: true })
		try {
			if (rows.length === 0) report.say(`- ${subject.title}`)
			await subject.layOutAccounts(accounts)
			for (const kind of subject.resolvers) {
				const { row, ratio } = await measure(subject, kind)
				rows.push([name, kind, ...row])
				report.progress(`${name}, ${kind}: ${digits(ratio)}`)
				report.atLeast(`${name}: transactions a second with ${kind} / off`, ratio, least[kind])
			}
		} finally {
			await subject.server.dispose()
		}
	}
	report.table(
		[
			'server',
			'commit',
			'off, tx/s',
			'with, tx/s',
			'with / off',
			'quartiles',
			'by CPU of Node',
			'CPU of backends: off, µs/tx',
			'CPU of backends: with, µs/tx',
		],
		rows,
	)
}

async function measure(subject: Subject, kind: 'verify' | 'ledger'): Promise<{ row: (string | number)[]; ratio: number }> {
	const off = new Side(subject, 'off')
	const other = new Side(subject, kind)
	try {
		const { bare, wrapped, ratio, cpuRatio } = await compare({ bare: off.transfer, wrapped: other.transfer }, pairs, runMs, poolSize)
		const quartiles = `${digits(ratio.lower)} – ${digits(ratio.upper)}`
		const cpu = [await off.backendCpuUs(), await other.backendCpuUs()]
		return { row: [bare, wrapped, digits(ratio.median), quartiles, digits(cpuRatio.median), ...cpu], ratio: ratio.median }
	} finally {
		await Promise.all([off.pool.end(), other.pool.end()])
	}
}

/** A wrapped pool that does transfers and counts them. */
class Side {
	readonly pool: BenchPool
	readonly #subject: Subject
	readonly #name: string
	#transfers = 0

	constructor(subject: Subject, kind: 'off' | 'verify' | 'ledger') {
		this.#subject = subject
		this.#name = `commit-cost-${kind}`
		const commit = kind === 'ledger' ? commitLedger({ create: true }) : kind
		this.pool = subject.pool({ size: poolSize, name: this.#name, keepIdle: true, wrap: { commit } })
	}

	transfer = (): Promise<unknown> => {
		this.#transfers += 1
		// A stride through all accounts, payers odd and payees even, so that no transfer waits for another's rows.
		const payer = ((this.#transfers * 2) % accounts) + 1
		const payee = ((this.#transfers * 2 + accounts / 2) % accounts) + 2
		return this.pool.transfer(payer, payee)
	}

	/** Processor time of the server for one transfer, in microseconds; NaN where it cannot be seen. */
	async backendCpuUs(): Promise<number> {
		return ((await this.#subject.cpuMs(this.#name)) * 1_000) / this.#transfers
	}
}
