/** How does a test write a history by hand? One line a transaction. */
import type { FinalState, History, Operation, Step, Told } from './history.ts'

export const append = (list: number): Step => ({ do: 'append', list })
export const read = (list: number, ...elements: number[]): Step => ({ do: 'read', list, elements })
export const move = (from: number, to: number, cents: number): Step => ({ do: 'move', from, to, cents })

/** By default all transactions overlap, so that time orders nothing. */
export function op(id: number, told: Told, steps: readonly Step[], more: Partial<Operation> = {}): Operation {
	return { id, worker: 0, told, steps, startedAtMs: 0, endedAtMs: 1_000, ...more }
}

/** Lists by number; accounts 1, 2, … held 100 at first. */
export function history(
	operations: readonly Operation[],
	lists: Record<number, readonly number[]>,
	more: { accounts?: readonly number[]; isolation?: History['isolation'] } = {},
): History {
	const final: FinalState = {
		lists: new Map(Object.entries(lists).map(([list, elements]) => [Number(list), elements])),
		accounts: new Map((more.accounts ?? []).map((cents, at) => [at + 1, cents])),
	}
	return { operations, final, centsEach: 100, isolation: more.isolation ?? 'serializable' }
}
