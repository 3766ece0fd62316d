/** What does a wrapped knex instance cost against a bare one when nothing fails? */
import { holdfast } from 'holdfast/knex'
import makeKnex, { type Knex } from 'knex'
import { startMysql } from '../test/support/mysql.ts'
import { startPostgres } from '../test/support/postgres.ts'
import { type Call, compare } from './support/paired-runs.ts'
import type { Report } from './support/report.ts'
import { digits } from './support/table.ts'

const poolSize = 10
const concurrencies = [8, 40]
const pairs = Number(process.env.HOLDFAST_BENCH_PAIRS ?? 100)
const runMs = 60
const leastRatio = 0.97

/** A product, and how knex is told about it. */
interface Product {
	readonly name: string
	readonly client: 'pg' | 'mysql2'
	readonly connection: object
	dispose(): Promise<void>
}

export async function run(report: Report): Promise<void> {
	report.say(
		`- pools of ${poolSize}; ${pairs} pairs of runs of ${runMs} ms in turn; the ratio is the median of the pairs, with its quartiles`,
	)
	report.say('')
	for (const start of [postgres, mariadb]) {
		const product = await start()
		try {
			await compareInstances(report, product)
		} finally {
			await product.dispose()
		}
	}
}

async function postgres(): Promise<Product> {
	const server = await startPostgres()
	const name = `PostgreSQL ${server.major} (${server.source})`
	return { name, client: 'pg', connection: server.config(), dispose: () => server.dispose() }
}

async function mariadb(): Promise<Product> {
	const server = await startMysql({ flavour: 'mariadb' })
	const name = `MariaDB ${server.version} (${server.source})`
	return { name, client: 'mysql2', connection: server.config(), dispose: () => server.dispose() }
}

async function compareInstances(report: Report, { name, client, connection }: Product): Promise<void> {
	const instance = () => makeKnex({ client, connection, pool: { min: 0, max: poolSize } })
	const bare = instance()
	const wrapped = holdfast(instance(), { commit: 'off' })
	const verifying = client === 'pg' ? holdfast(instance()) : undefined
	const workloads: { what: string; limited: boolean; sides: { bare: Call; wrapped: Call } }[] = [
		{ what: "knex.raw('select 1')", limited: true, sides: both(bare, wrapped, (knex) => knex.raw('select 1')) },
		{ what: 'knex.select(…).first()', limited: true, sides: both(bare, wrapped, (knex) => knex.select(knex.raw('1 as one')).first()) },
		{ what: 'transaction of 3 statements', limited: false, sides: both(bare, wrapped, transaction) },
		...(verifying === undefined ? [] : [{ what: 'the same, commits verified', limited: false, sides: both(bare, verifying, transaction) }]),
	]
	const rows: (string | number)[][] = []
	try {
		for (const { what, limited, sides } of workloads) {
			for (const concurrency of concurrencies) {
				const { bare, wrapped, ratio, cpuRatio } = await compare(sides, pairs, runMs, concurrency)
				const range = `${digits(ratio.lower)} – ${digits(ratio.upper)}`
				rows.push([what, concurrency, bare, wrapped, digits(ratio.median), range, digits(cpuRatio.median)])
				report.progress(`${name}: ${what}, ${concurrency} callers: ${digits(ratio.median)}, by CPU ${digits(cpuRatio.median)}`)
				if (limited) report.atLeast(`${name}: ${what}, ${concurrency} callers: wrapped / bare`, ratio.median, leastRatio)
			}
		}
	} finally {
		await Promise.all([bare.destroy(), wrapped.destroy(), verifying?.destroy()])
	}
	report.table([name, 'callers', 'bare, calls/s', 'wrapped, calls/s', 'wrapped / bare', 'quartiles', 'by CPU of Node'], rows)
}

const both = (bare: Knex, wrapped: Knex, call: (knex: Knex) => PromiseLike<unknown>): { bare: Call; wrapped: Call } => ({
	bare: async () => call(bare),
	wrapped: async () => call(wrapped),
})

const transaction = (knex: Knex): Promise<void> =>
	knex.transaction(async (trx) => {
		await trx.raw('select 1')
		await trx.raw('select 2')
		await trx.raw('select 3')
	})
