/** Does the simulated fleet behave as a real one would, and the same way every time? Small fleets, so that it takes seconds. */
import { expect, test } from 'vitest'
import { measure } from '../../bench/fleet/measure.ts'
import { picture } from '../../bench/fleet/picture.ts'
import { type Scenario, type Series, simulate } from '../../bench/fleet/run.ts'
import { crash, metastable } from '../../bench/fleet/scenarios.ts'
import { leastPossible, ours, theirs } from '../../bench/fleet/sides.ts'

// A crash of the same shape on a server a hundred times smaller, so that a hundred processes are to it what ten thousand are to the large one.
const small: Scenario = {
	...crash,
	capacity: { ...crash.capacity, connectsPerSecond: 20, backlog: 41, sessions: 200, queriesPerSecond: 100 },
	callsPerSecond: 50,
}
const processes = 100
const all = [leastPossible(small), ...theirs, ours]

const total = (values: readonly number[]) => values.reduce((sum, value) => sum + value, 0)
const fixed = theirs.find(({ name }) => name === 'fixed 100 ms') as (typeof theirs)[number]

test.each(all)('$name: the same seed gives the same figures, another seed gives others', async (kind) => {
	const once = await simulate(small, kind, processes, 1)
	expect(await simulate(small, kind, processes, 1)).toEqual(once)
	expect(await simulate(small, kind, processes, 2)).not.toEqual(once)
})

test('the same seed gives the same bytes of a picture', async () => {
	const draw = async () =>
		picture(small, [{ name: ours.name, series: await simulate(small, ours, processes, 1) }], 'title', 'setting', 'description')
	expect(await draw()).toBe(await draw())
})

test.each(all)(
	'$name: every call is answered, fails or still waits, and no process leaves more connections than the server has room for',
	async (kind) => {
		const series = await simulate(small, kind, processes, 1)
		const calls = ((small.toMs - small.fromMs - small.rampMs / 2) / 1_000) * small.callsPerSecond
		expect(Math.abs(total(series.answered) + total(series.failed) + (series.waiting.at(-1) as number) - calls)).toBeLessThanOrEqual(1)
		expect(Math.max(...series.sessions)).toBeLessThanOrEqual(small.capacity.sessions)
	},
)

test('nobody is answered between the crash and the recovery, and the server takes no more logins than it can', async () => {
	const series = await simulate(small, ours, processes, 1)
	const spans = (fromMs: number, toMs: number, of: keyof Pick<Series, 'answered' | 'sessions'>) =>
		series[of].slice((fromMs - series.fromMs) / 250, (toMs - series.fromMs) / 250)
	expect(total(spans(0, 8_000, 'answered'))).toBe(0)
	const grown = spans(8_000, 20_000, 'sessions').map((now, span, before) => now - (before[span - 1] ?? 0))
	expect(Math.max(...grown)).toBeLessThanOrEqual(small.capacity.connectsPerSecond / 4 + 1)
})

test('a process under Holdfast has one connection attempt under way at a time while the server is down', async () => {
	const one = await simulate({ ...small, callsPerSecond: 20 }, ours, 1, 1)
	const { attempts, fromMs } = one
	const down = attempts.slice(-fromMs / 250, (4_000 - fromMs) / 250)
	// 25 ms doubling to 500: six in the first second and a half, and then one each 375 to 500 ms.
	expect(total(down)).toBeLessThanOrEqual(16)
	expect(Math.max(...down.slice(8))).toBeLessThanOrEqual(1)
})

test('Holdfast is as soon back as is possible, and asks less of the server than a fixed wait does', async () => {
	const finding = async (kind: (typeof all)[number]) => measure(await simulate(small, kind, processes, 1), small)
	const [mine, least, hammering] = [await finding(ours), await finding(leastPossible(small)), await finding(fixed)]
	expect(mine.backMs).toBeLessThanOrEqual(1.3 * least.backMs + 250)
	expect(mine.atTheEnd).toBeGreaterThan(0.95)
	expect(mine.peakAfter).toBeLessThan(hammering.peakAfter / 4)
	expect(mine.attempts).toBeLessThan(hammering.attempts / 3)
})

// A fifth of the processes on a fifth of the server.
const slow: Scenario = {
	...metastable,
	capacity: { ...metastable.capacity, connectsPerSecond: 80, backlog: 82, sessions: 400, queriesPerSecond: 200 },
	callsPerSecond: 120,
}

test.each([...theirs, ours])('$name: before the server becomes slow everybody is answered', async (kind) => {
	const { answered, failed, fromMs } = await simulate({ ...slow, toMs: 0 }, kind, 20, 1)
	const calm = answered.slice((-10_000 - fromMs) / 250)
	expect(total(calm)).toBeGreaterThan(0.98 * 10 * slow.callsPerSecond)
	expect(total(failed)).toBe(0)
})

test('five slow seconds bring the others down for good, and Holdfast is back with all its callers', async () => {
	const finding = async (kind: (typeof all)[number]) => measure(await simulate(slow, kind, 20, 1), slow)
	for (const kind of theirs) expect([kind.name, (await finding(kind)).atTheEnd < 0.5]).toEqual([kind.name, true])
	const mine = await finding(ours)
	expect(mine.atTheEnd).toBeGreaterThanOrEqual(0.95)
	expect(mine.failed).toBe(0)
	expect(mine.backMs).toBeLessThanOrEqual(3_000)
})
