/** What does a caller cost that waits for a database that is down, and does it cost the same among many? */
import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import { createScheduler } from 'holdfast'
import { type HoldfastPool, holdfast } from 'holdfast/pg'
import pg from 'pg'
import { freePort } from '../test/support/free-port.ts'
import { costOfLine } from './parking/line.ts'
import { costOfLineWith } from './parking/roomy.ts'
import type { Report } from './support/report.ts'
import { median } from './support/statistics.ts'
import { StubClient } from './support/stub-client.ts'
import { digits } from './support/table.ts'

const many = 100_000
const few = 1_000
const rounds = 15
const groups = 9
const mostBytes = 300
const leastPerSecond = 500_000
const mostDifference = 1.2
const roomyMb = 64

setFlagsFromString('--expose-gc')
const gc = runInNewContext('gc') as () => void

/** A connection that is busy until it is told. */
class BusyClient extends StubClient {
	static held: (() => void) | undefined

	override query(text: string, values?: unknown, callback?: (error: unknown, result?: unknown) => void): unknown {
		if (text !== 'hold') return super.query(text, values, callback)
		BusyClient.held = () => super.query('select 1', undefined, callback ?? (values as typeof callback))
		return undefined
	}
}

export async function run(report: Report): Promise<void> {
	const { bytes, fewBytes, promise, resolvable } = await memory()
	report.say('')
	report.say(
		`${digits(many)} calls of \`pool.query('select 1')\` park while the server refuses connections (heap in use, after garbage collection).`,
	)
	report.table(
		['one of them', 'bytes'],
		[
			['a promise that nobody can settle', promise],
			['a promise whose `resolve` is kept', resolvable],
			[`a parked \`pool.query\`, its promise included, among ${digits(few)}`, fewBytes],
			[`the same among ${digits(many)}`, bytes],
			['beyond the promise', bytes - promise],
			['beyond the promise and its `resolve`', bytes - resolvable],
		],
	)
	report.atMost('bytes of a parked caller beyond its promise', bytes - promise, mostBytes)
	report.atMost(`bytes of a caller among ${digits(many)} / among ${digits(few)}`, bytes / fewBytes, mostDifference)
	await pace(report)
}

async function settled(): Promise<number> {
	for (let turn = 0; turn < 3; turn++) {
		await new Promise((resolve) => setImmediate(resolve))
		gc()
	}
	return process.memoryUsage().heapUsed
}

/** Bytes on the heap for each of `count` things that `make` makes. */
async function bytesEach(count: number, make: (index: number) => unknown): Promise<number> {
	const kept = new Array<unknown>(count).fill(0)
	const before = await settled()
	for (let index = 0; index < count; index++) kept[index] = make(index)
	const bytes = ((await settled()) - before) / count
	return kept.length === count ? bytes : Number.NaN
}

async function memory() {
	const promise = await bytesEach(many, () => new Promise(() => {}))
	const resolves = new Array<unknown>(many).fill(0)
	const resolvable = await bytesEach(
		many,
		(index) =>
			new Promise((resolve) => {
				resolves[index] = resolve
			}),
	)
	// A thousand weigh no more than what else comes and goes on the heap: several times, median.
	const smallGroups: number[] = []
	for (let group = 0; group < groups; group++) smallGroups.push(await parkedBytes(few))
	return { bytes: await parkedBytes(many), fewBytes: median(smallGroups), promise, resolvable }
}

/** Bytes for each of so many callers of a pool whose server is down. */
async function parkedBytes(count: number): Promise<number> {
	const scheduler = createScheduler()
	const pool = holdfast(new pg.Pool({ host: '127.0.0.1', port: await freePort(), max: 10 }), {
		scheduler,
		maxWaiting: 2 * many,
		deadlineMs: 600_000,
	})
	// The endpoint is known to be down before anybody is counted.
	pool.query('select 1').catch(() => {})
	while (pool.holdfast.stats().endpoint.state !== 'down') await new Promise((resolve) => setTimeout(resolve, 10))
	const bytes = await bytesEach(count, () => pool.query('select 1'))
	process.on('unhandledRejection', ignoreClosed)
	scheduler.close()
	await new Promise((resolve) => setTimeout(resolve, 100))
	process.removeListener('unhandledRejection', ignoreClosed)
	await pool.end()
	return bytes
}

function ignoreClosed(error: unknown): void {
	if ((error as { code?: string }).code !== 'HOLDFAST_CLOSED') throw error
}

