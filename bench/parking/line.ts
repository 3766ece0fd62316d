/** What do parking and releasing alone cost, without a promise and a query? */
import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import { PgCore } from '../../drivers/pg/core.ts'
import { PromisedStatement } from '../../drivers/pg/query.ts'
import type { PgClient } from '../../drivers/pg/shape.ts'
import { createScheduler } from '../../src/index.ts'
import { median } from '../support/statistics.ts'

/** So many callers in each round, parked in groups of each of the counts. */
export interface Rounds {
	readonly counts: readonly number[]
	readonly callers: number
	readonly rounds: number
}

/** Processor time of one caller in microseconds for each of the counts, the median of the rounds. */
export function costOfLine({ counts, callers, rounds }: Rounds): readonly number[] {
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
	return counts.map((count) => median(measured.get(count) ?? []))
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
