/** How many connection attempts does a call cost while half of all attempts fail? */
import { setTimeout as sleep } from 'node:timers/promises'
import { createScheduler } from 'holdfast'
import { holdfast } from 'holdfast/pg'
import pg from 'pg'
import { seededRandom } from '../test/support/fake-clock.ts'
import { type PostgresServer, startPostgres } from '../test/support/postgres.ts'
import { type FaultProxy, startProxy } from '../test/support/proxy.ts'
import { installPeers, peer } from './support/peers.ts'
import type { Report } from './support/report.ts'
import type { Cell } from './support/table.ts'

const runMs = 30_000
const workers = 32
const poolSize = 10
const failing = 0.5
const most = 1.25
// Where a floor of retries by time could cover all of them.
const slowRates = [20, 5]

interface Side {
	readonly name: string
	/** So many calls a second come in, whatever becomes of them; undefined: workers call one after the other. */
	readonly callsPerSecond?: number
	make(pool: pg.Pool): pg.Pool
	call(pool: pg.Pool, signal: AbortSignal): Promise<unknown>
}

export async function run(report: Report): Promise<void> {
	await installPeers()
	const { default: pRetry } = await peer('p-retry')
	const read = (pool: pg.Pool) => pool.query('select 1')
	const wrapped = { make: (pool: pg.Pool) => holdfast(pool, { scheduler: createScheduler() }), call: read }
	const sides: readonly Side[] = [
		{ name: 'holdfast', ...wrapped },
		...slowRates.map((callsPerSecond) => ({ name: `holdfast, ${callsPerSecond} calls/s`, callsPerSecond, ...wrapped })),
		{
			name: 'holdfast, retryBudget: false',
			make: (pool) => holdfast(pool, { scheduler: createScheduler({ retryBudget: false }) }),
			call: read,
		},
		{
			name: 'p-retry around a bare pool',
			make: (pool) => pool.on('error', () => {}),
			call: (pool, signal) => pRetry(() => read(pool), { signal }),
		},
		{ name: 'bare pool', make: (pool) => pool.on('error', () => {}), call: read },
	]
	const server = await startPostgres({ major: 18 })
	try {
		report.say(
			`- PostgreSQL ${server.major} (${server.source}); ${workers} workers call one after the other for ${runMs / 1_000} s, or calls come in evenly. Each needs a connection`,
		)
		report.say(
			`  of its own (\`maxUses: 1\`), pools of ${poolSize}. A proxy in between resets ${failing * 100} % of the connections before the server sees them.`,
		)
		const rows: Cell[][] = []
		const fast = sides.filter(({ callsPerSecond }) => callsPerSecond === undefined)
		const slow = sides.filter(({ callsPerSecond }) => callsPerSecond !== undefined)
		const measured = new Map<Side, Measured>()
		for (const side of fast) {
			measured.set(side, await measure(server, side))
			report.progress(side.name)
		}
		// These leave the machine idle: all at once.
		await Promise.all(slow.map(async (side) => measured.set(side, await measure(server, side))))
		for (const side of sides) {
			const { calls, failed, attempts } = measured.get(side) as Measured
			rows.push([side.name, calls, attempts, (attempts / calls).toFixed(2), calls - failed, failed])
			if (side.make === wrapped.make) report.atMost(`connection attempts for each call: ${side.name}`, attempts / calls, most)
		}
		report.table(['side', 'calls', 'connection attempts', 'attempts / calls', 'calls that succeeded', 'calls that failed'], rows)
	} finally {
		await server.dispose()
	}
}

interface Measured {
	readonly calls: number
	readonly failed: number
	readonly attempts: number
}

async function measure(server: PostgresServer, side: Side): Promise<Measured> {
	const proxy: FaultProxy = await startProxy({ target: server, protocol: 'postgres' })
	const random = seededRandom(1)
	proxy.intercept({
		from: 'client',
		match: ({ type }) => type === 'Startup' && random() < failing,
		action: 'cut before',
		times: Number.POSITIVE_INFINITY,
	})
	const pool = side.make(new pg.Pool({ ...server.config(), host: proxy.host, port: proxy.port, max: poolSize, maxUses: 1 }))
	let calls = 0
	let failed = 0
	let isOver = false
	const over = new AbortController()
	const call = () => {
		calls += 1
		return side.call(pool, over.signal).catch(() => {
			if (!isOver) failed += 1
		})
	}
	const work = async () => {
		while (!isOver) await call()
	}
	const comeIn = async (everyMs: number) => {
		const all: Promise<unknown>[] = []
		while (!isOver) {
			all.push(call())
			await sleep(everyMs)
		}
		await Promise.all(all)
	}
	proxy.resetCounters()
	const { callsPerSecond } = side
	const all = callsPerSecond === undefined ? Array.from({ length: workers }, work) : [comeIn(1_000 / callsPerSecond)]
	await sleep(runMs)
	isOver = true
	const { attempts } = proxy
	over.abort()
	await Promise.all(all)
	await pool.end()
	await proxy.close()
	return { calls, failed, attempts }
}
