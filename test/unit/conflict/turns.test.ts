/** Who may run when transactions conflict, in which order, and what ends a wait for a turn? */
import { expect, test } from 'vitest'
import { Call } from '../../../src/call.ts'
import type { Turns } from '../../../src/conflict/turns.ts'
import { DeadlineError, HoldfastError } from '../../../src/errors.ts'
import type { FaultKind } from '../../../src/fault.ts'
import { type Stage, stage } from '../outage/stage.ts'

/** A transaction that asks for its turn, has it, and ends as it is told. */
class Contender {
	losses = 0
	runs = 0
	error: unknown
	/** How long its statements may wait for a lock. */
	lockWaitMs: number | undefined
	#startedAtMs: number | undefined
	#running = false
	#timesCutShort = 0
	readonly #set: Stage
	readonly #label: string | undefined
	readonly #call: Call

	constructor(
		set: Stage,
		{ label, pool = 0, ...own }: { label?: string | undefined; pool?: number; deadlineMs?: number; signal?: AbortSignal } = {},
	) {
		this.#set = set
		this.#label = label
		this.#call = new Call((set.pools[pool] ?? set.pool).core.policy, own)
		void this.ask()
	}

	get running(): boolean {
		return this.#running
	}

	get #turns(): Turns {
		return this.#set.pool.core.policy.turns
	}

	async ask(): Promise<void> {
		const lane = this.#turns.lane(this.#label)
		try {
			if (!this.#turns.enter(lane, this.losses)) await this.#call.turn(lane, this.losses)
		} catch (error) {
			this.error = error
			return
		}
		this.#startedAtMs = lane.narrow ? this.#set.clock.now() : undefined
		this.lockWaitMs = lane.begin(this.#timesCutShort, false)
		this.#running = true
		this.runs += 1
		this.#turns.connected(lane)
	}

	end(how: FaultKind | 'committed'): void {
		this.#running = false
		const { losses, lockWaitMs } = this
		this.#turns.leave(this.#turns.lane(this.#label), { losses, lockWaitMs, startedAtMs: this.#startedAtMs, how })
		if (how === 'lock_timeout') this.#timesCutShort += 1
		if (how !== 'committed') this.losses += 1
	}

	lose(how: FaultKind = 'serialization_failure'): void {
		this.end(how)
		void this.ask()
	}
}

const running = (contenders: readonly Contender[]) => contenders.filter((each) => each.running).length

/** Has transactions lose until turns are taken. */
async function narrowed(set: Stage, label?: string): Promise<void> {
	const all = Array.from({ length: 6 }, () => new Contender(set, { label }))
	await set.clock.advance(100)
	for (const each of all) each.end('serialization_failure')
	expect(set.pool.core.policy.turns.lane(label).narrow).toBe(true)
}

test('where nobody has lost nobody waits, however many begin at once on an endpoint that is new, and no timer is set', async () => {
	const set = stage()
	const all = Array.from({ length: 100 }, () => new Contender(set))
	expect(running(all)).toBe(100)
	set.expectQuiet()
})

test('those that lose take turns, one at a time, across the pools of the endpoint', async () => {
	const set = stage({ pools: 2 })
	await narrowed(set)
	const all = Array.from({ length: 10 }, (_, number) => new Contender(set, { pool: number % 2 }))
	await set.clock.advance(1)
	expect(running(all)).toBe(1)
	for (let turn = 0; turn < 10; turn++) {
		all.find((each) => each.running)?.end('committed')
		await set.clock.advance(1)
		expect(running(all)).toBe(turn < 9 ? 1 : 0)
	}
	expect(all.map(({ runs }) => runs)).toEqual(all.map(() => 1))
})

test('turns are first come, first served, but those that have lost go before those that have not', async () => {
	const set = stage()
	await narrowed(set)
	const [first, second, third] = [new Contender(set), new Contender(set), new Contender(set)]
	await set.clock.advance(1)
	expect([first, second, third].map((each) => each.running)).toEqual([true, false, false])
	first.lose()
	await set.clock.advance(1)
	// The place was free for a moment, and the second was next in the line.
	expect([first, second, third].map((each) => each.running)).toEqual([false, true, false])
	second.end('committed')
	await set.clock.advance(1)
	expect([first, second, third].map((each) => each.running)).toEqual([true, false, false])
})

test('a transaction that has lost five times runs alone: nobody is let in before it has ended', async () => {
	const set = stage()
	const others = Array.from({ length: 3 }, () => new Contender(set))
	const unlucky = new Contender(set)
	// Among many that do not lose, one that does is no reason for turns.
	for (let loss = 0; loss < 4; loss++) {
		unlucky.lose()
		for (let each = 0; each < 200; each++) new Contender(set).end('committed')
	}
	await set.clock.advance(1)
	unlucky.lose()
	await set.clock.advance(1)
	const late = new Contender(set)
	await set.clock.advance(1)
	expect([unlucky.running, late.running]).toEqual([false, false])
	for (const each of others) each.end('committed')
	await set.clock.advance(1)
	expect([unlucky.running, late.running]).toEqual([true, false])
	unlucky.end('committed')
	await set.clock.advance(1)
	expect(late.running).toBe(true)
	late.end('committed')
	set.expectQuiet()
})

test('it runs alone too where nobody else ran when it asked', async () => {
	const set = stage()
	const unlucky = new Contender(set)
	for (let loss = 0; loss < 5; loss++) {
		for (let each = 0; each < 200; each++) new Contender(set).end('committed')
		if (loss < 4) unlucky.lose()
	}
	await set.clock.advance(1)
	unlucky.lose()
	const late = new Contender(set)
	await set.clock.advance(1)
	expect([unlucky.losses, unlucky.running, late.running]).toEqual([5, true, false])
	unlucky.end('committed')
	await set.clock.advance(1)
	expect(late.running).toBe(true)
	late.end('committed')
	set.expectQuiet()
})

test("who is let in because another one's wait has ended with the pool waits no more, and nothing is left behind", async () => {
	const set = stage()
	const other = new Contender(set)
	const unlucky = new Contender(set)
	for (let loss = 0; loss < 5; loss++) {
		for (let each = 0; each < 200; each++) new Contender(set).end('committed')
		unlucky.lose()
	}
	const late = new Contender(set)
	await set.clock.advance(1)
	const { turns } = set.pool.core.policy
	expect([unlucky.running, late.running, turns.waiting]).toEqual([false, false, 2])
	set.pool.core.end()
	await set.clock.advance(1)
	expect(turns.waiting).toBe(0)
	for (const each of [other, late]) if (each.running) each.end('committed')
	await set.clock.advance(1)
	set.expectQuiet()
})

test.each(['deadline', 'signal', "the pool's end"])('a wait for a turn ends by %s', async (what) => {
	const set = stage()
	await narrowed(set)
	const holder = new Contender(set)
	const abort = new AbortController()
	const waiting = new Contender(set, { deadlineMs: what === 'deadline' ? 700 : 20_000, signal: abort.signal })
	await set.clock.advance(699)
	expect([waiting.running, waiting.error]).toEqual([false, undefined])
	if (what === 'signal') abort.abort(new Error('enough'))
	else if (what !== 'deadline') set.pool.core.end()
	await set.clock.advance(1)
	if (what === 'signal') expect(waiting.error).toMatchObject({ message: 'enough' })
	else if (what === 'deadline') expect(waiting.error).toBeInstanceOf(DeadlineError)
	else expect(waiting.error).toBeInstanceOf(HoldfastError)
	holder.end('committed')
	await set.clock.advance(10)
	set.expectQuiet()
	expect(set.pool.core.policy.turns.waiting).toBe(0)
})

test('where nothing moves one more is let in after a while, so that what waits for one that waits comes to its end', async () => {
	const set = stage()
	await narrowed(set)
	const outer = new Contender(set)
	const inner = new Contender(set)
	const other = new Contender(set)
	await set.clock.advance(1_499)
	expect([outer.running, inner.running]).toEqual([true, false])
	await set.clock.advance(1)
	expect([inner.running, other.running]).toEqual([true, false])
	await set.clock.advance(1_500)
	expect(other.running).toBe(true)
})

test('in an outage nobody waits for a turn: the gate knows what to tell them', async () => {
	const set = stage()
	await narrowed(set)
	const before = Array.from({ length: 3 }, () => new Contender(set))
	set.server.manner = 'refuses'
	set.pool.ask({ deadlineMs: 60_000 })
	await set.clock.advance(10)
	expect(set.endpoint.state).toBe('down')
	const after = new Contender(set)
	expect(after.running).toBe(true)
	await set.clock.advance(1_500)
	expect(running(before)).toBe(3)
})

test('transactions with one label take turns among themselves, and hold up nobody else', async () => {
	const set = stage()
	await narrowed(set, 'transfer')
	const transfers = Array.from({ length: 4 }, () => new Contender(set, { label: 'transfer' }))
	const others = Array.from({ length: 4 }, () => new Contender(set))
	await set.clock.advance(1)
	expect([running(transfers), running(others)]).toEqual([1, 4])
})

test('when nobody has lost or waited for a while, nobody takes turns any more', async () => {
	const set = stage()
	await narrowed(set)
	const lane = set.pool.core.policy.turns.lane(undefined)
	for (let each = 0; each < 600 && lane.narrow; each++) {
		const one = new Contender(set)
		await set.clock.advance(1)
		one.end('committed')
	}
	expect(lane.narrow).toBe(false)
	set.expectQuiet()
})

test('somebody who waits among stuck transactions of one label is let in, however busy the others are', async () => {
	const set = stage()
	await narrowed(set, 'nested')
	const outer = new Contender(set, { label: 'nested' })
	const inner = new Contender(set, { label: 'nested' })
	for (let each = 0; each < 16; each++) {
		const other = new Contender(set)
		await set.clock.advance(100)
		other.end('committed')
	}
	expect([outer.running, inner.running]).toEqual([true, true])
})

test('one that takes a minute keeps its place from the others for a moment only', async () => {
	const set = stage()
	await narrowed(set)
	const slow = new Contender(set)
	const others = Array.from({ length: 40 }, () => new Contender(set))
	await set.clock.advance(1_500)
	for (let turn = 0; turn < others.length; turn++) {
		expect(others.filter((each) => each.running)).toHaveLength(1)
		others.find((each) => each.running)?.end('committed')
		await set.clock.advance(1)
	}
	expect(slow.running).toBe(true)
	// Its place is one place still.
	slow.end('committed')
	const late = Array.from({ length: 2 }, () => new Contender(set))
	await set.clock.advance(1)
	expect(running(late)).toBe(1)
})

test('a raise that was put off is made at once when nobody waits any more, and leaves nothing behind', async () => {
	const set = stage({ random: () => 0.9 })
	await narrowed(set)
	const all = Array.from({ length: 3 }, () => new Contender(set))
	for (const [turn, takesMs] of [300, 10, 10].entries()) {
		await set.clock.advance(takesMs)
		all[turn]?.end('committed')
		await set.clock.advance(0)
	}
	expect(all.map(({ runs }) => runs)).toEqual([1, 1, 1])
	set.expectQuiet()
})

test.each(['committed', 'permanent'] as const)(
	'the time between two bursts counts for nothing, however the last one has ended (%s)',
	async (last) => {
		const set = stage()
		await narrowed(set)
		let workedMs = 0
		for (let burst = 0; burst < 60; burst++) {
			const all = Array.from({ length: 20 }, () => new Contender(set))
			for (let left = all.length; left > 0; workedMs += 5) {
				await set.clock.advance(5)
				for (const each of all.filter(({ running }) => running)) {
					left -= 1
					each.end(left > 0 ? 'committed' : last)
				}
			}
			await set.clock.advance(5_000)
		}
		// One at a time it is 100 ms.
		expect(workedMs / 60).toBeLessThan(20)
	},
)
