/** What does a worker remember of each transaction? What it set out to do, what it was told, and what it read. */
import type { Operation, Step } from '../history/history.ts'
import type { ChaosClient } from './clients.ts'
import type { Draw } from './draw.ts'
import { drawPlan, type Plan } from './operations.ts'
import { type Isolation, perform } from './sql.ts'

/** What the workers of one round share. */
export interface Shift {
	readonly client: ChaosClient
	readonly isolation: Isolation
	/** The next id that nobody has used, in this round or another. */
	nextId(): number
	crossing(): boolean
	stopped(): boolean
	/** Told of each transaction before its first statement, and when it is over. */
	begun(plan: Plan): void
	ended(operation: Operation): void
}

export async function work(shift: Shift, worker: number, draw: Draw): Promise<void> {
	while (!shift.stopped()) {
		const plan = drawPlan(draw, shift.nextId(), shift.crossing())
		shift.begun(plan)
		shift.ended(await runOne(shift, worker, plan))
	}
}

async function runOne({ client, isolation }: Shift, worker: number, { id, steps, readOnly }: Plan): Promise<Operation> {
	const startedAtMs = performance.now()
	let reached: readonly Step[] = []
	let commitCallbacks = 0
	const record = (told: Operation['told'], answered: readonly Step[], error?: string): Operation => ({
		id,
		worker,
		told,
		steps: steps.map((step, at) => answered[at] ?? step),
		startedAtMs,
		endedAtMs: performance.now(),
		...(client.tellsCommits && { commitCallbacks }),
		...(error !== undefined && { error }),
	})
	try {
		const answered = await client.transaction(
			async (query, onCommit) => {
				const done: Step[] = []
				reached = done
				onCommit(() => {
					commitCallbacks++
				})
				for (const step of steps) done.push(await perform(query, id, step))
				return done
			},
			{ isolation, readOnly },
		)
		return record('ok', answered)
	} catch (error) {
		return record(client.isInDoubt(error) ? 'in doubt' : 'failed', reached, describe(error))
	}
}

function describe(error: unknown): string {
	if (!(error instanceof Error)) return String(error)
	const { code } = error as { code?: unknown }
	return `${error.name}${code === undefined ? '' : ` ${String(code)}`}: ${error.message}`
}
