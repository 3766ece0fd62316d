/** Does the database hold the effects of the transactions: those told ok once, those told failed never, all whole, and the money? Pure. */
import type { Anomaly, FinalState, History, Operation } from './history.ts'

/** How often each transaction's element stands in each list. */
export type Applied = ReadonlyMap<number, ReadonlyMap<number, number>>

export function countApplied({ lists }: FinalState): Applied {
	const applied = new Map<number, Map<number, number>>()
	for (const [list, elements] of lists) {
		for (const id of elements) {
			const perList = applied.get(id) ?? new Map<number, number>()
			applied.set(id, perList.set(list, (perList.get(list) ?? 0) + 1))
		}
	}
	return applied
}

/** How often a transaction was applied, by the list where it stands most often. */
export const timesApplied = (applied: Applied, id: number): number => Math.max(0, ...(applied.get(id)?.values() ?? []))

export function checkEffects({ operations, final }: History, applied: Applied): Anomaly[] {
	const found: Anomaly[] = []
	const writesTo = new Map<number, readonly number[]>()
	for (const operation of operations) {
		const lists = operation.steps.flatMap((step) => (step.do === 'append' ? [step.list] : []))
		writesTo.set(operation.id, lists)
		if (lists.length > 0) found.push(...effectsOf(operation, lists, applied))
		if (operation.commitCallbacks !== undefined && operation.commitCallbacks !== (operation.told === 'ok' ? 1 : 0)) {
			const detail = `transaction ${operation.id} was told ${operation.told} and its commit callback ran ${operation.commitCallbacks} times`
			found.push({ kind: 'callback', ids: [operation.id], detail })
		}
	}
	for (const [list, elements] of final.lists) {
		for (const id of elements) {
			if (writesTo.get(id)?.includes(list)) continue
			found.push({ kind: 'stranger', ids: [id], detail: `list ${list} holds ${id}, which no recorded transaction was to append there` })
		}
	}
	return found
}

function effectsOf({ id, told, error }: Operation, lists: readonly number[], applied: Applied): Anomaly[] {
	const counts = lists.map((list) => applied.get(id)?.get(list) ?? 0)
	const most = Math.max(...counts)
	const least = Math.min(...counts)
	const found: Anomaly[] = []
	const where = `lists ${lists.join(', ')} hold it ${counts.join(', ')} times`
	const add = (kind: Anomaly['kind'], what: string) => found.push({ kind, ids: [id], detail: `transaction ${id} ${what}; ${where}` })
	if (told === 'ok' && most === 0) add('lost', 'was told ok and is not there')
	if (told === 'failed' && most > 0) add('phantom', `was told failed (${error ?? 'no error'}) and is there`)
	if (most > 1) add('duplicate', `was told ${told} and was applied more than once`)
	if (most !== least) add('torn', `was told ${told} and was applied in part`)
	return found
}

/** Every account holds what the transfers that are there make of it; with that, the sum of all is what it was. */
export function checkMoney({ operations, final, centsEach }: History, applied: Applied): Anomaly[] {
	const expected = new Map([...final.accounts.keys()].map((account) => [account, centsEach]))
	const add = (account: number, cents: number) => expected.set(account, (expected.get(account) ?? 0) + cents)
	for (const { id, steps } of operations) {
		const times = timesApplied(applied, id)
		for (const step of steps) {
			if (step.do !== 'move' || times === 0) continue
			add(step.from, -step.cents * times)
			add(step.to, step.cents * times)
		}
	}
	const found: Anomaly[] = []
	for (const [account, cents] of final.accounts) {
		if (cents === expected.get(account)) continue
		found.push({ kind: 'balance', ids: [], detail: `account ${account} holds ${cents}, the transfers make it ${expected.get(account)}` })
	}
	return found
}
