/** What does a worker remember of each transaction? What it set out to do, what it was told, and what it read. */
import type { Operation, Step } from '../history/history.ts'
import type { ChaosClient, Query } from './clients.ts'
import type { Database } from './database.ts'
import type { Draw } from './draw.ts'
import { drawPlan, type Isolation, type Plan } from './operations.ts'

/** What the workers of one round share. */
export interface Shift {
	readonly client: ChaosClient
	readonly database: Pick<Database, 'perform' | 'append'>
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

async function runOne(shift: Shift, worker: number, plan: Plan): Promise<Operation> {
	const { client } = shift
	const { id, steps } = plan
	const single = isOneStatement(shift, plan)
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
		...(client.tellsCommits && !single && { commitCallbacks }),
		...(error !== undefined && { error }),
	})
	const body = async (query: Query, onCommit: (callback: () => void) => void) => {
		const done: Step[] = []
		reached = done
		onCommit(() => {
			commitCallbacks++
		})
		for (const step of steps) done.push(await shift.database.perform(query, id, step))
		return done
	}
	try {
		if (!single) return record('ok', await client.transaction(body, { isolation: shift.isolation, readOnly: plan.readOnly }))
		for (const step of steps) if (step.do === 'append') await client.once(shift.database.append(step.list, id))
		return record('ok', steps)
	} catch (error) {
		return record(client.isInDoubt(error) ? 'in doubt' : 'failed', reached, describe(error))
	}
}

/** A statement by itself has the session's isolation level, which would break the promise of a round with a higher one. */
const isOneStatement = ({ isolation }: Shift, { single }: Plan): boolean => single && isolation === 'read committed'

function describe(error: unknown): string {
	if (!(error instanceof Error)) return String(error)
	const { code } = error as { code?: unknown }
	return `${error.name}${code === undefined ? '' : ` ${String(code)}`}: ${error.message}`
}
