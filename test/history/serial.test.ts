/** Does the checker agree with a model: nothing in what a serial database did, something after any single harm to it? */
import fc from 'fast-check'
import { expect, test } from 'vitest'
import { checkHistory } from './check.ts'
import type { History, Operation, Step } from './history.ts'

const lists = 4
const accounts = 3
const centsEach = 100

const step = fc.oneof(
	fc.record({ do: fc.constant('append' as const), list: fc.nat(lists - 1) }),
	fc.record({ do: fc.constant('read' as const), list: fc.nat(lists - 1) }),
	fc.record({ do: fc.constant('move' as const), from: fc.nat(accounts - 1), to: fc.nat(accounts - 1), cents: fc.nat(50) }),
	fc.record({ do: fc.constant('total' as const) }),
)
const plan = fc.record({ steps: fc.array(step, { maxLength: 5 }), lasts: fc.nat(30), fails: fc.boolean(), told: fc.boolean() })

/** Runs the plans one after the other on a database that is two maps. */
function runSerially(plans: readonly { steps: readonly Step[]; lasts: number; fails: boolean; told: boolean }[]): History {
	const content = new Map<number, number[]>()
	const cents = new Map(Array.from({ length: accounts }, (_, account) => [account, centsEach]))
	const operations = plans.map(({ steps, lasts, fails, told }, at): Operation => {
		const id = at + 1
		const times = { id, worker: 0, startedAtMs: at * 10 - lasts, endedAtMs: at * 10 + lasts }
		// Money moves with an append only: without one, nobody could tell whether the transfer is there.
		const once = [{ do: 'append' as const, list: 0 }, ...steps.filter((one) => one.do !== 'append' || one.list !== 0)].filter(
			(one, index, all) => one.do !== 'append' || all.findIndex((other) => other.do === 'append' && other.list === one.list) === index,
		)
		if (fails) return { ...times, told: told ? 'failed' : 'in doubt', steps: once }
		const done = once.map((one): Step => {
			const list = 'list' in one ? (content.get(one.list) ?? []) : []
			if (one.do === 'append') content.set(one.list, [...list, id])
			if (one.do === 'move') {
				cents.set(one.from, cents.get(one.from)! - one.cents)
				cents.set(one.to, cents.get(one.to)! + one.cents)
			}
			if (one.do === 'read') return { ...one, elements: list }
			if (one.do === 'total') return { ...one, cents: [...cents.values()].reduce((sum, each) => sum + each, 0) }
			return one
		})
		return { ...times, told: told ? 'ok' : 'in doubt', steps: done }
	})
	return { operations, final: { lists: content, accounts: cents }, centsEach, isolation: 'serializable' }
}

const serial = fc.array(plan, { minLength: 1, maxLength: 40 }).map(runSerially)

test('a serial run has no anomaly, whatever was told of it that is true', () => {
	fc.assert(
		fc.property(serial, (history) => {
			expect(checkHistory(history)).toEqual([])
		}),
	)
})

test('no element can be taken away, doubled or moved to another place without being noticed', () => {
	const told = serial.filter(({ operations }) => operations.some((one) => one.told === 'ok'))
	fc.assert(
		fc.property(told, fc.nat(), fc.constantFrom('take', 'double', 'misplace'), (history, seed, harm) => {
			const sure = history.operations.filter((one) => one.told === 'ok')
			const { id } = sure[seed % sure.length]!
			const elements = history.final.lists.get(0)!
			const harmed = {
				take: elements.filter((element) => element !== id),
				double: [...elements, id],
				misplace: [...elements, -id],
			}[harm as 'take']
			const final = { ...history.final, lists: new Map(history.final.lists).set(0, harmed) }
			expect(checkHistory({ ...history, final })).not.toEqual([])
		}),
	)
})

test('no transaction that is there can be told failed, and no account be wrong by a cent, without being noticed', () => {
	const present = serial.filter(({ final }) => (final.lists.get(0) ?? []).length > 0)
	fc.assert(
		fc.property(present, fc.nat(), (history, seed) => {
			const there = history.final.lists.get(0)!
			const id = there[seed % there.length]!
			const operations = history.operations.map((one) => (one.id === id ? { ...one, told: 'failed' as const } : one))
			expect(checkHistory({ ...history, operations }).map(({ kind }) => kind)).toContain('phantom')
			const off = new Map(history.final.accounts)
			off.set(seed % accounts, off.get(seed % accounts)! + 1)
			expect(checkHistory({ ...history, final: { ...history.final, accounts: off } }).map(({ kind }) => kind)).toContain('balance')
		}),
	)
})
