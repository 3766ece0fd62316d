/** How does one fleet fare in one course of events? Runs it and writes down what can be seen, a quarter of a second at a time. */
import type { Kind, World } from './client.ts'
import { type Capacity, type Fate, Server } from './server.ts'
import { Simulation } from './simulation.ts'

export interface Scenario {
	readonly name: string
	readonly capacity: Capacity
	readonly fate: Fate
	/** Calls a second of the whole fleet: evenly in time, each by a process that chance chooses. */
	readonly callsPerSecond: number
	readonly poolSize: number
	readonly deadlineMs: number
	readonly idleTimeoutMs: number
	readonly connectTimeoutMs: number
	readonly queryTimeoutMs?: number
	/** The run, in milliseconds: it begins before 0 with processes that have no connection yet. */
	readonly fromMs: number
	readonly toMs: number
	/** The calls a second grow evenly from none for so long at the beginning. */
	readonly rampMs: number
}

export const binMs = 250

/** What was seen in each span of `binMs`. */
export interface Series {
	readonly fromMs: number
	/** Connection attempts that began. */
	readonly attempts: readonly number[]
	readonly answered: readonly number[]
	readonly failed: readonly number[]
	/** At the end of the span: attempts in the backlog, queries in line, sessions, and calls that have no answer yet. */
	readonly knocking: readonly number[]
	readonly queued: readonly number[]
	readonly sessions: readonly number[]
	readonly waiting: readonly number[]
	/** In all: attempts and queries that the server worked on for nobody. */
	readonly wasted: number
}

export async function simulate(scenario: Scenario, kind: Kind, processes: number, seed: number): Promise<Series> {
	const { fromMs, toMs, capacity, fate } = scenario
	const simulation = new Simulation(seed, fromMs)
	const bins = Math.ceil((toMs - fromMs) / binMs)
	const counter = () => new Array<number>(bins).fill(0)
	const seen = {
		attempts: counter(),
		answered: counter(),
		failed: counter(),
		knocking: counter(),
		queued: counter(),
		sessions: counter(),
		waiting: counter(),
	}
	const count = (counts: number[]) => {
		const bin = Math.min(bins - 1, Math.floor((simulation.now() - fromMs) / binMs))
		counts[bin] = (counts[bin] ?? 0) + 1
	}
	const server = new Server(simulation, capacity, fate, () => count(seen.attempts))
	const world: World = {
		clock: simulation,
		server,
		poolSize: scenario.poolSize,
		deadlineMs: scenario.deadlineMs,
		idleTimeoutMs: scenario.idleTimeoutMs,
		connectTimeoutMs: scenario.connectTimeoutMs,
		queryTimeoutMs: scenario.queryTimeoutMs,
	}
	const fleet = kind.fleet(world, processes)
	let waiting = 0
	let calls = 0
	const call = () => {
		calls += 1
		simulation.setTimer(call, fromMs + timeOfCall(calls, scenario) - simulation.now())
		waiting += 1
		fleet[Math.floor(simulation.random() * processes)]?.call((answered) => {
			waiting -= 1
			count(answered ? seen.answered : seen.failed)
		})
	}
	call()
	for (let bin = 0; bin < bins; bin++) {
		await simulation.run(fromMs + (bin + 1) * binMs)
		seen.knocking[bin] = server.knocking
		seen.queued[bin] = server.queued
		seen.sessions[bin] = server.sessions
		seen.waiting[bin] = waiting
	}
	return { fromMs, ...seen, wasted: server.wasted }
}

/** When the call with this number, from 0, comes in: milliseconds since the beginning. */
function timeOfCall(number: number, { callsPerSecond, rampMs }: Scenario): number {
	const perMs = callsPerSecond / 1_000
	// While the rate grows evenly, the calls so far grow with the square of the time.
	const whileGrowing = (rampMs * perMs) / 2
	return number < whileGrowing ? Math.sqrt((2 * number * rampMs) / perMs) : rampMs + (number - whileGrowing) / perMs
}
