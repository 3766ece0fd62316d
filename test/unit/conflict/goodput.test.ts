/** Does the limit find out how many may run at once? A model of PostgreSQL under 32 workers, beside the same at fixed concurrencies. */
import { expect, test } from 'vitest'
import { ContendedDatabase, type DatabaseOptions } from './contended-database.ts'

const workers = 32
// The first seconds are for learning.
const fromMs = 3_000
const untilMs = 7_000

type Transact = (first: number, second: number) => Promise<void>

/** Workers that each transact again and again. Tells commits a second, and the longest that anybody took, in milliseconds. */
async function goodput(
	database: ContendedDatabase,
	hotRows: number,
	transact: Transact,
): Promise<{ perSecond: number; longestMs: number }> {
	const { clock } = database
	const began = new Map<number, number>()
	let commits = 0
	let longestMs = 0
	let over = false
	const worker = async (number: number) => {
		while (!over) {
			const first = Math.floor(clock.random() * hotRows)
			const second = (first + 1 + Math.floor(clock.random() * (hotRows - 1))) % hotRows
			began.set(number, clock.now())
			await transact(first, second)
			longestMs = Math.max(longestMs, clock.now() - (began.get(number) ?? 0))
			began.delete(number)
			if (!over && clock.now() >= fromMs) commits += 1
		}
	}
	for (let number = 0; number < workers; number++) void worker(number)
	await clock.advance(untilMs)
	over = true
	for (const beganAtMs of began.values()) longestMs = Math.max(longestMs, clock.now() - beganAtMs)
	return { perSecond: (commits * 1_000) / (untilMs - fromMs), longestMs }
}

function withTurns(hotRows: number, options?: DatabaseOptions) {
	const database = new ContendedDatabase(options, { deadlineMs: Number.POSITIVE_INFINITY })
	return goodput(database, hotRows, (first, second) =>
		database.transaction(async (tx) => {
			await tx.read()
			await tx.read()
			await tx.write(first)
			await tx.write(second)
		}),
	)
}

function atMost(most: number, hotRows: number, options?: DatabaseOptions) {
	const database = new ContendedDatabase(options)
	const waiting: (() => void)[] = []
	let running = 0
	return goodput(database, hotRows, async (first, second) => {
		if (running < most) running += 1
		else await new Promise<void>((resolve) => waiting.push(resolve))
		while (!(await once(database, first, second))) await Promise.resolve()
		const next = waiting.shift()
		if (next === undefined) running -= 1
		else next()
	})
}

async function once(database: ContendedDatabase, first: number, second: number): Promise<boolean> {
	const session = database.session()
	database.begin(session)
	try {
		await database.read(session)
		await database.read(session)
		await database.write(session, first)
		await database.write(session, second)
		await database.commit(session)
		return true
	} catch {
		await database.rollback(session)
		return false
	}
}

const readCommitted = { snapshots: false }
const farAway = { roundTripMs: 2, processors: 64 }

test.each([
	['2 hot rows', 2, {}, 1],
	['10 hot rows', 10, {}, 1],
	['100 hot rows', 100, {}, 4],
	['1,000 hot rows', 1_000, {}, 4],
	['2 hot rows, READ COMMITTED', 2, readCommitted, 1],
	['10 hot rows, READ COMMITTED', 10, readCommitted, 1],
	['100 hot rows, READ COMMITTED', 100, readCommitted, 4],
	['1,000 hot rows, far from a large server', 1_000, farAway, 16],
] as const)('at %s the goodput is near that of the best fixed concurrency', { timeout: 60_000 }, async (_what, hotRows, options, best) => {
	const ours = await withTurns(hotRows, options)
	const fixed = await atMost(best, hotRows, options)
	expect(ours.perSecond).toBeGreaterThan(0.8 * fixed.perSecond)
})

test('at 2 hot rows, which stop 32 workers dead, nobody waits much longer than the others', async () => {
	const { longestMs } = await withTurns(2)
	// 31 others and a deadlock or two, of a second each.
	expect(longestMs).toBeLessThan(2_500)
})

test('a limit that many have raised stops nobody from taking turns when a few fight', { timeout: 60_000 }, async () => {
	const database = new ContendedDatabase(farAway, { deadlineMs: Number.POSITIVE_INFINITY })
	const { clock } = database
	const work = (workers: number, hotRows: number, forMs: number) => {
		const endMs = clock.now() + forMs
		const worker = async () => {
			while (clock.now() < endMs) await transfer(database, hotRows)
		}
		for (let number = 0; number < workers; number++) void worker()
		return clock.advance(forMs)
	}
	await work(32, 2, 300)
	await work(100, 10_000, 10_000)
	expect(database.core.policy.turns.lane(undefined).limit).toBeGreaterThanOrEqual(32)
	await clock.advance(1_000)
	await work(12, 2, 5_000)
	const before = database.commits
	await work(12, 2, 5_000)
	// One at a time it is 93 a second, less what it costs to try two.
	expect((database.commits - before) / 5).toBeGreaterThan(30)
})

async function transfer(database: ContendedDatabase, hotRows: number): Promise<void> {
	const { random } = database.clock
	const first = Math.floor(random() * hotRows)
	const second = (first + 1 + Math.floor(random() * (hotRows - 1))) % hotRows
	await database.transaction(async (tx) => {
		await tx.read()
		await tx.read()
		await tx.write(first)
		await tx.write(second)
	})
}
