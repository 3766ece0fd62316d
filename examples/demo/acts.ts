/** What is done to the server, and when? The play: one row an act. */
import { setTimeout as sleep } from 'node:timers/promises'
import { accounts } from './accounts.ts'
import type { Bank, BankServer } from './bank.ts'
import type { Span } from './tally.ts'
import type { Traffic } from './transfer.ts'

/** An act as it happened. */
export interface PlayedAct extends Span {
	readonly title: string
}

/** What acts change and workers look at. */
export class Stage {
	traffic: Traffic = calm
	over = false
	/** When no server was there: from the order to stop or kill it until it answered a query again. */
	readonly outages: Span[] = []
	readonly played: PlayedAct[] = []
	readonly #startedAtMs = performance.now()

	/** Milliseconds since the start of the run. */
	now = (): number => performance.now() - this.#startedAtMs
}

const calm: Traffic = { accounts, isolation: 'read committed' }
// Few accounts, and every transfer wants two of them in an order of its own.
const hotAccounts = 8
/** The least between two acts, as a share of the whole run. */
const calmShare = 0.05

interface Act {
	readonly title: string
	/** When it begins and how long it takes, as shares of the whole run. */
	readonly begins: number
	readonly lasts: number
	play(scene: { bank: Bank; databases: readonly string[]; stage: Stage; lengthMs: number }): Promise<void>
}

const acts: readonly Act[] = [
	{
		title: 'kill -9',
		begins: 0.12,
		lasts: 0.08,
		play: ({ bank: { server }, stage, lengthMs }) => outage(stage, lengthMs, () => server.kill(), server),
	},
	{
		title: 'clean restart',
		begins: 0.3,
		lasts: 0.05,
		play: ({ bank: { server }, stage, lengthMs }) => outage(stage, lengthMs, () => server.stop(), server),
	},
	{
		title: 'connections terminated',
		begins: 0.45,
		lasts: 0.04,
		async play({ bank, databases, lengthMs }) {
			await bank.endConnections(databases)
			await sleep(lengthMs)
			await bank.endConnections(databases)
		},
	},
	{
		title: 'deadlocks',
		begins: 0.62,
		lasts: 0.11,
		play: ({ stage, lengthMs }) => conflicts(stage, lengthMs, 'read committed'),
	},
	{
		title: 'serialization failures',
		begins: 0.79,
		lasts: 0.11,
		play: ({ stage, lengthMs }) => conflicts(stage, lengthMs, 'serializable'),
	},
]

/** Plays all acts, one after the other; resolves at the end of the run. */
export async function play(
	bank: Bank,
	databases: readonly string[],
	stage: Stage,
	runMs: number,
	announce: (title: string) => void,
): Promise<void> {
	for (const act of acts) {
		// A server that takes its time to come back is at work for a while before the next act.
		const soonest = (stage.played.at(-1)?.toMs ?? 0) + calmShare * runMs
		await sleep(Math.max(0, Math.max(act.begins * runMs, soonest) - stage.now()))
		announce(act.title)
		const fromMs = stage.now()
		await act.play({ bank, databases, stage, lengthMs: act.lasts * runMs })
		stage.played.push({ title: act.title, fromMs, toMs: stage.now() })
	}
	await sleep(Math.max(0, runMs - stage.now()))
}

async function outage(stage: Stage, lengthMs: number, end: () => Promise<void>, server: BankServer): Promise<void> {
	const fromMs = stage.now()
	await end()
	await sleep(Math.max(0, fromMs + lengthMs - stage.now()))
	await server.start()
	stage.outages.push({ fromMs, toMs: stage.now() })
}

async function conflicts(stage: Stage, lengthMs: number, isolation: Traffic['isolation']): Promise<void> {
	stage.traffic = { accounts: hotAccounts, isolation }
	await sleep(lengthMs)
	stage.traffic = calm
}
