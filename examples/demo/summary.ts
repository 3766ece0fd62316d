/** How did it end? The table of both sides, and whether the wrapped one kept its promises. */
import type { Audit } from './audit.ts'
import { count } from './screen.ts'
import type { Side } from './side.ts'
import type { Span } from './tally.ts'

/** One side with its books checked. */
export interface Result {
	readonly side: Side
	readonly audit: Audit
	/** Transfers without an answer when the demo stopped to wait for them. */
	readonly hanging: number
}

/** Where and when it was measured. */
export interface Setting {
	readonly outages: readonly Span[]
	readonly endMs: number
}

interface Row {
	readonly what: string
	value(result: Result, setting: Setting): string
}

const rows: readonly Row[] = [
	{ what: 'transfers that were asked for', value: ({ side }) => count(side.tally.asked) },
	{ what: 'commits', value: ({ side }) => count(side.tally.done.size) },
	{ what: 'errors that reached the application', value: ({ side }) => count(side.tally.errorTimes.length) },
	{ what: 'errors that would have ended the process', value: ({ side }) => count(side.tally.wouldHaveCrashed) },
	{ what: 'reruns that the application did not notice', value: ({ side }) => count(total(side.reruns())) },
	{
		what: 'longest pause between two commits',
		value: ({ side }, { endMs }) => `${count(Math.round(side.tally.longestPauseMs(endMs)))} ms`,
	},
	{ what: 'connection attempts during the outages', value: ({ side }, { outages }) => count(side.tally.connectsIn(outages)) },
	{ what: 'reported as done, but not in the ledger', value: ({ audit }) => count(audit.lost) },
	{ what: 'reported as failed, yet in the ledger', value: ({ audit }) => count(audit.doneAfterAll) },
	{ what: 'left without an answer', value: ({ hanging }) => count(hanging) },
	{ what: 'balance check', value: ({ audit }) => balance(audit) },
]

/** The lines of the table. */
export function summary(results: readonly Result[], setting: Setting): string[] {
	const table = [
		['', ...results.map(({ side }) => side.name)],
		...rows.map(({ what, value }) => [what, ...results.map((result) => value(result, setting))]),
	]
	const widths = table[0]?.map((_, column) => Math.max(...table.map((row) => row[column]?.length ?? 0))) ?? []
	const lines = table.map((row) =>
		row.map((cell, column) => (column === 0 ? cell.padEnd(widths[0] ?? 0) : cell.padStart(widths[column] ?? 0))).join('   '),
	)
	lines.splice(1, 0, widths.map((width) => '-'.repeat(width)).join('   '))
	for (const { side } of results) {
		for (const [what, counts] of [
			['errors', side.tally.errors],
			['reruns', side.reruns()],
		] as const) {
			if (counts.size > 0) lines.push(`${lines.at(-1)?.startsWith(' ') ? '' : '\n'}  ${side.name}, ${what}: ${list(counts)}`)
		}
	}
	return lines
}

/** What the wrapped side did wrong; nothing where it kept every promise. */
export function brokenPromises({ side, audit, hanging }: Result): string[] {
	const errors = side.tally.errorTimes.length
	return [
		side.tally.done.size === 0 && 'it committed nothing',
		errors > 0 && `${count(errors)} errors reached the application`,
		audit.centsOff !== 0 && `the balances are off by ${count(audit.centsOff)} cents`,
		audit.wrongAccounts > 0 && `${count(audit.wrongAccounts)} accounts do not match the ledger`,
		audit.lost > 0 && `${count(audit.lost)} transfers were reported as done and are not in the ledger`,
		audit.doneAfterAll > 0 && `${count(audit.doneAfterAll)} transfers were reported as failed and are in the ledger`,
		hanging > 0 && `${count(hanging)} transfers were left without an answer`,
	].filter((text) => text !== false)
}

const total = (counts: ReadonlyMap<string, number>) => [...counts.values()].reduce((sum, value) => sum + value, 0)

const list = (counts: ReadonlyMap<string, number>) =>
	[...counts]
		.sort(([, one], [, other]) => other - one)
		.map(([name, times]) => `${count(times)} x ${name}`)
		.join(', ')

function balance({ centsOff, wrongAccounts }: Audit): string {
	if (centsOff !== 0) return `off by ${count(centsOff)} cents`
	return wrongAccounts === 0 ? 'exact' : `${count(wrongAccounts)} accounts wrong`
}
