/** Is everybody served or told when all packets vanish for 30 s in the middle of 50 calls, and is a query that takes 60 s left alone? */
import { setTimeout as sleep } from 'node:timers/promises'
import { DeadlineError, InDoubtError, type PoolOptions } from 'holdfast'
import { type FaultProxy, startProxy } from '../test/support/proxy.ts'
import { until } from '../test/support/until.ts'
import type { Report } from './support/report.ts'
import { type BenchPool, openSubject, type ServerName, type Subject } from './support/subject.ts'

const callers = 50
const poolSize = 10
const holeMs = 30_000
const longMs = 60_000
// What the option promises by default.
const detectionMs = 5_000
// A call that has waited for as long as the hole and its deadline take will never end.
const hangsAfterMs = 75_000

const texts = {
	postgres: { write: (id: number) => `insert into counter select ${id}, 0 from (select pg_sleep(0.1)) slept`, long: 'select pg_sleep(60)' },
	mysql: { write: (id: number) => `insert into counter select ${id}, 0 * sleep(0.1)`, long: 'select sleep(60)' },
	mariadb: { write: (id: number) => `insert into counter select ${id}, 0 * sleep(0.1)`, long: 'select sleep(60)' },
} as const satisfies Record<ServerName, object>

/** A hole, and what can still be reached in it. */
interface Hole {
	readonly name: string
	readonly options: PoolOptions
	/** Begins it; what it returns ends it. */
	dig(proxy: FaultProxy): Promise<() => void>
	/** Whether those who can wait are served within the detection time. */
	readonly isLocal: boolean
}

const swallowAll = async (proxy: FaultProxy) => {
	proxy.swallow('both', true)
	return () => proxy.swallow('both', false)
}

const holes: readonly Hole[] = [
	{
		name: 'the links that are there, for good',
		options: {},
		isLocal: true,
		async dig(proxy) {
			proxy.swallow('both', true)
			await sleep(500)
			// Links that have lost something stay as they are; new ones pass.
			proxy.swallow('both', false)
			return () => {}
		},
	},
	{ name: 'everything, for 30 s', options: {}, isLocal: false, dig: swallowAll },
	{ name: 'everything, for 30 s; deadlineMs: 5,000', options: { deadlineMs: detectionMs }, isLocal: true, dig: swallowAll },
]

/** How one call has ended, in milliseconds since the hole began. */
interface End {
	readonly how: 'served' | 'told: in doubt' | 'told: deadline' | 'told: other' | 'hangs'
	readonly atMs: number
}

export async function run(report: Report, on: ServerName): Promise<void> {
	const subject = await openSubject(on)
	const proxy = await startProxy({ target: subject.server, protocol: subject.protocol })
	await subject.layOutCounters(1)
	try {
		report.say(`- ${subject.title}; a pool of ${poolSize}, all options at their defaults unless said otherwise`)
		report.say(`- ${callers} calls at a time, every other one a write, each 0.1 s long; the hole begins while they run`)
		const rows: (string | number)[][] = []
		let firstId = 1_000
		for (const hole of holes) {
			rows.push(...(await through(hole, subject, proxy, on, firstId, report)))
			firstId += 1_000
		}
		report.table(['what vanishes', 'how calls end', 'calls', 'first, s after the beginning', 'last, s'], rows)
		await leftAlone(subject, on, report)
	} finally {
		await proxy.close()
		await subject.server.dispose()
	}
}

async function through(
	hole: Hole,
	subject: Subject,
	proxy: FaultProxy,
	on: ServerName,
	firstId: number,
	report: Report,
): Promise<(string | number)[][]> {
	const pool = subject.pool({ size: poolSize, door: { host: proxy.host, port: proxy.port }, wrap: hole.options })
	await Promise.all(Array.from({ length: poolSize }, () => pool.linger()))
	let beganAtMs = Number.NaN
	const calls = Array.from({ length: callers }, (_, index) => {
		const call = index % 2 === 0 ? pool.linger() : pool.query(texts[on].write(firstId + index))
		return endOf(call, () => performance.now() - beganAtMs)
	})
	await sleep(150)
	const before = pool.stats().halfOpen
	beganAtMs = performance.now()
	const fill = await hole.dig(proxy)
	const found = until(() => pool.stats().halfOpen - before === poolSize, {
		what: 'all links to be found dead',
		timeoutMs: hangsAfterMs,
	}).then(() => performance.now() - beganAtMs)
	const filled = sleep(hole.isLocal && hole.options.deadlineMs === undefined ? 0 : holeMs).then(fill)
	const ends = await Promise.all(calls)
	const foundMs = await found
	await filled
	report.progress(`${hole.name}: all links found dead after ${Math.round(foundMs)} ms`)
	report.atMost(`${hole.name}: s until all dead links were found`, foundMs / 1_000, detectionMs / 1_000)
	report.atMost(`${hole.name}: calls that hang`, ends.filter(({ how }) => how === 'hangs').length, 0)
	const bound = hole.isLocal ? ends : ends.filter(({ how }) => how === 'told: in doubt')
	const last = Math.max(...bound.map(({ atMs }) => atMs))
	report.atMost(
		`${hole.name}: s until ${hole.isLocal ? 'the last call was served or told' : 'the last write in doubt was told'}`,
		last / 1_000,
		5,
	)
	proxy.resetAll()
	await pool.end()
	const hows = [...new Set(ends.map(({ how }) => how))].sort()
	return hows.map((how) => {
		const times = ends.filter((end) => end.how === how).map(({ atMs }) => atMs / 1_000)
		return [hole.name, how, times.length, Math.min(...times).toFixed(1), Math.max(...times).toFixed(1)]
	})
}

async function endOf(call: Promise<unknown>, sinceMs: () => number): Promise<End> {
	const hung = new AbortController()
	const ended = call.then(
		() => 'served' as const,
		(error: unknown) => {
			if (error instanceof InDoubtError) return 'told: in doubt' as const
			return error instanceof DeadlineError ? ('told: deadline' as const) : ('told: other' as const)
		},
	)
	const hangs = sleep(hangsAfterMs, 'hangs' as const, { signal: hung.signal }).catch(() => 'hangs' as const)
	const how = await Promise.race([ended, hangs])
	hung.abort()
	// Those that were served before the hole began count from its beginning.
	return { how, atMs: Math.max(0, sinceMs() || 0) }
}

async function leftAlone(subject: Subject, on: ServerName, report: Report): Promise<void> {
	const pool: BenchPool = subject.pool({ size: poolSize, wrap: {} })
	const beganAtMs = performance.now()
	await pool.query(texts[on].long)
	const tookMs = performance.now() - beganAtMs
	const { attempts, halfOpen, endpoint } = pool.stats()
	report.say(
		`A query of ${longMs / 1_000} s on a healthy link took ${(tookMs / 1_000).toFixed(1)} s; the server was asked after it ${endpoint.connectAttempts - 1} times.`,
	)
	report.atMost('a query of 60 s: attempts', attempts, 1)
	report.atMost('a query of 60 s: links cut', halfOpen, 0)
	report.atLeast('a query of 60 s: looks', endpoint.connectAttempts - 1, 10)
	await pool.end()
}
