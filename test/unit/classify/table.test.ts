/** Are the rows sound, and does their order not matter? */
import { expect, test } from 'vitest'
import { buildTable, type ClassificationRow, lookup, rowIdentity } from '../../../src/classify/table.ts'
import { classificationRows } from '../../../src/classify/tables.ts'

const rows = classificationRows()

const phases = ['connect', 'statement', 'commit'] as const

test('each row has a reason and a source, and a permanent one is not retryable', () => {
	for (const row of rows) {
		expect(row.reason.length, rowIdentity(row)).toBeGreaterThan(5)
		expect(row.source.length, rowIdentity(row)).toBeGreaterThan(3)
		if (row.kind === 'permanent') expect(row.retryable, rowIdentity(row)).toBe(false)
	}
})

test('no two rows say something of the same error', () => {
	expect(() => buildTable(rows)).not.toThrow()
	expect(() => buildTable([...rows, rows[0]!])).toThrow(`two classification rows for ${rowIdentity(rows[0]!)}`)
	const byName = rows.find((row) => row.also?.length)!
	expect(() => buildTable([...rows, { ...byName, code: byName.also![0]!, also: [] } as ClassificationRow])).toThrow(
		/two classification rows/,
	)
})

test('the order of the rows does not matter', () => {
	const forwards = buildTable(rows)
	const backwards = buildTable([...rows].reverse())
	for (const row of rows) {
		for (const phase of phases) {
			const message = row.says ?? (typeof row.message === 'string' ? row.message : '')
			const signs = { codes: row.code === undefined ? [] : [row.code, 'x'], message, routine: row.routine }
			expect(lookup(backwards, signs, phase)).toBe(lookup(forwards, signs, phase))
		}
	}
})

test('no text fits two patterns', () => {
	const start = 'connection to server at "h" (127.0.0.1), port 5432 failed: '
	const texts = [
		'SASL: x',
		`${start}Connection refused\n\tIs the server running on that host and accepting TCP/IP connections?`,
		`${start}No such file or directory`,
		`${start}timeout expired`,
		`${start}FATAL:  the database system is starting up`,
		`${start}FATAL:  sorry, too many clients already`,
		'could not translate host name "h" to address: Name or service not known',
		'server closed the connection unexpectedly\n\tThis probably means',
		'could not receive data from server: Connection reset by peer',
	]
	const patterns = rows.filter((row) => row.message instanceof RegExp)
	for (const text of texts)
		expect(
			patterns.filter((row) => (row.message as RegExp).test(text)),
			text,
		).toHaveLength(1)
})

const base = { kind: 'dns', scope: 'statement', outcome: 'unknown', retryable: true, source: 'test' } as const
const row = (key: object, reason: string): ClassificationRow => ({ ...base, ...key, reason }) as ClassificationRow
const table = buildTable([
	row({ message: 'hello' }, 'message'),
	row({ prefix: '4' }, 'short prefix'),
	row({ prefix: '40' }, 'long prefix'),
	row({ code: '40001' }, 'code'),
	row({ code: '40001', phase: 'commit' }, 'code in commit'),
	row({ code: '40001', says: 'abc' }, 'code that says abc'),
	row({ code: '40001', says: 'abcdef' }, 'code that says more'),
	row({ code: '40001', routine: 'F' }, 'code from F'),
])
const ask = (codes: string[], message = '', routine?: string, phase: (typeof phases)[number] = 'statement') =>
	lookup(table, { codes, message, routine }, phase)?.reason

test('the exact code wins over the longest prefix, and that over the text', () => {
	expect(ask(['40001'], 'hello')).toBe('code')
	expect(ask(['40002'], 'hello')).toBe('long prefix')
	expect(ask(['41'], 'hello')).toBe('short prefix')
	expect(ask(['5'], 'hello')).toBe('message')
	expect(ask(['5'], 'hello there')).toBeUndefined()
	expect(ask(['5', '40001'])).toBe('code')
})

test('of rows for one code the one that asks for more wins, where the error has it', () => {
	expect(ask(['40001'], 'abc')).toBe('code that says abc')
	expect(ask(['40001'], 'abcdefg')).toBe('code that says more')
	expect(ask(['40001'], '', 'F')).toBe('code from F')
	expect(ask(['40001'], '', 'G')).toBe('code')
	expect(ask(['40001'], '', undefined, 'commit')).toBe('code in commit')
})
