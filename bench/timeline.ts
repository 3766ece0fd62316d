/** How many reads are answered, and how many connections tried, before, while and after a real server is killed and started again? */
import { setTimeout as sleep } from 'node:timers/promises'
import { accidentMark } from '../test/support/leaks.ts'
import { startPostgres } from '../test/support/postgres.ts'
import { startProxy } from '../test/support/proxy.ts'
import { installPeers } from './support/peers.ts'
import { type Line, plot } from './support/plot.ts'
import type { Report } from './support/report.ts'
import { type Side, sides } from './timeline/sides.ts'

const callsPerSecond = 500
const killedAtMs = 3_000
const startedAtMs = 8_000
const endsAtMs = 16_000
const binMs = 250
const bins = endsAtMs / binMs
// What is not answered by then after the last call counts as a failure.
const patienceMs = 5_000

interface Course {
	readonly name: string
	/** For each span of time: calls that began in it, those of them that were answered, and connection attempts. */
	readonly began: readonly number[]
	readonly answered: readonly number[]
	readonly attempts: readonly number[]
	readonly accidents: number
	readonly slowestMs: number
}

export async function run(report: Report): Promise<void> {
	await installPeers()
	const server = await startPostgres()
	try {
		report.say(
			`- PostgreSQL ${server.major} (${server.source}), kill -9 after ${killedAtMs / 1_000} s, started again after ${startedAtMs / 1_000} s;`,
		)
		report.say(
			`  ${callsPerSecond} reads (\`select 1\`) a second on a pool of 10, whatever becomes of them. Attempts are counted at a proxy.`,
		)
		report.say('  Each library with its defaults. "Answered" is of the calls that began in that quarter of a second, however late.')
		const courses: Course[] = []
		for (const { name, open } of sides) {
			const course = await oneCourse(name, server, open)
			courses.push(course)
			report.progress(`${name}: ${sum(course.answered)} of ${sum(course.began)} answered, ${sum(course.attempts)} attempts`)
		}
		const rows = courses.map(({ name, began, answered, attempts, accidents, slowestMs }) => {
			const perSecond = attempts.map((_, bin) => sum(attempts.slice(bin, bin + 1_000 / binMs)))
			return [name, sum(began), sum(began) - sum(answered), slowestMs, sum(attempts), Math.max(...perSecond), accidents]
		})
		report.table(['side', 'reads', 'failed', 'slowest answer, ms', 'connection attempts', 'most in a second', 'uncaught errors'], rows)
		report.picture(
			'',
			'Share of reads answered and connection attempts over time',
			draw(courses, `PostgreSQL ${server.major}, ${callsPerSecond} reads a second, pool of 10`),
		)
		const mine = courses.find(({ name }) => name === 'Holdfast') as Course
		report.atMost('Holdfast: reads that failed', sum(mine.began) - sum(mine.answered), 0)
		// One that never tries again makes few attempts.
		const others = courses.filter((course) => course !== mine && (course.answered.at(-1) ?? 0) > 0)
		const fewest = Math.min(...others.map(({ attempts }) => sum(attempts)))
		report.atMost('Holdfast: connection attempts (the fewest of others that came back)', sum(mine.attempts), fewest)
	} finally {
		await server.dispose()
		// Not every library ends its pool after that: it would keep this process for ever. This is why it is the last of the benches.
		setTimeout(() => process.exit(), 1_000).unref()
	}
}

async function oneCourse(
	name: string,
	server: Awaited<ReturnType<typeof startPostgres>>,
	open: (typeof sides)[number]['open'],
): Promise<Course> {
	const proxy = await startProxy({ target: server })
	const accidents = accidentMark()
	const side = await open({ host: proxy.host, port: proxy.port })
	try {
		await Promise.all(Array.from({ length: 20 }, () => side.read()))
		const beganAtMs = performance.now()
		const faults = (async () => {
			await sleep(killedAtMs)
			await server.kill()
			await sleep(Math.max(0, startedAtMs - (performance.now() - beganAtMs)))
			await server.start()
		})()
		const load = await callSteadily(side, beganAtMs)
		await faults
		const attempts = new Array<number>(bins).fill(0)
		for (const at of proxy.attemptTimes) add(attempts, at - beganAtMs)
		return { name, ...load, attempts, accidents: accidents.accidents.length }
	} finally {
		await Promise.race([side.end().catch(() => {}), sleep(patienceMs)])
		accidents.stop()
		await proxy.close()
	}
}

async function callSteadily(side: Side, beganAtMs: number): Promise<Pick<Course, 'began' | 'answered' | 'slowestMs'>> {
	const began = new Array<number>(bins).fill(0)
	const answered = new Array<number>(bins).fill(0)
	let slowestMs = 0
	const calls: Promise<void>[] = []
	for (let nowMs = 0; nowMs < endsAtMs; nowMs = performance.now() - beganAtMs) {
		while ((calls.length * 1_000) / callsPerSecond <= nowMs) {
			const atMs = performance.now() - beganAtMs
			add(began, atMs)
			const read = side.read().then(
				() => {
					add(answered, atMs)
					slowestMs = Math.max(slowestMs, performance.now() - beganAtMs - atMs)
				},
				() => {},
			)
			calls.push(read)
		}
		await sleep(2)
	}
	await Promise.race([Promise.all(calls), sleep(patienceMs)])
	return { began, answered, slowestMs }
}

function draw(courses: readonly Course[], setting: string): string {
	const bands = [{ fromX: killedAtMs / 1_000, toX: startedAtMs / 1_000, name: 'server killed' }]
	const lines = (values: (course: Course) => readonly number[]): Line[] =>
		courses.map((course) => ({
			name: course.name,
			points: values(course).map((value, bin) => [((bin + 0.5) * binMs) / 1_000, value] as const),
		}))
	return plot({
		title: 'kill -9 and restart: who answers, and who hammers',
		description: courses
			.map(
				({ name, began, answered, attempts }) =>
					`${name}: ${sum(began) - sum(answered)} of ${sum(began)} reads failed, ${sum(attempts)} connection attempts.`,
			)
			.join(' '),
		setting,
		xTitle: 'seconds',
		main: 'Holdfast',
		panels: [
			{
				title: 'share of the reads that began then and were answered, %',
				lines: lines(({ began, answered }) => began.map((count, bin) => (count === 0 ? 100 : (100 * (answered[bin] ?? 0)) / count))),
				bands,
			},
			{
				title: 'connection attempts a second',
				yLog: true,
				lines: lines(({ attempts }) => attempts.map((count) => (count * 1_000) / binMs)),
				bands,
			},
		],
	})
}

function add(counts: number[], atMs: number): void {
	const bin = Math.min(bins - 1, Math.floor(atMs / binMs))
	if (bin >= 0) counts[bin] = (counts[bin] ?? 0) + 1
}

const sum = (values: readonly number[]) => values.reduce((total, value) => total + value, 0)
