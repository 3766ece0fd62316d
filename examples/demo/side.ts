/** Who does the work? The workers of one side: a transfer, a moment of rest, the next one. */
import { setTimeout as sleep } from 'node:timers/promises'
import { seededRandom } from './random.ts'
import type { Tally } from './tally.ts'
import { drawTransfer, type Traffic, type Transfer } from './transfer.ts'

/** One of the two that are compared. */
export interface Side {
	readonly name: 'wrapped' | 'bare'
	readonly database: string
	readonly tally: Tally
	/** Transfers that wait for a connection. */
	waiting(): number
	end(): Promise<void>
	/** Resolves when the transfer is done; rejects with what the application would see. */
	transfer(transfer: Transfer): Promise<void>
	/** What this side knows of the server. */
	endpointState(): string
	/** What it did about faults by itself, by kind. */
	reruns(): ReadonlyMap<string, number>
}

/** Both pools: the same settings, the defaults of their package but for the size. */
export const connectionsPerPool = 20

// Like users, workers rest between two requests. Without it a side that fails fast would take the processor away from the other.
const longestRestMs = 200

/** Runs the workers of one side until `stage.over`; resolves when the last one is done. */
export async function runWorkers(
	side: Side,
	workers: number,
	seed: number,
	stage: { readonly traffic: Traffic; readonly over: boolean },
): Promise<void> {
	await Promise.all(Array.from({ length: workers }, (_, worker) => work(side, worker, seed, stage)))
}

async function work(side: Side, worker: number, seed: number, stage: { readonly traffic: Traffic; readonly over: boolean }): Promise<void> {
	// The same stream for the same worker of either side: both get the same orders as long as they come equally far.
	const random = seededRandom(seed, worker)
	for (let count = 1; ; count++) {
		await sleep(random() * longestRestMs)
		if (stage.over) return
		const transfer = drawTransfer(worker, count, stage.traffic, random)
		side.tally.started()
		try {
			await side.transfer(transfer)
			side.tally.committed(transfer.id)
		} catch (error) {
			side.tally.failedWith(transfer.id, error)
		}
	}
}
