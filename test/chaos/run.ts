/** How does a chaos run go? Rounds of work under faults; after each the links heal, the workers finish, and the books are checked. */
import { setTimeout as sleep } from 'node:timers/promises'
import { checkHistory } from '../history/check.ts'
import type { Anomaly, Operation } from '../history/history.ts'
import { accidentMark } from '../support/leaks.ts'
import { Arena } from './arena.ts'
import type { ChaosClient, ClientName, CommitMode } from './clients.ts'
import type { Driver, ServerName } from './database.ts'
import { Draw } from './draw.ts'
import { torment } from './nemesis.ts'
import { centsEach, type Isolation, type Plan } from './operations.ts'
import { type Family, type Fault, type FaultKind, familyOf, faultsOf, isCrash, kindsFor } from './plan.ts'
import { type Shift, work } from './worker.ts'

export interface ChaosOptions {
	readonly seed: number
	/** The run ends after the round in which so much time has passed, or so many crashes and network faults have struck, whichever is later. */
	readonly minutes: number
	readonly crashes: number
	readonly faults: number
	readonly driver: Driver
	readonly server: ServerName
	readonly client: ClientName
	readonly commit: CommitMode
	/** Rounds take turns. */
	readonly isolations: readonly Isolation[]
	readonly workers: number
	readonly connections: number
	/** Only these kinds of faults; default all. */
	readonly only?: ReadonlySet<FaultKind>
	readonly replyMs: number
	readonly fsync: boolean
	readonly roundMs: number
	readonly attemptTimeoutMs: number
}

/** How far a run is, and in the end what came out. */
export interface Tally {
	readonly told: Record<Operation['told'], number>
	/** Transactions by the error that they were told. */
	readonly errors: Map<string, number>
	readonly anomalies: { readonly anomaly: Anomaly; readonly evidence: string }[]
	readonly anomalyCounts: Map<string, number>
	readonly struck: Map<FaultKind, number>
	readonly ran: { rounds: number; workMs: number; longestMs: number }
	/** Transactions that had no answer a minute after the last fault. */
	readonly hanging: string[]
	/** Unhandled rejections, uncaught exceptions and listener leaks of the process. */
	accidents: readonly string[]
	stats: object | undefined
	isolation: Isolation
}

export const crashesOf = ({ struck }: Tally) => sumOf(struck, isCrash)
export const networkFaultsOf = ({ struck }: Tally) => sumOf(struck, (kind) => familyOf(kind) === 'network')

const sumOf = (struck: Tally['struck'], wanted: (kind: FaultKind) => boolean) =>
	[...struck].reduce((sum, [kind, times]) => sum + (wanted(kind) ? times : 0), 0)

const families: readonly Family[] = ['server', 'network', 'session', 'load']
const firstWorkerStream = 100
/** What has no answer by then is hanging: twice what a call may wait by default (deadlineMs, 30 s). */
const lastAnswerWithinMs = 60_000
const endWithinMs = 10_000
/** Above this no check of a round would be worth its memory. */
const operationsPerRound = 60_000
const keptAnomalies = 20

/** Runs it all. `watch` is given the tally before the first round, which then changes under its eyes. */
export async function runChaos(options: ChaosOptions, watch: (tally: Tally) => void = () => {}): Promise<Tally> {
	const accidents = accidentMark()
	const arena = await Arena.open(options)
	const { client: name, commit, connections, attemptTimeoutMs, only = kindsFor(options.driver) } = options
	const client = await arena.database.connect(
		{ host: arena.proxy.host, port: arena.proxy.port },
		{ name, commit, connections, attemptTimeoutMs },
	)
	const tally = emptyTally(arena, options)
	watch(tally)
	const plans = families.map((family) => ({ family, faults: faultsOf(family, options.seed, only) }))
	const draws = Array.from({ length: options.workers }, (_, worker) => new Draw(options.seed, firstWorkerStream + worker))
	let lastId = 0
	const nextId = () => ++lastId
	try {
		const startedAtMs = performance.now()
		const enough = () =>
			performance.now() - startedAtMs >= options.minutes * 60_000 &&
			crashesOf(tally) >= options.crashes &&
			networkFaultsOf(tally) >= options.faults
		while (!enough() && tally.hanging.length === 0) {
			tally.isolation = options.isolations[tally.ran.rounds % options.isolations.length]!
			await playRound({ arena, client, tally, plans, draws, nextId, enough, roundMs: options.roundMs })
		}
		tally.stats = client.stats()
		// A pool with a transaction that hangs never ends.
		if (tally.hanging.length === 0 && !(await within(client.end(), endWithinMs))) tally.hanging.push('pool.end()')
	} finally {
		await arena.close()
		tally.accidents = [...accidents.accidents]
		accidents.stop()
	}
	return tally
}

