/** Do 30 migrations get through kill -9, and do readers notice a migration that waits for a lock? Against plain knex, both times. */
import { setTimeout as sleep } from 'node:timers/promises'
import { migrate } from 'holdfast/knex'
import makeKnex, { type Knex } from 'knex'
import pg from 'pg'
import { Draw } from '../test/chaos/draw.ts'
import { type Aftermath, killedRun } from '../test/migrations/killed-run.ts'
import { sourceOf } from '../test/migrations/sample.ts'
import { type PostgresServer, startPostgres } from '../test/support/postgres.ts'
import type { Report } from './support/report.ts'
import { median, quantile } from './support/statistics.ts'

const seeds = 50
const count = 30
const rounds = 5
const clients = 20
const calmMs = 4_000
const longQueryMs = 4_000
const everyMs = 40
const mostCalls = 20

export async function run(report: Report): Promise<void> {
	const server = await startPostgres()
	try {
		report.say(
			`- PostgreSQL ${server.major} (${server.source}), ${count} migrations (tables, indexes, data), killed once in each of ${seeds} runs`,
		)
		await kills(report, server)
		await queues(report, server)
	} finally {
		await server.dispose()
	}
}

/** What it took to get one run through. */
interface Effort {
	/** Calls that rejected. */
	failedCalls: number
	unlocks: number
	/** It could not be brought to its end by calling and unlocking. */
	stuck: boolean
}

type Way = (knex: Knex, effort: Effort) => Promise<unknown>

const oneCall: Way = async (knex, effort) => {
	try {
		await migrate(knex)
	} catch (error) {
		effort.failedCalls += 1
		effort.stuck = true
		throw error
	}
}

/** As a deployment does it that calls `knex migrate:latest` until it succeeds, with somebody at hand who unlocks. */
const loop: Way = async (knex, effort) => {
	for (let call = 1; call <= mostCalls; call++) {
		try {
			return await knex.migrate.latest()
		} catch (error) {
			effort.failedCalls += 1
			if ((error as Error).message.includes('already locked')) {
				effort.unlocks += 1
				await knex.migrate.forceFreeMigrationsLock()
			}
			await sleep(100)
		}
	}
	effort.stuck = true
	return undefined
}

async function kills(report: Report, server: PostgresServer): Promise<void> {
	const ways = [
		['Holdfast', oneCall, false],
		['knex in a loop', loop, false],
		['Holdfast, the first one without a transaction', oneCall, true],
		['knex in a loop, the first one without a transaction', loop, true],
	] as const
	const rows = []
	for (const [name, way, outside] of ways) {
		const calm: number[] = []
		for (let at = 0; at < 3; at++) calm.push((await once(server, way, outside, Number.POSITIVE_INFINITY)).elapsedMs)
		const spanMs = median(calm)
		const runs: (Aftermath & Effort)[] = []
		for (let seed = 1; seed <= seeds; seed++) {
			let killAfterMs = new Draw(seed, 3).next() * spanMs
			let each = await once(server, way, outside, killAfterMs)
			// On a busy machine the calm runs tell little: a kill that came too late is no kill.
			for (let again = 1; !each.hit && again <= 5; again++) {
				killAfterMs /= 2
				each = await once(server, way, outside, killAfterMs)
			}
			runs.push(each)
			report.progress(`${name}: ${seed} of ${seeds}`)
		}
		const number = (test: (run: Aftermath & Effort) => boolean) => runs.filter(test).length
		const isRight = (each: Aftermath & Effort) => each.missing.length + each.twice.length + each.misrecorded.length === 0 && !each.locked
		rows.push([
			name,
			number(({ hit }) => hit),
			number(isRight),
			number(({ failedCalls }) => failedCalls > 0),
			number(({ unlocks }) => unlocks > 0),
			number(({ twice }) => twice.length > 0),
			number(({ stuck }) => stuck),
			number(({ locked, advisoryLocks }) => locked || advisoryLocks > 0),
		])
		if (name === 'Holdfast') {
			report.atLeast('Holdfast: runs in which every migration was applied exactly once', number(isRight), seeds)
			report.atMost(
				'Holdfast: runs that needed a second call or an unlock',
				number(({ failedCalls }) => failedCalls > 0),
				0,
			)
			report.atMost(
				'Holdfast: runs that left a lock',
				number(({ locked, advisoryLocks }) => locked || advisoryLocks > 0),
				0,
			)
		}
	}
	report.table(
		['runner', 'killed in its middle', 'all applied once', 'a call failed', 'needed an unlock', 'some twice', 'stuck', 'lock left'],
		rows,
	)
	report.say(
		'Runs out of 50. Plain knex puts all 30 into one transaction unless one of them asks for none; then each has its own, and its record is',
	)
	report.say(
		'written after it. "Stuck": calling again and unlocking does not help, somebody has to look. Holdfast is called once; with one that',
	)
	report.say(
		'has no transaction it refuses to guess when the kill hits just that one ("stuck": it says which, and how to check, and its mark in',
	)
	report.say('the lock stays until that is answered).')
}

