/** Are retries at most the promised share of the traffic, and the floor always there? */
import { expect, test } from 'vitest'
import { RetryBudget } from '../../../src/outage/retry-budget.ts'

/** Takes as many tokens as there are at this moment. */
function drain(budget: RetryBudget, nowMs: number): number {
	let taken = 0
	while (budget.take(nowMs)) taken += 1
	return taken
}

test('a new budget holds what its floor grants in five seconds, and never more than that while nothing is called', () => {
	const budget = new RetryBudget(undefined, 0)
	expect(drain(budget, 0)).toBe(50)
	expect(drain(budget, 0)).toBe(0)
	expect(drain(budget, 1_000)).toBe(10)
	expect(drain(budget, 3_600_000)).toBe(50)
})

test('with much traffic one retry is allowed for five calls, and the floor does not come on top', () => {
	const budget = new RetryBudget(undefined, 0)
	drain(budget, 0)
	let taken = 0
	for (let nowMs = 100; nowMs <= 10_000; nowMs += 100) {
		budget.calls += 100
		taken += drain(budget, nowMs)
	}
	// 10,000 calls.
	expect(taken).toBeGreaterThanOrEqual(1_990)
	expect(taken).toBeLessThanOrEqual(2_000)
})

test('in half a minute of failures retries stay below a quarter of the traffic, whatever was saved before', () => {
	const budget = new RetryBudget(undefined, 0)
	for (let nowMs = 10; nowMs <= 60_000; nowMs += 10) {
		budget.calls += 10
		budget.take(nowMs)
	}
	let taken = 0
	for (let nowMs = 60_010; nowMs <= 90_000; nowMs += 10) {
		budget.calls += 10
		taken += drain(budget, nowMs)
	}
	expect(taken / 30_000).toBeLessThan(0.25)
	expect(taken / 30_000).toBeGreaterThan(0.19)
})

test('calls of long ago count as the rate that they came at, not as a fortune', () => {
	const budget = new RetryBudget(undefined, 0)
	drain(budget, 0)
	budget.calls = 360_000
	// 100 calls a second for an hour, kept for five seconds.
	expect(Math.abs(drain(budget, 3_600_000) - 100)).toBeLessThanOrEqual(1)
})

test('who finds no token waits for one, in order, and not beyond its deadline', () => {
	const budget = new RetryBudget(undefined, 0)
	drain(budget, 0)
	expect([0, 1, 2].map(() => budget.reserve('statement', 0, 1_000))).toEqual([100, 200, 300])
	expect(budget.reserve('statement', 0, 400)).toBeUndefined()
	expect(budget.reserve('statement', 0, 401)).toBe(400)
	// Nobody overtakes them.
	expect(budget.take(350)).toBe(false)
	expect(drain(budget, 1_400)).toBe(10)
})

test('traffic pays for those who wait before anybody else', () => {
	const budget = new RetryBudget(undefined, 0)
	drain(budget, 0)
	for (let retry = 0; retry < 20; retry++) budget.reserve('statement', 0, 60_000)
	budget.calls = 150
	expect(drain(budget, 1)).toBe(10)
})

test('share and floor are what the user says', () => {
	const budget = new RetryBudget({ ratio: 0.5, minPerSecond: 0 }, 0)
	expect(budget.reserve('statement', 0, 60_000)).toBeUndefined()
	budget.calls = 10
	expect(drain(budget, 1)).toBe(5)
})

test('a budget that is off says yes to everything', () => {
	const budget = new RetryBudget(false, 0)
	for (let retry = 0; retry < 1_000; retry++) expect(budget.reserve('statement', 0, 1)).toBe(0)
})

/** Somebody gets through, and the next attempt fails. */
function flap(budget: RetryBudget, nowMs: number): boolean {
	budget.opened(nowMs)
	return budget.mayConnectAgain('connection_lost', nowMs)
}

test('in an outage an attempt to connect costs nothing; while others get through, as many a minute are made again as reruns a second', () => {
	const budget = new RetryBudget(undefined, 0)
	for (let attempt = 0; attempt < 1_000; attempt++) expect(budget.mayConnectAgain('connection_refused', 10_000)).toBe(true)
	expect(Array.from({ length: 20 }, () => flap(budget, 20_100)).filter(Boolean)).toHaveLength(5)
	// A server that is full, or starting, says that waiting helps.
	expect(budget.mayConnectAgain('too_many_connections', 20_100)).toBe(true)
	expect(budget.mayConnectAgain('starting_up', 20_100)).toBe(true)
	expect(budget.mayConnectAgain('connection_refused', 21_101)).toBe(true)
	expect(Array.from({ length: 20 }, () => flap(budget, 32_101)).filter(Boolean)).toHaveLength(2)
	expect(Array.from({ length: 20 }, () => flap(budget, 3_600_000)).filter(Boolean)).toHaveLength(5)
})

test('a lone caller gets through any number of restarts in a row: an outage that lasts gets its token back', () => {
	const budget = new RetryBudget(undefined, 0)
	for (let nowMs = 0; nowMs < 100 * 300; nowMs += 300) {
		budget.calls += 1
		expect(flap(budget, nowMs)).toBe(true)
	}
})

test('however many attempts fail before somebody gets through again, they are one outage and paid for once', () => {
	const budget = new RetryBudget(undefined, 0)
	budget.opened(1_000)
	for (let attempt = 0; attempt < 1_000; attempt++) expect(budget.mayConnectAgain('connection_lost', 1_100)).toBe(true)
})

test('reruns that wait for their tokens take none from those who connect', () => {
	const budget = new RetryBudget(undefined, 0)
	for (let rerun = 0; rerun < 200; rerun++) budget.reserve('statement', 0, 60_000)
	budget.opened(0)
	expect(budget.mayConnectAgain('connection_lost', 1)).toBe(true)
})

test('who leaves before its token came leaves it to the others', () => {
	const budget = new RetryBudget(undefined, 0)
	drain(budget, 0)
	for (let rerun = 0; rerun < 200; rerun++) budget.reserve('statement', 0, 60_000)
	for (let rerun = 0; rerun < 200; rerun++) budget.giveBack()
	expect(budget.reserve('statement', 0, 60_000)).toBe(100)
})

test('a server that dies again and again, each time with the connections that were made, costs a lone caller nothing', () => {
	const budget = new RetryBudget(undefined, 0)
	for (let crash = 0; crash < 1_000; crash++) {
		const nowMs = crash * 1_000
		budget.opened(nowMs)
		budget.lost()
		expect(budget.mayConnectAgain('connection_refused', nowMs + 900)).toBe(true)
	}
})

test('the least floor still grants a connection attempt now and then', () => {
	const budget = new RetryBudget({ minPerSecond: 1 }, 0)
	let granted = 0
	for (let nowMs = 0; nowMs < 600_000; nowMs += 1_000) {
		budget.opened(nowMs)
		if (budget.mayConnectAgain('connection_lost', nowMs + 1)) granted += 1
		budget.opened(nowMs + 2)
	}
	expect(granted).toBeGreaterThanOrEqual(9)
	expect(granted).toBeLessThanOrEqual(11)
})
