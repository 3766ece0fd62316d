/** What do Holdfast's own errors mean to an outer retry? They end a decision that was made already, so their causes are not looked at. */
import type { HoldfastErrorCode } from '../errors.ts'
import type { ClassificationRow, Verdict } from './table.ts'
import { doubtful, lost, misuse } from './verdicts.ts'

const source = 'Holdfast, src/errors.ts'
const row = (code: HoldfastErrorCode, verdict: Verdict, reason: string): ClassificationRow => ({ code, ...verdict, reason, source })

/** Rows for the errors of `src/errors.ts`. */
export const ownRows: readonly ClassificationRow[] = [
	row(
		'HOLDFAST_RETRIES_EXHAUSTED',
		{ ...doubtful, scope: 'statement' },
		'the retries inside are used up; retrying around them would multiply',
	),
	row('HOLDFAST_IN_DOUBT', { ...doubtful, scope: 'statement' }, 'the work may have been applied'),
	row('HOLDFAST_OVERLOAD', misuse, 'too many callers wait already'),
	row('HOLDFAST_DEADLINE', misuse, 'the deadline passed while waiting'),
	row('HOLDFAST_CLOSED', misuse, 'the pool was ended'),
	row('HOLDFAST_LEDGER', misuse, 'the commit ledger cannot be used'),
	row('HOLDFAST_MIGRATION_BLOCKED', misuse, 'the tries for a lock are used up'),
	row('HOLDFAST_MIGRATIONS_LOCKED', misuse, 'another runner of migrations did not finish in time'),
	row('HOLDFAST_POOLER', misuse, 'a pooler in between does not keep the session'),
	row('HOLDFAST_ON_CONNECT', misuse, 'onConnect has left its connection unusable, or did not finish'),
	row('HOLDFAST_LINK_LOST', lost, 'the link was found to be dead: no answer could come over it any more'),
	row(
		'HOLDFAST_NO_HOST',
		{ kind: 'read_only', scope: 'endpoint', outcome: 'not_sent', retryable: true },
		'none of the hosts is what is wanted: no primary was promoted yet, or no replica is there',
	),
	row('HOLDFAST_TRANSACTION_ENDED', misuse, 'the transaction was over'),
	row('HOLDFAST_TRANSACTION_CONTROL', misuse, 'the statement would have taken the transaction out of control'),
	row(
		'HOLDFAST_ROLLED_BACK',
		{ kind: 'permanent', scope: 'transaction', outcome: 'rolled_back', commit: 'rolled_back', retryable: false },
		'the server rolled the transaction back instead of committing it',
	),
	row('HOLDFAST_PARTLY_COMMITTED', { ...doubtful, scope: 'transaction' }, 'part of the work is committed'),
	row(
		'HOLDFAST_ATTEMPT_TIMEOUT',
		{ kind: 'attempt_timeout', scope: 'connection', outcome: 'unknown', retryable: true },
		'attemptTimeoutMs cut the attempt short',
	),
]
