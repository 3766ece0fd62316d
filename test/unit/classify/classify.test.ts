/** What does every fault hold, and what do rows of the user change? */
import { expect, test } from 'vitest'
import { classify } from '../../../src/classify/classify.ts'
import type { ClassificationRow } from '../../../src/classify/table.ts'
import { classificationRows } from '../../../src/classify/tables.ts'
import { conflict, error, my, pg, verdict } from './expected.ts'

test.each(classificationRows())('while connecting nothing was sent, whatever the error: $code$prefix$message', (row) => {
	const given = { message: row.says ?? String(row.message), routine: row.routine, ...(row.code !== undefined && { code: row.code }) }
	expect(classify(error(given), { phase: 'connect' }).outcome).toBe('not_sent')
})

test('the phase is a statement unless told otherwise', () => {
	expect(classify(error({ code: 'ECONNRESET' }))).toEqual(classify(error({ code: 'ECONNRESET' }), { phase: 'statement' }))
	expect(classify(error({ code: 'ECONNRESET' })).outcome).toBe('unknown')
})

test('the fault carries the code that decided and a reason', () => {
	expect(classify(error(pg('40001')))).toMatchObject({ code: '40001', reason: expect.stringContaining('rerun') })
	expect(classify(error(my(1213, 'ER_LOCK_DEADLOCK'))).code).toBe('ER_LOCK_DEADLOCK')
	expect(classify(error(my(1927, undefined))).code).toBe('ER_CONNECTION_KILLED')
	expect(classify(error({ message: 'Connection terminated' })).code).toBeUndefined()
	expect(classify(error(pg('99999'))).code).toBe('99999')
})

const row: ClassificationRow = {
	code: 'XX000',
	kind: 'serialization_failure',
	scope: 'transaction',
	outcome: 'rolled_back',
	retryable: true,
	reason: 'known to pass here',
	source: 'our own',
}

test('rows of the user extend what is known and go before built-in rows of the same key', () => {
	expect(classify(error(pg('XX000'))).retryable).toBe(false)
	expect(verdict(classify(error(pg('XX000')), { rows: [row] }))).toEqual(conflict)
	const narrow: ClassificationRow = { ...row, code: '40001', retryable: false }
	expect(classify(error(pg('40001')), { rows: [narrow] }).retryable).toBe(false)
	expect(classify(error(my(1213, 'ER_LOCK_DEADLOCK')), { rows: [{ ...row, code: 'ER_LOCK_DEADLOCK', retryable: false }] }).retryable).toBe(
		false,
	)
	expect(
		classify(error({ message: 'quota used up' }), {
			rows: [{ ...row, code: undefined, message: /^quota/ } as unknown as ClassificationRow],
		}).retryable,
	).toBe(true)
	expect(classify(error(pg('23505')), { rows: [row] }).retryable).toBe(false)
})
