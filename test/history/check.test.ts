/** Does the checker see every anomaly in a history made by hand, and none in a history without one? */
import { expect, test } from 'vitest'
import { append, history, move, op, read } from './a-history.ts'
import { checkHistory } from './check.ts'
import type { History } from './history.ts'

const kinds = (of: History) => checkHistory(of).map(({ kind }) => kind)
const readCommitted = { isolation: 'read committed' } as const

test('a history in which everything was done once has no anomaly', () => {
	const operations = [
		op(1, 'ok', [append(1)], { commitCallbacks: 1 }),
		op(2, 'ok', [read(1, 1), append(1), read(1, 1, 2), move(1, 2, 30)]),
		op(3, 'ok', [read(1, 1, 2), read(2)]),
		op(4, 'failed', [append(2), move(1, 2, 5)], { commitCallbacks: 0 }),
	]
	expect(checkHistory(history(operations, { 1: [1, 2] }, { accounts: [70, 130] }))).toEqual([])
})

test('what was told ok and is not there is lost', () => {
	expect(kinds(history([op(1, 'ok', [append(1)])], {}))).toEqual(['lost'])
})

test('what was told failed and is there is a phantom', () => {
	expect(kinds(history([op(1, 'failed', [append(1)])], { 1: [1] }))).toEqual(['phantom'])
})

test('what is there twice is a duplicate, also where it was in doubt', () => {
	expect(kinds(history([op(1, 'ok', [append(1)]), op(2, 'in doubt', [append(2)])], { 1: [1, 1], 2: [2, 2] }))).toEqual([
		'duplicate',
		'duplicate',
	])
})

test('what is in doubt may be there and may not', () => {
	expect(kinds(history([op(1, 'in doubt', [append(1)]), op(2, 'in doubt', [append(1)])], { 1: [2] }))).toEqual([])
})

test.each(['ok', 'in doubt'] as const)('what was told %s and is there in part is torn', (told) => {
	expect(kinds(history([op(1, told, [append(1), append(2)])], { 1: [1] }))).toEqual(['torn'])
})

test('an element that nobody was to append there is a stranger', () => {
	expect(kinds(history([op(1, 'ok', [append(1)])], { 1: [1], 2: [1, 7] }))).toEqual(['stranger', 'stranger'])
})

test('money that does not fit the transfers that are there is seen in each account', () => {
	const operations = [op(1, 'ok', [move(1, 2, 30), append(1)]), op(2, 'failed', [move(1, 2, 5), append(1)])]
	expect(kinds(history(operations, { 1: [1] }, { accounts: [70, 130] }))).toEqual([])
	expect(kinds(history(operations, { 1: [1] }, { accounts: [65, 135] }))).toEqual(['balance', 'balance'])
	expect(kinds(history(operations, { 1: [1] }, { accounts: [70, 100] }))).toEqual(['balance'])
})

test('a sum of all accounts that was read in the middle of a transfer is seen', () => {
	const total = (cents: number) => op(1, 'ok', [{ do: 'total', cents }])
	expect(kinds(history([total(200)], {}, { accounts: [100, 100] }))).toEqual([])
	expect(kinds(history([total(170)], {}, { accounts: [100, 100] }))).toEqual(['balance'])
})

test('a read of what never came to stay is a dirty read', () => {
	expect(kinds(history([op(1, 'failed', [append(1)]), op(2, 'ok', [read(1, 1)])], {}))).toEqual(['dirty read'])
})

test('a read that is no beginning of the final list has the wrong order', () => {
	const writers = [op(1, 'ok', [append(1)]), op(2, 'ok', [append(1)])]
	expect(kinds(history([...writers, op(3, 'ok', [read(1, 2)])], { 1: [1, 2] }))).toEqual(['wrong order'])
	expect(kinds(history([...writers, op(3, 'ok', [read(1, 2, 1)])], { 1: [1, 2] }))).toEqual(['wrong order'])
})

