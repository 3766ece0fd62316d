/** Is what the transactions read possible at all: committed work only, in the order in which it was written, with their own writes? Pure. */
import { type Applied, timesApplied } from './effects.ts'
import type { Anomaly, History, Operation } from './history.ts'

/** A read of one list, without the reader's own element: it saw the first `length` elements of the final list. */
export interface SeenPrefix {
	readonly list: number
	readonly length: number
}

/** Whether what it read counts: its transaction is in the database, or only read and was told ok. */
export function counts({ id, told, steps }: Operation, applied: Applied): boolean {
	if (told === 'failed') return false
	return told === 'ok' || (steps.some((step) => step.do === 'append') && timesApplied(applied, id) > 0)
}

export function checkReads({ operations, final, centsEach }: History, applied: Applied): Anomaly[] {
	const found: Anomaly[] = []
	const total = centsEach * final.accounts.size
	for (const operation of operations) {
		if (!counts(operation, applied)) continue
		const { id } = operation
		const appended = new Set<number>()
		for (const step of operation.steps) {
			if (step.do === 'append') appended.add(step.list)
			if (step.do === 'total' && step.cents !== undefined && step.cents !== total) {
				found.push({ kind: 'balance', ids: [id], detail: `transaction ${id} read a sum of ${step.cents} instead of ${total}` })
			}
			if (step.do !== 'read' || step.elements === undefined) continue
			const list = final.lists.get(step.list) ?? []
			const sawOwn = step.elements.at(-1) === id
			if (sawOwn !== appended.has(step.list)) {
				const detail = `transaction ${id} ${sawOwn ? 'read its element before it had appended it' : 'did not read what it had appended'} in list ${step.list}`
				found.push({ kind: 'own write unseen', ids: [id], detail })
			}
			const others = withoutOwn(step.elements, id)
			const never = others.filter((element) => !list.includes(element))
			if (never.length > 0) {
				const detail = `transaction ${id} read ${never.join(', ')} in list ${step.list}, which never came to stay`
				found.push({ kind: 'dirty read', ids: [id, ...never], detail })
			} else if (!others.every((element, at) => element === list[at])) {
				const detail = `transaction ${id} read list ${step.list} as ${others.join(' ')}; it begins ${list.slice(0, others.length).join(' ')}`
				found.push({ kind: 'wrong order', ids: [id], detail })
			}
		}
	}
	return found
}

/** The reads of a transaction as lengths of the final lists. Only for reads in which `checkReads` found nothing. */
export function seenPrefixes({ id, steps }: Operation): SeenPrefix[] {
	return steps.flatMap((step) =>
		step.do === 'read' && step.elements !== undefined ? [{ list: step.list, length: withoutOwn(step.elements, id).length }] : [],
	)
}

const withoutOwn = (elements: readonly number[], id: number) => (elements.at(-1) === id ? elements.slice(0, -1) : elements)
