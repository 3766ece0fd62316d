/** Which transaction must come before which, so that everybody read what they read? The edges of the dependency graph. Pure. */
import type { Applied } from './effects.ts'
import type { History, Operation } from './history.ts'
import { counts, seenPrefixes } from './reads.ts'

/**
 * ww: the next one to append to the same list. wr: it read what the other had appended. rw: it read the list without what the other
 * appended next. time: it had its answer before the other began.
 */
export type Reason = 'ww' | 'wr' | 'rw' | 'time'

export interface Graph {
	/** Nodes below this number are transactions, in the order of `ids`; the others are moments, which only carry `time`. */
	readonly ids: readonly number[]
	/** The nodes after each node, and why. */
	readonly edges: readonly (readonly (readonly [to: number, reason: Reason])[])[]
}

/**
 * The order of versions is the final list itself, for a list only grows (the idea is Elle's: Kingsbury and Alvaro, VLDB 2020). On one
 * PostgreSQL server all four kinds of edges follow from commit order and snapshots: SERIALIZABLE must be free of cycles over all
 * of them, READ COMMITTED over all but rw.
 */
export function dependencies({ operations, final, isolation }: History, applied: Applied): Graph {
	const members = operations.filter((operation) => counts(operation, applied))
	const nodeOf = new Map(members.map(({ id }, node) => [id, node]))
	const edges: [number, Reason][][] = members.map(() => [])
	const link = (from: number | undefined, to: number | undefined, reason: Reason) => {
		if (from !== undefined && to !== undefined && from !== to) edges[from]?.push([to, reason])
	}
	for (const elements of final.lists.values()) {
		for (let at = 1; at < elements.length; at++) link(nodeOf.get(elements[at - 1]!), nodeOf.get(elements[at]!), 'ww')
	}
	for (const [node, operation] of members.entries()) {
		for (const { list, length } of seenPrefixes(operation)) {
			const elements = final.lists.get(list) ?? []
			if (length > 0) link(nodeOf.get(elements[length - 1]!), node, 'wr')
			if (isolation === 'serializable' && length < elements.length) link(node, nodeOf.get(elements[length]!), 'rw')
		}
	}
	linkTimes(members, edges)
	return { ids: members.map(({ id }) => id), edges }
}

/**
 * "Had its answer before the other began" holds for very many pairs. A chain of moments, one for each answer, says the same with
 * three edges a transaction: it leads to the moment of its answer, that to the next moment, and the last moment before a beginning to
 * the one that begins. Who was told "in doubt" may have been committed later than that, so no moment follows it.
 */
function linkTimes(members: readonly Operation[], edges: [number, Reason][][]): void {
	const answers = [...members.keys()]
		.filter((node) => members[node]!.told === 'ok')
		.sort((a, b) => members[a]!.endedAtMs - members[b]!.endedAtMs)
	const begins = [...members.keys()].sort((a, b) => members[a]!.startedAtMs - members[b]!.startedAtMs)
	let passed = 0
	for (const node of begins) {
		while (passed < answers.length && members[answers[passed]!]!.endedAtMs < members[node]!.startedAtMs) {
			const moment = edges.length
			edges.push([])
			edges[answers[passed]!]!.push([moment, 'time'])
			if (passed > 0) edges[moment - 1]!.push([moment, 'time'])
			passed++
		}
		if (passed > 0) edges[edges.length - 1]!.push([node, 'time'])
	}
}
