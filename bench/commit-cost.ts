/** What does it cost to be able to resolve a commit in doubt, while no commit is? Verification and the ledger, each beside neither. */
import { commitLedger } from 'holdfast'
import { type HoldfastPool, holdfast } from 'holdfast/pg'
import pg from 'pg'
import { type PostgresServer, startPostgres } from '../test/support/postgres.ts'
import { compare } from './support/paired-runs.ts'
import type { Report } from './support/report.ts'
import { backendCpuMs } from './support/server-cpu.ts'
import { digits } from './support/table.ts'

const poolSize = 8
const pairs = 200
const runMs = 80
const accounts = 10_000

// Nothing in the background takes part: each run of a pair is to meet the same server.
const schema = `CREATE TABLE account (id int PRIMARY KEY, cents bigint NOT NULL) WITH (autovacuum_enabled = off, fillfactor = 50);
	CREATE TABLE transfer (id bigserial PRIMARY KEY, payer int NOT NULL, payee int NOT NULL, cents bigint NOT NULL) WITH (autovacuum_enabled = off);
	INSERT INTO account SELECT id, 100000 FROM generate_series(1, ${accounts}) id; ANALYZE account`

// The limits are lower where nothing hides the cost: no transaction waits for the disk.
const settings = [
	{ name: 'durable (fsync on)', fsync: 'on', verify: 0.97, ledger: 0.9 },
	{ name: 'fsync off', fsync: 'off', verify: 0.93, ledger: 0.87 },
] as const

export async function run(report: Report): Promise<void> {
	report.say(
		`- Pools of ${poolSize}, ${poolSize} callers; a transaction of 3 statements: two accounts are updated, a transfer is inserted.`,
	)
	report.say(`- ${pairs} pairs of runs of ${runMs} ms in turn; the ratio is the median of the pairs, with its quartiles.`)
	const rows: (string | number)[][] = []
	for (const { name, fsync, ...least } of settings) {
		const server = await startPostgres({ major: 18, settings: { fsync, checkpoint_timeout: '1h', max_wal_size: '4GB' } })
		try {
			await server.query(schema)
			for (const kind of ['verify', 'ledger'] as const) {
				const { row, ratio } = await measure(server, kind)
				rows.push([name, kind, ...row])
				report.progress(`${name}, ${kind}: ${digits(ratio)}`)
				report.atLeast(`${name}: transactions a second with ${kind} / off`, ratio, least[kind])
			}
		} finally {
			await server.dispose()
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

async function measure(server: PostgresServer, kind: 'verify' | 'ledger'): Promise<{ row: (string | number)[]; ratio: number }> {
	const off = new Side(server, 'off')
	const other = new Side(server, kind)
	try {
		const { bare, wrapped, ratio, cpuRatio } = await compare({ bare: off.transfer, wrapped: other.transfer }, pairs, runMs, poolSize)
		const quartiles = `${digits(ratio.lower)} – ${digits(ratio.upper)}`
		const cpu = [await off.backendCpuUs(server), await other.backendCpuUs(server)]
		return { row: [bare, wrapped, digits(ratio.median), quartiles, digits(cpuRatio.median), ...cpu], ratio: ratio.median }
	} finally {
		await Promise.all([off.pool.end(), other.pool.end()])
	}
}

/** A wrapped pool that does transfers and counts them. */
class Side {
	readonly pool: HoldfastPool
	readonly #name: string
	#transfers = 0

	constructor(server: PostgresServer, kind: 'off' | 'verify' | 'ledger') {
		this.#name = `commit-cost-${kind}`
		this.pool = holdfast(new pg.Pool({ ...server.config(), max: poolSize, application_name: this.#name, idleTimeoutMillis: 0 }), {
			commit: kind === 'ledger' ? commitLedger({ create: true }) : kind,
		})
	}

	transfer = (): Promise<void> => {
		this.#transfers += 1
		// A stride through all accounts, payers odd and payees even, so that no transfer waits for another's rows.
		const payer = ((this.#transfers * 2) % accounts) + 1
		const payee = ((this.#transfers * 2 + accounts / 2) % accounts) + 2
		return this.pool.transaction(async (tx) => {
			await tx.query('UPDATE account SET cents = cents - $2 WHERE id = $1', [payer, 1])
			await tx.query('UPDATE account SET cents = cents + $2 WHERE id = $1', [payee, 1])
			await tx.query('INSERT INTO transfer (payer, payee, cents) VALUES ($1, $2, $3)', [payer, payee, 1])
		})
	}

	/** Processor time of the server for one transfer, in microseconds; NaN where it cannot be seen. */
	async backendCpuUs(server: PostgresServer): Promise<number> {
		return ((await backendCpuMs(server, this.#name)) * 1_000) / this.#transfers
	}
}
