/** Is a slip in a user's rows refused with its name, the rule and the value? */
import { expect, test } from 'vitest'
import { checkRows } from '../../../src/classify/check-rows.ts'

const good = {
	code: 'XX000',
	kind: 'deadlock',
	scope: 'transaction',
	outcome: 'rolled_back',
	retryable: true,
	reason: 'a reason',
	source: 'us',
}

test('rows that are fit for use come back as they are', () => {
	const rows = [
		good,
		{ ...good, code: undefined, message: /^a/ },
		{ ...good, code: undefined, prefix: 'XX', phase: 'commit', commit: 'unknown' },
	]
	expect(checkRows(rows)).toBe(rows)
	expect(checkRows([])).toEqual([])
})

test.each([
	['rows', 'classify must be a list of classification rows, got "rows"'],
	[undefined, 'classify must be a list of classification rows, got undefined'],
	[[null], 'classify[0] must be a classification row, got null'],
	[[good, 5], 'classify[1] must be a classification row, got 5'],
	[[{ ...good, transient: true }], 'classify[0].transient is not known; a row has code, prefix, message'],
	[[{ ...good, prefix: 'XX' }], 'classify[0] must have exactly one of code, prefix and message, got code and prefix'],
	[[{ ...good, code: undefined }], 'classify[0] must have exactly one of code, prefix and message, got none'],
	[[{ ...good, code: 40001 }], 'classify[0].code must be a text that is not empty, got 40001'],
	[[{ ...good, code: '' }], 'classify[0].code must be a text that is not empty, got ""'],
	[[{ ...good, code: undefined, message: /a/g }], 'classify[0].message must be a pattern without the flags g and y, got /a/g'],
	[[{ ...good, reason: undefined }], 'classify[0].reason must be a text that is not empty, got undefined'],
	[[{ ...good, source: '' }], 'classify[0].source must be a text that is not empty, got ""'],
	[[{ ...good, says: 1 }], 'classify[0].says must be a text that is not empty, got 1'],
	[[{ ...good, also: 'x' }], 'classify[0].also must be a list of further codes beside code, got "x"'],
	[[{ ...good, kind: 'toString' }], 'classify[0].kind must be one of connection_refused, '],
	[[{ ...good, scope: 'global' }], 'classify[0].scope must be one of endpoint, connection, transaction, statement, got "global"'],
	[[{ ...good, outcome: true }], 'classify[0].outcome must be one of not_sent, rolled_back, unknown, got true'],
	[[{ ...good, commit: 'yes' }], 'classify[0].commit must be one of not_sent, rolled_back, unknown, got "yes"'],
	[[{ ...good, phase: 'later' }], 'classify[0].phase must be one of connect, statement, commit, got "later"'],
	[[{ ...good, retryable: 1 }], 'classify[0].retryable must be true or false, got 1'],
	[[{ ...good, kind: 'permanent' }], 'classify[0].retryable must be false where kind is permanent, got true'],
	[[good, good], 'classify must not say two things of one error: two classification rows for XX000'],
])('%j is refused', (rows, message) => {
	expect(() => checkRows(rows)).toThrow(TypeError)
	expect(() => checkRows(rows)).toThrow(message)
})

test('the name of the option is the caller’s', () => {
	expect(() => checkRows(1, 'options.rows')).toThrow('options.rows must be a list')
})
