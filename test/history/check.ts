/** Can a history be explained by a database that did every transaction once, wholly, and isolated from the others? Pure. */
import { findCycles } from './cycle.ts'
import { checkEffects, checkMoney, countApplied } from './effects.ts'
import { dependencies } from './graph.ts'
import type { Anomaly, AnomalyKind, History } from './history.ts'
import { checkReads } from './reads.ts'

/** Every anomaly of the history; none is what the run must show. */
export function checkHistory(history: History): Anomaly[] {
	const applied = countApplied(history.final)
	const effects = [...checkEffects(history, applied), ...checkMoney(history, applied)]
	const reads = checkReads(history, applied)
	// Lists with an element twice, and reads that fit no list, have no order of versions: a cycle in them would say nothing new.
	const ordered = [...effects, ...reads].every(({ kind }) => !breaksOrder.has(kind))
	return [...effects, ...reads, ...(ordered ? checkCycles(history) : [])]
}

const breaksOrder: ReadonlySet<AnomalyKind> = new Set(['duplicate', 'stranger', 'dirty read', 'wrong order'])

function checkCycles(history: History): Anomaly[] {
	const { ids, edges } = dependencies(history, countApplied(history.final))
	return findCycles(edges).map((cycle) => {
		const members = cycle.filter(({ node }) => node < ids.length)
		const way = members.map(({ node, reason }) => `${ids[node]} -${reason}->`).join(' ')
		return { kind: 'cycle', ids: members.map(({ node }) => ids[node]!), detail: `no order explains ${way} ${ids[members[0]!.node]}` }
	})
}
