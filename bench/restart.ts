/** Do 50 workers get through 20 rounds of kill -9 and restart without an error? */
import { randomInt } from 'node:crypto'
import { setTimeout as sleep } from 'node:timers/promises'
import { accidentMark } from '../test/support/leaks.ts'
import { until } from '../test/support/until.ts'
import type { Report } from './support/report.ts'
import { spread } from './support/statistics.ts'
import { type BenchPool, openSubject, type ServerName } from './support/subject.ts'

const rounds = 20
const workers = 50
const poolSize = 20

export async function run(report: Report, on: ServerName): Promise<void> {
	const subject = await openSubject(on)
	const { server } = subject
	const accidents = accidentMark()
	const pool = subject.pool({ size: poolSize, wrap: {} })
	try {
		report.say(`- ${subject.title}, ${workers} workers on one pool of ${poolSize}`)
		await subject.layOutCounters(workers)

		const errors: unknown[] = []
		const load = startWorkers(pool, errors)
		const sizes: number[] = []
		const pausesMs: number[] = []
		for (let round = 1; round <= rounds; round++) {
			await sleep(200 + randomInt(100))
			const answeredBefore = [...load.answered]
			const startedAt = performance.now()
			await server.kill()
			await sleep(randomInt(300))
			await server.start()
			await until(() => load.answered.every((count, worker) => count > (answeredBefore[worker] ?? 0) + 2), {
				what: 'every worker to get on',
				timeoutMs: 30_000,
			})
			pausesMs.push(performance.now() - startedAt)
			await until(() => pool.size().total === poolSize, { what: 'the pool to be back to its size' }).catch((error) => errors.push(error))
			sizes.push(pool.size().total)
			report.progress(`round ${round}: ${load.done()} calls, ${errors.length} errors, pool of ${pool.size().total}`)
		}
		const confirmed = await load.stop()
		const there = await Promise.all(confirmed.map((_, worker) => pool.counted(worker)))
		const lost = there.filter((n, worker) => n !== confirmed[worker]).length

		const { retries, outages, discarded, waiting } = pool.stats()
		const { total, idle } = pool.size()
		report.table(
			[
				'rounds',
				'calls',
				'errors',
				'reruns',
				'outages seen',
				'connections replaced',
				'kill to all workers on, median ms',
				'upper quartile',
			],
			[
				[
					rounds,
					load.done(),
					errors.length,
					Object.values(retries).reduce((sum, count) => sum + count, 0),
					outages,
					discarded,
					spread(pausesMs).median,
					spread(pausesMs).upper,
				],
			],
		)
		for (const error of errors.slice(0, 5)) report.say(`Error: ${String(error)}`)
		for (const accident of accidents.accidents.slice(0, 5)) report.say(`Accident: ${accident}`)
		report.atMost('errors that reached a worker', errors.length, 0)
		report.atMost('unhandled rejections', count(accidents.accidents, 'unhandled rejection'), 0)
		report.atMost('uncaught exceptions', count(accidents.accidents, 'uncaught exception'), 0)
		report.atMost('listener warnings', count(accidents.accidents, 'warning'), 0)
		report.atMost('rounds after which the pool was not back to its size', sizes.filter((size) => size !== poolSize).length, 0)
		report.atMost('callers left waiting, connections borrowed', waiting + total - idle, 0)
		report.atMost('rows that are not what was confirmed last', lost, 0)
	} finally {
		await pool.end()
		accidents.stop()
		await server.dispose()
	}
}

const count = (accidents: readonly string[], kind: string) => accidents.filter((text) => text.startsWith(kind)).length

/** Each worker reads and writes its own row in turn; its writes are idempotent, so it always knows what must stand there. */
function startWorkers(pool: BenchPool, errors: unknown[]) {
	const answered = new Array<number>(workers).fill(0)
	const confirmed = new Array<number>(workers).fill(0)
	let stopped = false
	const work = async (worker: number) => {
		while (!stopped) {
			try {
				const n = (confirmed[worker] ?? 0) + 1
				await pool.count(worker, n)
				confirmed[worker] = n
				const there = await pool.counted(worker)
				if (there !== n) throw new Error(`worker ${worker} read ${there} after it had written ${n}`)
			} catch (error) {
				errors.push(error)
			}
			answered[worker] = (answered[worker] ?? 0) + 2
			await sleep(1)
		}
	}
	const all = Promise.all(answered.map((_, worker) => work(worker)))
	return {
		answered,
		done: () => answered.reduce((sum, each) => sum + each, 0),
		async stop() {
			stopped = true
			await all
			return confirmed
		},
	}
}
