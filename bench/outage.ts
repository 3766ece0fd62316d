/** How many connection attempts do 1,000 callers on 3 pools make in an outage of 5 s? */
import { setTimeout as sleep } from 'node:timers/promises'
import { accidentMark } from '../test/support/leaks.ts'
import { type FaultProxy, startProxy } from '../test/support/proxy.ts'
import { installPeers, peer } from './support/peers.ts'
import type { Report } from './support/report.ts'
import { type BenchPool, type BenchServer, openSubject, type PoolWish, type ServerName, type Subject } from './support/subject.ts'
import type { Cell } from './support/table.ts'

const callers = 1_000
const pools = 3
const poolSize = 10
const outageMs = 5_000
const mostInFlight = 1
const mostInAll = 20

/** How one side treats a pool, and a call on it. */
interface Side {
	readonly name: string
	readonly wish: Pick<PoolWish, 'wrap'>
	read(pool: BenchPool): Promise<unknown>
}

/** How the server goes away and comes back. The proxy listens all the time, so every attempt is counted. */
interface Outage {
	readonly name: string
	begin(server: BenchServer, proxy: FaultProxy): Promise<void>
	end(server: BenchServer, proxy: FaultProxy): Promise<void>
}

// A proxy that resets at once would never see two attempts at a time, however many there are.
const resetEveryMs = 50
let resetting: NodeJS.Timeout | undefined

const outages: readonly Outage[] = [
	{
		name: 'connections are reset, a moment after they are made',
		async begin(_server, proxy) {
			await proxy.hangConnections()
			proxy.resetAll()
			resetting = setInterval(() => proxy.resetAll(), resetEveryMs)
		},
		async end(_server, proxy) {
			clearInterval(resetting)
			proxy.resetAll()
			await proxy.accept()
		},
	},
	{ name: 'kill -9 of the server', begin: (server) => server.kill(), end: (server) => server.start() },
]

export async function run(report: Report, on: ServerName): Promise<void> {
	await installPeers()
	const { default: pRetry } = await peer('p-retry')
	const bareRead = (pool: BenchPool) => pool.read()
	const sides: readonly Side[] = [
		{ name: 'holdfast', wish: { wrap: {} }, read: bareRead },
		{ name: 'bare pool', wish: {}, read: bareRead },
		{ name: 'p-retry around it', wish: {}, read: (pool) => pRetry(() => bareRead(pool)) },
	]
	const subject = await openSubject(on)
	try {
		report.say(`- ${subject.title}; ${callers} callers on ${pools} pools of ${poolSize}, one read each,`)
		report.say('  called at the start of the outage. Attempts are counted at a proxy that listens all the time. p-retry with its defaults.')
		const rows: Cell[][] = []
		for (const outage of outages) {
			for (const side of sides) {
				const row = await measure(subject, outage, side)
				rows.push([outage.name, side.name, row.maxInFlight, row.attempts, row.errors, row.accidents, row.lastAnswerMs])
				report.progress(`${outage.name}, ${side.name}: ${row.attempts} attempts`)
				if (side.name !== 'holdfast') continue
				report.atMost(`${outage.name}: attempts in flight`, row.maxInFlight, mostInFlight)
				report.atMost(`${outage.name}: attempts in all`, row.attempts, mostInAll)
				report.atMost(`${outage.name}: errors that reached a caller`, row.errors, 0)
				report.atMost(`${outage.name}: rejections and exceptions that nobody caught`, row.accidents, 0)
			}
		}
		const heads = [
			'outage',
			'side',
			'attempts in flight, most',
			'attempts in all',
			'errors to callers',
			'uncaught',
			'end to last answer, ms',
		]
		report.table(heads, rows)
	} finally {
		await subject.server.dispose()
	}
}

async function measure(subject: Subject, outage: Outage, side: Side) {
	const { server, protocol } = subject
	const proxy = await startProxy({ target: server, protocol })
	const accidents = accidentMark()
	const door = { host: proxy.host, port: proxy.port }
	const all = Array.from({ length: pools }, () => subject.pool({ size: poolSize, door, ...side.wish }))
	try {
		// An application in full swing: every pool has all its connections.
		await Promise.all(all.flatMap((pool) => Array.from({ length: poolSize }, () => pool.linger())))
		await outage.begin(server, proxy)
		proxy.resetCounters()
		let errors = 0
		let lastAnswerAtMs = 0
		const asked = Promise.all(
			Array.from({ length: callers }, async (_, caller) => {
				await side.read(all[caller % pools] as BenchPool).catch(() => {
					errors += 1
				})
				lastAnswerAtMs = performance.now()
			}),
		)
		await sleep(outageMs)
		const { attempts, maxInFlightAttempts: maxInFlight } = proxy
		const endedAtMs = performance.now()
		await outage.end(server, proxy)
		await asked
		return { maxInFlight, attempts, errors, accidents: accidents.accidents.length, lastAnswerMs: Math.max(0, lastAnswerAtMs - endedAtMs) }
	} finally {
		await Promise.all(all.map((pool) => pool.end()))
		accidents.stop()
		await proxy.close()
	}
}
