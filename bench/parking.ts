/** What does a caller cost that waits for a database that is down, and does it cost the same among many? */
import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import { createScheduler } from 'holdfast'
import { type HoldfastPool, holdfast } from 'holdfast/pg'
import pg from 'pg'
import { PgCore } from '../drivers/pg/core.ts'
import { PromisedStatement } from '../drivers/pg/query.ts'
import type { PgClient } from '../drivers/pg/shape.ts'
import { createScheduler as ownScheduler } from '../src/index.ts'
import { freePort } from '../test/support/free-port.ts'
import type { Report } from './support/report.ts'
import { median } from './support/statistics.ts'
import { StubClient } from './support/stub-client.ts'
import { digits } from './support/table.ts'

const many = 100_000
const few = 1_000
const rounds = 15
const mostBytes = 300
const leastPerSecond = 500_000
const mostDifference = 1.2

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
	const { bytes, promise, resolvable } = await memory()
	report.say('')
	report.say(
		`${digits(many)} calls of \`pool.query('select 1')\` park while the server refuses connections (heap in use, after garbage collection).`,
	)
	report.table(
		['one of them', 'bytes'],
		[
			['a promise that nobody can settle', promise],
			['a promise whose `resolve` is kept', resolvable],
			['a parked `pool.query`, its promise included', bytes],
			['beyond the promise', bytes - promise],
			['beyond the promise and its `resolve`', bytes - resolvable],
		],
	)
	report.atMost('bytes of a parked caller beyond its promise', bytes - promise, mostBytes)
	await pace(report)
}

async function settled(): Promise<number> {
	for (let turn = 0; turn < 3; turn++) {
		await new Promise((resolve) => setImmediate(resolve))
		gc()
	}
	return process.memoryUsage().heapUsed
}

/** Bytes on the heap for each thing that `make` makes. */
async function bytesEach(make: (index: number) => unknown): Promise<number> {
	const kept = new Array<unknown>(many).fill(0)
	const before = await settled()
	for (let index = 0; index < many; index++) kept[index] = make(index)
	const bytes = ((await settled()) - before) / many
	return kept.length === many ? bytes : Number.NaN
}

async function memory() {
	const promise = await bytesEach(() => new Promise(() => {}))
	const resolves = new Array<unknown>(many).fill(0)
	const resolvable = await bytesEach(
		(index) =>
			new Promise((resolve) => {
				resolves[index] = resolve
			}),
	)
	const scheduler = createScheduler()
	const pool = holdfast(new pg.Pool({ host: '127.0.0.1', port: await freePort(), max: 10 }), {
		scheduler,
		maxWaiting: 2 * many,
		deadlineMs: 600_000,
	})
	// The endpoint is known to be down before anybody is counted.
	pool.query('select 1').catch(() => {})
	while (pool.holdfast.stats().endpoint.state !== 'down') await new Promise((resolve) => setTimeout(resolve, 10))
	const bytes = await bytesEach(() => {
		const parked = pool.query('select 1')
		return parked
	})
	process.on('unhandledRejection', ignoreClosed)
	scheduler.close()
	await new Promise((resolve) => setTimeout(resolve, 100))
	process.removeListener('unhandledRejection', ignoreClosed)
	await pool.end()
	return { bytes, promise, resolvable }
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
	gate(report)
}

/** The scheduler's own part: a statement asks for a connection, parks, and gets one. Its promise and its query are left out. */
function gate(report: Report): void {
	const source = new OneConnection()
	const scheduler = ownScheduler()
	const facts = { source, address: 'nowhere', busyTimeoutMs: undefined, busyTimeoutError: () => new Error('nobody is late here') }
	const core = new PgCore(facts, { scheduler })
	const park = () => new ParkedStatement(core, 'select 1', undefined, nobody).run()
	park()
	const turn = (count: number): number => {
		gc()
		const start = process.cpuUsage()
		for (let left = many; left > 0; left -= count) {
			for (let index = 0; index < count; index++) park()
			if (core.waiting !== count) throw new Error('not everybody is parked')
			while (core.waiting > 0) source.comesBack()
		}
		const { user, system } = process.cpuUsage(start)
		return (user + system) / many
	}
	const counts = [few, 10_000, many]
	const measured = new Map<number, number[]>(counts.map((count) => [count, []]))
	for (const count of counts) for (let warmUp = 0; warmUp < 3; warmUp++) turn(count)
	const before = ParkedStatement.served
	for (let round = 0; round < rounds; round++) for (const [count, costs] of measured) costs.push(turn(count))
	if (ParkedStatement.served - before !== counts.length * rounds * many) throw new Error('not everybody was served')
	scheduler.close()
	const cost = (count: number) => median(measured.get(count) ?? [])
	report.say(
		'Parking and releasing alone: the statement itself, the gate, the line, the deadline and the connection that comes back, without its',
	)
	report.say(
		`promise and the query that follows. Processor time, garbage collection included; median of ${rounds} rounds of ${digits(many)} callers.`,
	)
	report.table(
		['parked at a time', 'parking and releasing, µs', 'callers a second'],
		counts.map((count) => [count, digits(cost(count)), Math.round(1_000_000 / cost(count))]),
	)
	report.atLeast(`callers parked and released a second, ${digits(many)} at a time`, Math.round(1_000_000 / cost(many)), leastPerSecond)
	report.atMost(`cost of a caller among ${digits(many)} / among ${digits(few)}`, cost(many) / cost(few), mostDifference)
}

function nobody(): void {}

/** A statement of pg up to the moment when it would be sent. */
class ParkedStatement extends PromisedStatement {
	static served = 0

	override attempt(): void {
		ParkedStatement.served += 1
	}
}

/** A pool of one connection, which is always in use until it comes back. */
class OneConnection {
	readonly capacity = 1
	readonly #connection = {} as PgClient
	#opened = 0
	#ordered: ((connection: PgClient | undefined) => void) | undefined

	readonly order = (done: (connection: PgClient | undefined) => void): void => {
		this.#ordered = done
	}

	comesBack(): void {
		const ordered = this.#ordered
		this.#ordered = undefined
		ordered?.(this.#connection)
	}

	open(done: (error: unknown, connection: PgClient | undefined) => void): () => void {
		this.#opened = 1
		done(undefined, this.#connection)
		return nobody
	}

	idle(): number {
		return 0
	}

	total(): number {
		return this.#opened
	}

	isUsable(): boolean {
		return true
	}

	take(): void {}
	giveBack(): void {}
	discard(): void {}
	ask(): () => void {
		return nobody
	}
}

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