async function once(server: PostgresServer, way: Way, outside: boolean, killAfterMs: number): Promise<Aftermath & Effort> {
	const effort: Effort = { failedCalls: 0, unlocks: 0, stuck: false }
	const after = await killedRun(server, { count, killAfterMs, outside, run: (knex) => way(knex, effort) })
	return { ...after, ...effort }
}

async function queues(report: Report, server: PostgresServer): Promise<void> {
	const rows = []
	const ratios: number[] = []
	const plain: number[] = []
	for (let round = 1; round <= rounds; round++) {
		for (const [name, way] of [
			['Holdfast', (knex: Knex) => migrate(knex)],
			['knex', (knex: Knex) => knex.migrate.latest()],
		] as const) {
			const seen = await readers(server, way)
			const ratio = seen.disturbedP99Ms / seen.calmP99Ms
			;(name === 'Holdfast' ? ratios : plain).push(ratio)
			rows.push([`${round}`, name, seen.calmP99Ms, seen.disturbedP99Ms, ratio, seen.longestMs, seen.reads, seen.afterMs])
			report.progress(`${name}, round ${round}: ratio ${ratio.toFixed(2)}`)
		}
	}
	report.table(
		['round', 'runner', 'p99 calm, ms', 'p99 with migration, ms', 'ratio', 'longest read, ms', 'reads', 'done after the long query, ms'],
		rows,
	)
	report.say(
		`${clients} clients each begin a read every ${everyMs} ms, whether the last one is answered or not, while a transaction of ${longQueryMs / 1_000} s holds the table and`,
	)
	report.say('a migration wants to add a column. A read counts from when it was due; all are waited for.')
	report.atMost('Holdfast: p99 with the migration / calm, median of the rounds', median(ratios), 2)
	report.atLeast('knex: the same, to see that the readers do queue', median(plain), 10)
}

interface Seen {
	readonly calmP99Ms: number
	readonly disturbedP99Ms: number
	readonly longestMs: number
	readonly reads: number
	readonly afterMs: number
}

/** Reads at a fixed pace, first undisturbed, then with a long query and a migration behind it. */
async function readers(server: PostgresServer, way: (knex: Knex) => Promise<unknown>): Promise<Seen> {
	const database = await server.createDatabase('queue')
	await server.query(
		'create table items as select i as id, i::text as v from generate_series(1, 1000) i; create unique index on items (id)',
		database,
	)
	const pool = new pg.Pool({ ...server.config(database), max: clients })
	const migrations = new Map([
		['add.js', { up: (knex: Knex) => knex.schema.alterTable('items', (table) => void table.string('x')), down: async () => {} }],
	])
	const knex = makeKnex({ client: 'pg', connection: server.config(database), migrations: { migrationSource: sourceOf(migrations) } })
	const long = new pg.Client(server.config(database))
	await long.connect()
	try {
		await reading(pool, sleep(1_000))
		const calm = await reading(pool, sleep(calmMs))
		await long.query('begin; select count(*) from items')
		let afterMs = 0
		const disturbed = await reading(
			pool,
			(async () => {
				const migrated = way(knex)
				await long.query('select pg_sleep($1)', [longQueryMs / 1_000])
				await long.query('commit')
				const endedAtMs = performance.now()
				await migrated
				afterMs = performance.now() - endedAtMs
			})(),
		)
		return {
			calmP99Ms: quantile(calm, 0.99),
			disturbedP99Ms: quantile(disturbed, 0.99),
			longestMs: Math.max(...disturbed),
			reads: disturbed.length,
			afterMs,
		}
	} finally {
		await long.end()
		await pool.end()
		await knex.destroy()
	}
}

/** How long each read took that was due until `end`, in milliseconds. */
async function reading(pool: pg.Pool, end: Promise<unknown>): Promise<number[]> {
	let running = true
	const tookMs: number[] = []
	const inFlight = new Set<Promise<void>>()
	const client = async (offsetMs: number) => {
		await sleep(offsetMs)
		for (let dueAtMs = performance.now(); running; dueAtMs += everyMs) {
			await sleep(Math.max(0, dueAtMs - performance.now()))
			if (!running) return
			const read = pool.query('select v from items where id = $1', [1 + Math.floor(Math.random() * 1_000)]).then(() => {
				tookMs.push(performance.now() - dueAtMs)
				inFlight.delete(read)
			})
			inFlight.add(read)
		}
	}
	const all = Array.from({ length: clients }, (_, at) => client((at * everyMs) / clients))
	await end
	running = false
	await Promise.all(all)
	await Promise.all(inFlight)
	return tookMs
}
