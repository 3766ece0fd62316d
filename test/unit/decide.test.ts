/** May work be run again? The whole table: what is known of it, and what it is. */
import { expect, test } from 'vitest'
import { mayRerun } from '../../src/decide.ts'
import type { Fault, FaultKind, Outcome } from '../../src/fault.ts'

const outcomes: readonly Outcome[] = ['not_sent', 'rolled_back', 'unknown']
const kinds: readonly FaultKind[] = [
	'connection_refused',
	'connection_lost',
	'connect_timeout',
	'starting_up',
	'shutting_down',
	'too_many_connections',
	'dns',
	'pool_timeout',
	'attempt_timeout',
	'serialization_failure',
	'deadlock',
	'lock_timeout',
	'read_only',
	'statement_timeout',
	'resource_exhausted',
	'stale_plan',
	'session_timeout',
	'permanent',
]
const rows = kinds.flatMap((kind) =>
	outcomes.flatMap((outcome) =>
		[true, false].flatMap((idempotent) => [true, false].map((reads) => ({ kind, outcome, idempotent, reads }))),
	),
)

test('work is in doubt only where its outcome is unknown and it is neither idempotent nor a read, whatever the kind of fault', () => {
	for (const { kind, outcome, idempotent, reads } of rows) {
		const fault: Fault = { kind, scope: 'connection', outcome, retryable: true, code: undefined, reason: '' }
		const expected = outcome === 'unknown' && !idempotent && !reads ? 'in doubt' : 'rerun'
		expect(mayRerun(fault, { idempotent, reads: () => reads }), JSON.stringify({ kind, outcome, idempotent, reads })).toBe(expected)
	}
})

test('whether work only reads is looked up only where it matters', () => {
	const reads = () => {
		throw new Error('was asked')
	}
	const fault: Fault = { kind: 'connection_lost', scope: 'connection', outcome: 'not_sent', retryable: true, code: undefined, reason: '' }
	expect(mayRerun(fault, { idempotent: false, reads })).toBe('rerun')
	expect(mayRerun({ ...fault, outcome: 'unknown' }, { idempotent: true, reads })).toBe('rerun')
})
