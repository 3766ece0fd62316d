/** Do 50 workers get through 20 rounds of kill -9 and restart without an error? */
import { randomInt } from 'node:crypto'
import { setTimeout as sleep } from 'node:timers/promises'
import { holdfast } from 'holdfast/pg'
import pg from 'pg'
import { accidentMark } from '../test/support/leaks.ts'
import { startPostgres } from '../test/support/postgres.ts'
import { until } from '../test/support/until.ts'
import type { Report } from './support/report.ts'
import { spread } from './support/statistics.ts'

const rounds = 20
const workers = 50
const poolSize = 20

export async function run(report: Report): Promise<void> {
	const server = await startPostgres()
	const accidents = accidentMark()
	const pool = holdfast(new pg.Pool({ ...server.config(), max: poolSize }))
	try {
		report.say(`- PostgreSQL ${server.major} (${server.source}), ${workers} workers on one pool of ${poolSize}`)
		await pool.query('create table counter (worker int primary key, n int not null)')
		await pool.query('insert into counter select i, 0 from generate_series(0, $1::int - 1) i', [workers])

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
			await until(() => pool.totalCount === poolSize, { what: 'the pool to be back to its size' }).catch((error) => errors.push(error))
			sizes.push(pool.totalCount)
			report.progress(`round ${round}: ${load.done()} calls, ${errors.length} errors, pool of ${pool.totalCount}`)
		}
		const confirmed = await load.stop()
		const { rows } = await pool.query('select worker, n from counter order by worker')
		const lost = rows.filter(({ worker, n }) => n !== confirmed[worker]).length

		const { retries, outages, discarded } = pool.holdfast.stats()
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
		report.atMost('callers left waiting, clients borrowed', pool.waitingCount + pool.totalCount - pool.idleCount, 0)
		report.atMost('rows that are not what was confirmed last', lost, 0)
	} finally {
		await pool.end()
		accidents.stop()
		await server.dispose()
	}
}

const count = (accidents: readonly string[], kind: string) => accidents.filter((text) => text.startsWith(kind)).length

/** Each worker reads and writes its own row in turn; its writes are idempotent, so it always knows what must stand there. */
function startWorkers(pool: ReturnType<typeof holdfast>, errors: unknown[]) {
	const answered = new Array<number>(workers).fill(0)
	const confirmed = new Array<number>(workers).fill(0)
	let stopped = false
	const work = async (worker: number) => {
		while (!stopped) {
			try {
				const n = (confirmed[worker] ?? 0) + 1
				await pool.query({ text: 'update counter set n = $2 where worker = $1', values: [worker, n], idempotent: true })
				confirmed[worker] = n
				const { rows } = await pool.query('select n from counter where worker = $1', [worker])
				if (rows[0]?.n !== n) throw new Error(`worker ${worker} read ${rows[0]?.n} after it had written ${n}`)
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
