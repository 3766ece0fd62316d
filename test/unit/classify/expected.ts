/** What the tests of classification share: errors as drivers raise them, and what is expected of them. */
import { expect, test } from 'vitest'
import { classify } from '../../../src/classify/classify.ts'
import type { Fault, Phase } from '../../../src/fault.ts'

export type Expected = readonly [kind: Fault['kind'], scope: Fault['scope'], outcome: Fault['outcome'], retryable: boolean]
export type Given = Readonly<Record<string, unknown>> & { message?: string }

/** An error as the drivers raise it. */
export function error(given: Given): Error {
	const { message = 'x', ...fields } = given
	return Object.assign(new Error(message), fields)
}

export const pg = (code: string, more: Given = {}): Given => ({ code, severity: 'ERROR', message: 'text of the server', ...more })
export const fatal = (code: string, more: Given = {}): Given => pg(code, { severity: 'FATAL', ...more })
export const my = (errno: number, code: string | undefined, more: Given = {}): Given => ({
	errno,
	code,
	sqlState: 'HY000',
	sqlMessage: 'x',
	...more,
})
export const interrupts = { routine: 'ProcessInterrupts' }
export const rejected: Expected = ['permanent', 'connection', 'not_sent', false]
export const permanent: Expected = ['permanent', 'statement', 'rolled_back', false]
export const endpoint = (kind: Fault['kind']): Expected => [kind, 'endpoint', 'not_sent', true]
export const lost: Expected = ['connection_lost', 'connection', 'unknown', true]
export const lostBefore: Expected = ['connection_lost', 'connection', 'not_sent', true]
export const full: Expected = ['too_many_connections', 'connection', 'not_sent', true]
export const conflict: Expected = ['serialization_failure', 'transaction', 'rolled_back', true]
export const deadlock: Expected = ['deadlock', 'transaction', 'rolled_back', true]
export const doubtful: Expected = ['permanent', 'connection', 'unknown', false]

export const verdict = ({ kind, scope, outcome, retryable }: Fault): Expected => [kind, scope, outcome, retryable]

/** One test a case. */
export function testCases(cases: readonly (readonly [Phase, Given, Expected])[]): void {
	test.each(cases)('in phase %s the error %j is classified as its row says', (phase, given, expected) => {
		expect(verdict(classify(error(given), { phase }))).toEqual(expected)
	})
}
