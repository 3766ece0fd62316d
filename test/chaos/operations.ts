/** What does a worker do next? Transactions on few lists at a time, drawn from the seed. */
import type { Step } from '../history/history.ts'
import type { Draw } from './draw.ts'

export const isolations = ['serializable', 'read committed'] as const
export type Isolation = (typeof isolations)[number]

export const accounts = 200
export const centsEach = 1_000_000

/** Lists in use at a time: few enough that transactions meet, many enough that they get on. */
const listsAtOnce = 24
/** A list is left alone when it has about so many elements: reading it stays cheap. */
const elementsPerList = 24

/** One transaction to be done. */
export interface Plan {
	readonly id: number
	readonly steps: readonly Step[]
	readonly readOnly: boolean
	/** A single append, which may be done by one statement that commits by itself. */
	readonly single: boolean
}

/** `crossing` sends everybody to the same two lists, odd and even ids in opposite order: they deadlock. */
export function drawPlan(draw: Draw, id: number, crossing: boolean): Plan {
	const generation = Math.floor(id / (listsAtOnce * elementsPerList)) * listsAtOnce
	const list = () => generation + draw.whole(0, listsAtOnce - 1)
	const read = (): Step => ({ do: 'read', list: list() })
	if (!crossing && draw.chance(0.1))
		return { id, readOnly: true, single: false, steps: [read(), read(), ...(draw.chance(0.2) ? [total] : [])] }

	if (!crossing && draw.chance(0.12)) return { id, readOnly: false, single: true, steps: [{ do: 'append', list: list() }] }

	const first = crossing ? generation + (id % 2) : list()
	const second = crossing ? generation + 1 - (id % 2) : list()
	const steps: Step[] = []
	if (draw.chance(0.5)) steps.push(read())
	if (draw.chance(0.25)) steps.push(drawMove(draw))
	steps.push({ do: 'append', list: first })
	if (crossing || (draw.chance(0.4) && first !== second)) steps.push({ do: 'append', list: second })
	if (draw.chance(0.2)) steps.push({ do: 'read', list: first })
	return { id, readOnly: false, single: false, steps }
}

const total: Step = { do: 'total' }

function drawMove(draw: Draw): Step {
	const from = draw.whole(1, accounts)
	return { do: 'move', from, to: 1 + ((from + draw.whole(0, accounts - 2)) % accounts), cents: draw.whole(1, 100) }
}
