/** When is a chaos run a failure? */
import { expect, test } from 'vitest'
import { anomalyKinds } from '../history/history.ts'
import type { Tally } from './run.ts'
import { failures, verdictLines } from './verdict.ts'

const tally = (more: Partial<Tally> = {}): Tally => ({
	told: { ok: 10, failed: 0, 'in doubt': 0 },
	errors: new Map(),
	anomalies: [],
	anomalyCounts: new Map(),
	struck: new Map(),
	ran: { rounds: 1, workMs: 1_000, longestMs: 10 },
	hanging: [],
	accidents: [],
	stats: undefined,
	isolation: 'serializable',
	...more,
})
const verify = { client: 'holdfast', commit: 'verify' } as const
const ledger = { client: 'holdfast', commit: 'ledger' } as const

test('a run without an anomaly is none', () => {
	expect(failures(tally(), verify)).toEqual([])
})

test.each(anomalyKinds)('one anomaly of the kind %s is enough', (kind) => {
	expect(failures(tally({ anomalyCounts: new Map([[kind, 1]]) }), verify)).toEqual([`1 × ${kind}`])
})

test('what has no answer, and what nobody caught, makes it one', () => {
	expect(failures(tally({ hanging: ['transaction 1'] }), verify)).toHaveLength(1)
	expect(failures(tally({ accidents: ['unhandled rejection: x'] }), verify)).toHaveLength(1)
})

test('in doubt is reported with verification, and forbidden with the ledger', () => {
	const doubt = tally({ told: { ok: 10, failed: 0, 'in doubt': 1 } })
	expect(failures(doubt, verify)).toEqual([])
	expect(failures(doubt, ledger)).toEqual(['1 in doubt in spite of the ledger'])
})

test('the verdict says how much was in doubt and which faults struck', () => {
	const told = { ok: 98, failed: 1, 'in doubt': 1 }
	const struck: Tally['struck'] = new Map([
		['kill', 3],
		['commit-reply', 40],
	])
	const options = { ...verify, seed: 1, minutes: 1, crashes: 0, faults: 0, isolations: ['serializable'] } as never
	const lines = verdictLines(tally({ told, struck }), options).join('\n')
	expect(lines).toContain('in doubt 1 (1.000 %)')
	expect(lines).toContain('crashes       3')
	expect(lines).toContain('network       40 faults')
})