test('a transaction that does not read what it has appended is seen', () => {
	expect(kinds(history([op(1, 'ok', [append(1), read(1)])], { 1: [1] }))).toEqual(['own write unseen'])
	expect(kinds(history([op(1, 'ok', [read(1, 1), append(1)])], { 1: [1] }))).toEqual(['own write unseen'])
})

test('a commit callback must run once for what is certain and never else', () => {
	const told = (how: 'ok' | 'failed' | 'in doubt', commitCallbacks: number) => op(1, how, [], { commitCallbacks })
	expect(kinds(history([told('ok', 1)], {}))).toEqual([])
	for (const wrong of [told('ok', 0), told('ok', 2), told('failed', 1), told('in doubt', 1)]) {
		expect(kinds(history([wrong], {}))).toEqual(['callback'])
	}
})

test('what a failed transaction has read proves nothing', () => {
	expect(kinds(history([op(1, 'failed', [read(1, 9)]), op(2, 'in doubt', [read(1, 9)])], {}))).toEqual([])
})

test('write skew is a cycle under serializable and allowed under read committed', () => {
	const operations = [op(1, 'ok', [read(2), append(1)]), op(2, 'ok', [read(1), append(2)])]
	const [found] = checkHistory(history(operations, { 1: [1], 2: [2] }))
	expect(found).toMatchObject({ kind: 'cycle', detail: expect.stringMatching(/-rw-> .* -rw->/) })
	expect([...(found?.ids ?? [])].sort()).toEqual([1, 2])
	expect(kinds(history(operations, { 1: [1], 2: [2] }, readCommitted))).toEqual([])
})

test('a lost update is a cycle under serializable', () => {
	const operations = [op(1, 'ok', [read(1), append(1)]), op(2, 'ok', [read(1), append(1)])]
	expect(kinds(history(operations, { 1: [1, 2] }))).toEqual(['cycle'])
})

test('reading one half of a transaction is a cycle under serializable', () => {
	const operations = [op(1, 'ok', [append(1), append(2)]), op(2, 'ok', [read(1, 1), read(2)])]
	expect(kinds(history(operations, { 1: [1], 2: [1] }))).toEqual(['cycle'])
})

test('two transactions that read from each other are a cycle at every level', () => {
	const operations = [op(1, 'ok', [append(1), read(2, 2)]), op(2, 'ok', [append(2), read(1, 1)])]
	for (const isolation of ['serializable', 'read committed'] as const) {
		expect(kinds(history(operations, { 1: [1], 2: [2] }, { isolation }))).toEqual(['cycle'])
	}
})

test('a read of an old state after a later one was confirmed is a cycle with time', () => {
	const writer = op(1, 'ok', [append(1)], { startedAtMs: 0, endedAtMs: 10 })
	const reader = (startedAtMs: number) => op(2, 'ok', [read(1)], { startedAtMs, endedAtMs: 20 })
	const [found] = checkHistory(history([writer, reader(11)], { 1: [1] }))
	expect(found).toMatchObject({ kind: 'cycle', detail: 'no order explains 1 -time-> 2 -rw-> 1' })
	expect(kinds(history([writer, reader(9)], { 1: [1] }))).toEqual([])
})

test('time orders transactions across many others', () => {
	const chain = Array.from({ length: 50 }, (_, at) => op(at + 1, 'ok', [append(at + 1)], { startedAtMs: at * 10, endedAtMs: at * 10 + 5 }))
	const late = op(99, 'ok', [read(1)], { startedAtMs: 495, endedAtMs: 500 })
	const lists = Object.fromEntries(chain.map(({ id }) => [id, [id]]))
	expect(kinds(history([...chain, late], lists))).toEqual(['cycle'])
})

test('what was told in doubt may have been committed later than it was told', () => {
	const operations = [
		op(1, 'in doubt', [append(1)], { startedAtMs: 0, endedAtMs: 10 }),
		op(2, 'ok', [read(1)], { startedAtMs: 11, endedAtMs: 20 }),
	]
	expect(kinds(history(operations, { 1: [1] }))).toEqual([])
})