function emptyTally({ counts }: Arena, { isolations }: ChaosOptions): Tally {
	return {
		told: { ok: 0, failed: 0, 'in doubt': 0 },
		errors: new Map(),
		anomalies: [],
		anomalyCounts: new Map(),
		struck: counts,
		ran: { rounds: 0, workMs: 0, longestMs: 0 },
		hanging: [],
		accidents: [],
		stats: undefined,
		isolation: isolations[0]!,
	}
}

interface Round {
	readonly arena: Arena
	readonly client: ChaosClient
	readonly tally: Tally
	readonly plans: readonly { readonly family: Family; readonly faults: Iterator<Fault, void> }[]
	readonly draws: readonly Draw[]
	nextId(): number
	enough(): boolean
	readonly roundMs: number
}

async function playRound({ arena, client, tally, plans, draws, nextId, enough, roundMs }: Round): Promise<void> {
	await arena.startAgain()
	const { isolation } = tally
	const operations: Operation[] = []
	const open = new Map<number, { plan: Plan; sinceMs: number }>()
	let stopped = false
	const shift: Shift = {
		client,
		database: arena.database,
		isolation,
		nextId,
		crossing: () => arena.crossing,
		stopped: () => stopped,
		begun: (plan) => open.set(plan.id, { plan, sinceMs: performance.now() }),
		ended(operation) {
			open.delete(operation.id)
			operations.push(operation)
			count(tally, operation)
		},
	}
	const startedAtMs = performance.now()
	const calm = new AbortController()
	const harm = Promise.all(plans.map(({ family, faults }) => torment(arena, family, faults, calm.signal)))
	const workers = Promise.all(draws.map((draw, worker) => work(shift, worker, draw)))
	const over = () => performance.now() - startedAtMs >= roundMs || operations.length >= operationsPerRound || enough()
	while (!over()) await Promise.race([sleep(50), harm.then(() => sleep(50))])
	calm.abort()
	if (!(await within(harm, lastAnswerWithinMs))) throw new Error('a fault did not come to its end: the harness is at fault')
	arena.heal()
	await arena.openDoor(true)
	stopped = true
	// Who gives up on a link that was in a hole does so only later: its server hears of that at the next healing.
	const healing = setInterval(() => arena.heal(), 100)
	await within(workers, lastAnswerWithinMs)
	clearInterval(healing)
	tally.ran.rounds++
	tally.ran.workMs += performance.now() - startedAtMs
	const unanswered = [...open.values()].map(({ plan: { id, steps }, sinceMs }): Operation => {
		tally.hanging.push(`transaction ${id}, since ${Math.round(performance.now() - sinceMs)} ms`)
		return { id, worker: -1, told: 'in doubt', steps, startedAtMs: sinceMs, endedAtMs: performance.now() }
	})
	const final = await arena.finalState()
	const all = [...operations, ...unanswered]
	const found = checkHistory({ operations: all, final, centsEach, isolation })
	for (const anomaly of found) {
		tally.anomalyCounts.set(anomaly.kind, (tally.anomalyCounts.get(anomaly.kind) ?? 0) + 1)
		if (tally.anomalies.length < keptAnomalies) tally.anomalies.push({ anomaly, evidence: evidence(anomaly, all, arena) })
	}
}

function count(tally: Tally, { told, error, startedAtMs, endedAtMs }: Operation): void {
	tally.told[told]++
	tally.ran.longestMs = Math.max(tally.ran.longestMs, endedAtMs - startedAtMs)
	if (error === undefined) return
	const line = `${told}: ${error.replace(/\d+/g, 'N').slice(0, 160)}`
	tally.errors.set(line, (tally.errors.get(line) ?? 0) + 1)
}

/** The transactions of an anomaly, and the faults that struck while they ran. */
function evidence({ ids }: Anomaly, operations: readonly Operation[], { struck }: Arena): string {
	const lines: string[] = []
	for (const operation of operations.filter(({ id }) => ids.includes(id)).slice(0, 4)) {
		const { startedAtMs, endedAtMs } = operation
		const near = struck.filter(({ fromMs, toMs }) => toMs >= startedAtMs - 50 && fromMs <= endedAtMs + 50)
		lines.push(JSON.stringify(operation))
		lines.push(
			`faults then: ${near.map(({ kind, fromMs, toMs }) => `${kind} ${Math.round(fromMs)}-${Math.round(toMs)}`).join(', ') || 'none'}`,
		)
	}
	return lines.join('\n')
}

/** Whether the work was done within that time. */
async function within(work: Promise<unknown>, ms: number): Promise<boolean> {
	const patience = new AbortController()
	const done = await Promise.race([work.then(() => true), sleep(ms, false, { signal: patience.signal })])
	patience.abort()
	return done
}
