/** How soon after a recovery are 1,000 parked reads answered, next to a client that is told the moment? */
import { setTimeout as sleep } from 'node:timers/promises'
import { startProxy } from '../test/support/proxy.ts'
import type { Report } from './support/report.ts'
import { median } from './support/statistics.ts'
import { openSubject, type ServerName, type Subject } from './support/subject.ts'

const rounds = 10
const reads = 1_000
const poolSize = 10
const mostRatio = 1.5
const capMs = 500
// What an attempt that is reset takes itself, on a machine that is busy.
const attemptMs = 50

/** One round: the same outage for both, one after the other. All times in milliseconds. */
interface Round {
	/** From the probe before the one that found the server to that one. */
	readonly waitMs: number
	/** The part of that wait that lay after the recovery. */
	readonly unnoticedMs: number
	readonly answeredMs: number
	readonly toldMs: number
}

export async function run(report: Report, on: ServerName): Promise<void> {
	const subject = await openSubject(on)
	try {
		report.say(`- ${subject.title} behind a proxy that resets connections for 2 to 4 s, then lets them through;`)
		report.say(
			`  ${reads} reads (\`select 1\`) on one pool of ${poolSize}. The told client is a bare pool whose reads start at that moment.`,
		)
		const all: Round[] = []
		// A first round warms up both sides and does not count.
		for (let round = 0; round <= rounds; round++) {
			// The end of the outage falls anywhere between two probes.
			const outageMs = 2_000 + 200 * round + 37 * (round % 5)
			const wrappedFirst = round % 2 === 0
			const before = wrappedFirst ? undefined : await told(subject)
			const parked = await parkedReads(subject, outageMs)
			const toldMs = before ?? (await told(subject))
			if (round > 0) all.push({ ...parked, toldMs })
			report.progress(`round ${round}: answered after ${Math.round(parked.answeredMs)} ms, told client ${Math.round(toldMs)} ms`)
		}
		const ratio = ({ answeredMs, unnoticedMs, toldMs }: Round) => (answeredMs - unnoticedMs) / toldMs
		const asWorded = ({ answeredMs, waitMs, toldMs }: Round) => answeredMs / (waitMs + mostRatio * toldMs)
		report.table(
			['round', 'wait before the probe that found it', 'of it after the recovery', 'all answered after', 'told client', 'ratio'],
			all.map((row, index) => [`${index + 1}`, row.waitMs, row.unnoticedMs, row.answeredMs, row.toldMs, ratio(row)]),
		)
		report.say('Times in ms from the recovery. The ratio leaves out only the part of the wait that lay after the recovery:')
		report.say('(all answered − of it after the recovery) / told client.')
		report.atMost('ratio to the told client, median', median(all.map(ratio)), mostRatio)
		report.atMost('all answered / (wait before the probe + 1.5 × told client), median', median(all.map(asWorded)), 1)
		report.atMost('longest wait before a probe, ms (the cap is 500)', Math.max(...all.map(({ waitMs }) => waitMs)), capMs + attemptMs)
	} finally {
		await subject.server.dispose()
	}
}

/** Parks the reads in an outage, and measures from its end until the last of them is answered. */
async function parkedReads(subject: Subject, outageMs: number): Promise<Omit<Round, 'toldMs'>> {
	const proxy = await startProxy({ target: subject.server, protocol: 'raw' })
	const pool = subject.pool({ size: poolSize, door: { host: proxy.host, port: proxy.port }, wrap: {} })
	try {
		await Promise.all(Array.from({ length: poolSize }, () => pool.linger()))
		await proxy.rejectConnections()
		proxy.resetAll()
		const answers = Promise.all(Array.from({ length: reads }, () => pool.read()))
		await sleep(outageMs)
		const accepted = proxy.accept()
		const acceptsAtMs = performance.now()
		await accepted
		const probesBefore = proxy.attemptTimes.length
		await answers
		const answeredAtMs = performance.now()
		const lastInVain = proxy.attemptTimes[probesBefore - 1] ?? Number.NaN
		const foundAtMs = proxy.attemptTimes[probesBefore] ?? Number.NaN
		return { waitMs: foundAtMs - lastInVain, unnoticedMs: foundAtMs - acceptsAtMs, answeredMs: answeredAtMs - acceptsAtMs }
	} finally {
		await pool.end()
		await proxy.close()
	}
}

/** The same reads by a bare pool that has no connection either, and is told the moment when the server accepts them. */
async function told(subject: Subject): Promise<number> {
	const proxy = await startProxy({ target: subject.server, protocol: 'raw' })
	const pool = subject.pool({ size: poolSize, door: { host: proxy.host, port: proxy.port } })
	try {
		const startedAtMs = performance.now()
		await Promise.all(Array.from({ length: reads }, () => pool.read()))
		return performance.now() - startedAtMs
	} finally {
		await pool.end()
		await proxy.close()
	}
}