interface Pace {
	readonly park: number
	readonly release: number
}

async function pace(report: Report): Promise<void> {
	const config = { Client: BusyClient as unknown as typeof pg.Client, max: 1, idleTimeoutMillis: 0 } as pg.PoolConfig
	const pool = holdfast(new pg.Pool(config), { scheduler: createScheduler(), commit: 'off' })
	await pool.query('select 1')
	const measured = new Map<number, Pace[]>([few, 10_000, many].map((count) => [count, []]))
	for (const count of measured.keys()) for (let left = many; left > 0; left -= count) await parkAndRelease(pool, count)
	for (let round = 0; round < rounds; round++) {
		for (const [count, paces] of measured) {
			gc()
			const sum = { park: 0, release: 0 }
			for (let left = many; left > 0; left -= count) {
				const { park, release } = await parkAndRelease(pool, count)
				sum.park += park
				sum.release += release
			}
			paces.push({ park: sum.park / many, release: sum.release / many })
		}
	}
	const of = (count: number, what: (pace: Pace) => number) => median((measured.get(count) ?? []).map(what))
	const all = ({ park, release }: Pace) => park + release
	report.say(
		`Callers of \`pool.query\` park behind the only connection of a pool, then it becomes free and serves them one after the other (a client that`,
	)
	report.say(
		`answers at the next tick). Processor time, the queries and garbage collection included; median of ${rounds} rounds of ${digits(many)} callers.`,
	)
	report.table(
		['parked at a time', 'parking, µs', 'release and query, µs', 'both, µs', 'callers a second'],
		[...measured.keys()].map((count) => [
			count,
			digits(of(count, ({ park }) => park)),
			digits(of(count, ({ release }) => release)),
			digits(of(count, all)),
			Math.round(1_000_000 / of(count, all)),
		]),
	)
	await pool.end()
	await line(report)
}

/** The scheduler's own part: a statement asks for a connection, parks, and gets one. Its promise and its query are left out. */
async function line(report: Report): Promise<void> {
	const counts = [few, 10_000, many]
	const lineRounds = { counts, callers: many, rounds }
	const costs = costOfLine(lineRounds)
	const roomy = await costOfLineWith(roomyMb, lineRounds)
	report.say(
		'Parking and releasing alone: the statement itself, the gate, the line, the deadline and the connection that comes back, without its',
	)
	report.say(
		`promise and the query that follows. Processor time, garbage collection included; median of ${rounds} rounds of ${digits(many)} callers.`,
	)
	report.say('What waits while new objects are made is moved twice by the garbage collector, unless the young generation has room for all')
	report.say(`that waits (\`--max-semi-space-size=${roomyMb}\`, in a process of its own).`)
	report.table(
		['parked at a time', 'parking and releasing, µs', 'callers a second', 'µs in a roomy young generation'],
		costs.map((cost, at) => [counts[at] ?? 0, digits(cost), Math.round(1_000_000 / cost), digits(roomy[at] ?? Number.NaN)]),
	)
	const perSecond = Math.round(1_000_000 / last(costs))
	report.atLeast(`callers parked and released a second, ${digits(many)} at a time`, perSecond, leastPerSecond)
	const growth = `cost of a caller among ${digits(many)} / among ${digits(few)}`
	report.atMost(growth, last(costs) / first(costs), mostDifference)
	report.atMost(`${growth}, in a roomy young generation`, last(roomy) / first(roomy), mostDifference)
}

const first = (costs: readonly number[]): number => costs.at(0) ?? Number.NaN
const last = (costs: readonly number[]): number => costs.at(-1) ?? Number.NaN

/** Processor time in microseconds. */
async function parkAndRelease(pool: HoldfastPool, count: number): Promise<Pace> {
	const holding = pool.query('hold')
	while (BusyClient.held === undefined) await new Promise((resolve) => setImmediate(resolve))
	const { held } = BusyClient
	BusyClient.held = undefined
	const calls = new Array<Promise<unknown>>(count)
	const start = process.cpuUsage()
	for (let index = 0; index < count; index++) calls[index] = pool.query('select 1')
	const parked = process.cpuUsage(start)
	if (pool.holdfast.stats().waiting !== count) throw new Error('not everybody is parked')
	held()
	await holding
	for (const call of calls) await call
	const ended = process.cpuUsage(start)
	const park = parked.user + parked.system
	return { park, release: ended.user + ended.system - park }
}
