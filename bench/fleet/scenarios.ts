/** What befalls the fleet? The courses of events that are simulated, and the server that they befall. */
import type { Scenario } from './run.ts'
import type { Capacity } from './server.ts'

// One large server: the postmaster forks a process for each connection; the backlog is Linux's default for `somaxconn`.
const capacity: Capacity = {
	connectsPerSecond: 2_000,
	backlog: 4_096,
	sessions: 20_000,
	queriesPerSecond: 10_000,
	coldShare: 0.3,
	coldMs: 5_000,
	roundTripMs: 1,
}

const common = {
	capacity,
	// As pg-pool's and Holdfast's defaults are: 10 connections, closed after 10 s without work, 5 s for an attempt.
	poolSize: 10,
	idleTimeoutMs: 10_000,
	connectTimeoutMs: 5_000,
	deadlineMs: 20_000,
	// The processes start with nothing, a few at a time, and are at ease when it begins: each knows what a login takes where nobody waits.
	fromMs: -32_000,
	rampMs: 20_000,
	toMs: 40_000,
}

/** A crash: refused, then starting up, then back with a cold cache. */
export const crash: Scenario = {
	...common,
	name: 'crash',
	fate: { crashesAtMs: 0, listensAtMs: 4_000, readyAtMs: 8_000 },
	callsPerSecond: 5_000,
}

/**
 * A server that never crashes, and is slow for some seconds. Queries run into the clients' time limit, which costs them their connections;
 * the logins that follow, and the queries that nobody waits for any more, take the processors from the others, and so the server stays slow
 * after the cause has gone. Before, it has 40 % to spare: the calls grow slowly to that, so that everybody is at ease when it begins.
 */
export const metastable: Scenario = {
	...common,
	name: 'metastable',
	capacity: { ...capacity, connectsPerSecond: 400, backlog: 410, sessions: 2_000, queriesPerSecond: 1_000, sharesProcessors: true },
	fate: { slow: { fromMs: 0, toMs: 5_000, share: 0.3 }, readyAtMs: 5_000 },
	callsPerSecond: 600,
	queryTimeoutMs: 1_000,
	toMs: 60_000,
}

/** The same as `crash` without the warning: from refusing everybody to accepting everybody in one moment. */
export const abrupt: Scenario = { ...crash, name: 'abrupt start', fate: { crashesAtMs: 0, listensAtMs: 8_000, readyAtMs: 8_000 } }
