/** What do parking and releasing alone cost, without a promise and a query: in this thread, or in one whose young generation is as large as asked for? */
import { once } from 'node:events'
import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import { isMainThread, parentPort, Worker, workerData } from 'node:worker_threads'
import { PgCore } from '../../drivers/pg/core.ts'
import { PromisedStatement } from '../../drivers/pg/query.ts'
import type { PgClient } from '../../drivers/pg/shape.ts'
import { createScheduler } from '../../src/index.ts'
import { median } from '../support/statistics.ts'

/** Processor time of one caller in microseconds, where so many are parked at a time. */
export type CostOf = (count: number) => number

/** `callers` in each round, in groups of each of the counts; the median of the rounds. */
export function costOfLine(counts: readonly number[], callers: number, rounds: number): CostOf {
	setFlagsFromString('--expose-gc')
	const gc = runInNewContext('gc') as () => void
	const source = new OneConnection()
	const scheduler = createScheduler()
	const facts = { source, address: 'nowhere', busyTimeoutMs: undefined, busyTimeoutError: () => new Error('nobody is late here') }
	const core = new PgCore(facts, { scheduler })
	const park = () => new ParkedStatement(core, 'select 1', undefined, nobody).run()
	park()
	const turn = (count: number): number => {
		gc()
		const start = process.cpuUsage()
		for (let left = callers; left > 0; left -= count) {
			for (let index = 0; index < count; index++) park()
			if (core.waiting !== count) throw new Error('not everybody is parked')
			while (core.waiting > 0) source.comesBack()
		}
		const { user, system } = process.cpuUsage(start)
		return (user + system) / callers
	}
	const measured = new Map<number, number[]>(counts.map((count) => [count, []]))
	for (const count of counts) for (let warmUp = 0; warmUp < 3; warmUp++) turn(count)
	const before = ParkedStatement.served
	for (let round = 0; round < rounds; round++) for (const [count, costs] of measured) costs.push(turn(count))
	if (ParkedStatement.served - before !== counts.length * rounds * callers) throw new Error('not everybody was served')
	scheduler.close()
	return (count) => median(measured.get(count) ?? [])
}

interface Order {
	readonly counts: readonly number[]
	readonly callers: number
	readonly rounds: number
}

/** The same in a worker with a young generation of so many megabytes. */
export async function costOfLineInWorker(counts: readonly number[], callers: number, rounds: number, youngMb: number): Promise<CostOf> {
	const order: Order = { counts, callers, rounds }
	const worker = new Worker(new URL(import.meta.url), {
		workerData: order,
		resourceLimits: { maxYoungGenerationSizeMb: youngMb },
	})
	const [costs] = (await once(worker, 'message')) as [number[]]
	await worker.terminate()
	return (count) => costs[counts.indexOf(count)] ?? Number.NaN
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

if (!isMainThread) {
	const { counts, callers, rounds } = workerData as Order
	parentPort?.postMessage(counts.map(costOfLine(counts, callers, rounds)))
}
