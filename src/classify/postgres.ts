/** What do PostgreSQL's error codes mean? Rows by SQLSTATE; a code without a row is permanent. */
import type { ClassificationRow } from './table.ts'
import {
	cancelled,
	conflict,
	deadlock,
	doubtful,
	ended,
	exhausted,
	full,
	lockTimeout,
	lost,
	permanent,
	rejected,
	stalePlan,
	starting,
	stopping,
} from './verdicts.ts'

const codes = 'PostgreSQL manual, appendix A'
const serializable = 'PostgreSQL manual, 13.5'
const startup = 'PostgreSQL source, backend_startup.c and postmaster.c'
const interrupts = 'PostgreSQL source, ProcessInterrupts in postgres.c'
const settings = 'PostgreSQL manual, 19.11'
const transactional = { ...permanent, scope: 'transaction' } as const

/** SQLSTATE rows that are not simply permanent, and the permanent ones that are easily mistaken for transient. */
export const postgresRows: readonly ClassificationRow[] = [
	{ code: '08000', ...doubtful, reason: 'connection exception without detail', source: codes },
	{ code: '08001', ...permanent, reason: 'the server could not reach another server on behalf of the statement', source: codes },
	{ code: '08003', ...permanent, reason: 'the statement named a connection that does not exist', source: codes },
	{ code: '08004', ...rejected, reason: 'the server rejected the connection', source: codes },
	{ code: '08006', ...lost, reason: 'the connection failed', source: codes },
	{ code: '08007', ...doubtful, reason: 'whether the transaction was committed is not known', source: codes },
	{ code: '08P01', ...doubtful, reason: 'protocol violation', source: codes },
	{ code: '0A000', ...permanent, reason: 'the server does not support this', source: codes },
	{
		code: '0A000',
		routine: 'RevalidateCachedQuery',
		...stalePlan,
		reason: 'the result columns of a prepared statement changed; it must be prepared anew',
		source: 'PostgreSQL source, RevalidateCachedQuery in plancache.c',
	},
	{ code: '0A000', says: 'cached plan must not change result type', ...stalePlan, reason: 'as above, by its text', source: 'plancache.c' },
	{
		code: '25006',
		...transactional,
		kind: 'read_only',
		// A standby and a transaction that was declared READ ONLY answer alike, and for the latter a rerun would only be late.
		// Who knows that the work was not declared so may retry by the kind.
		reason: 'the transaction may not write: it was declared read-only, or the server is a standby',
		source: 'PostgreSQL source, PreventCommandIfReadOnly in utility.c',
	},
	{
		code: '25P02',
		...transactional,
		reason: 'an earlier statement failed and its error was ignored; only ROLLBACK is accepted',
		source: codes,
	},
	{
		code: '25P03',
		...ended,
		kind: 'session_timeout',
		retryable: false,
		reason: 'idle_in_transaction_session_timeout: the caller was idle too long inside a transaction',
		source: settings,
	},
	{
		code: '25P04',
		...ended,
		kind: 'session_timeout',
		retryable: false,
		reason: 'transaction_timeout: the transaction took too long',
		source: settings,
	},
	{ code: '26000', ...stalePlan, reason: 'the prepared statement is not in this session, as behind a pooler', source: codes },
	{ code: '3D000', ...rejected, reason: 'the database does not exist', source: codes },
	{ code: '40000', ...transactional, reason: 'rolled back for a reason that is not said', source: codes },
	{ code: '40001', ...conflict, reason: 'serialization failure: rerun the whole transaction', source: serializable },
	{ code: '40002', ...transactional, reason: 'a constraint was violated at the end of the transaction', source: codes },
	{ code: '40003', ...doubtful, reason: 'whether the statement was completed is not known', source: codes },
	{ code: '40P01', ...deadlock, reason: 'deadlock: rerun the whole transaction', source: serializable },
	{ code: '53000', ...exhausted, reason: 'a resource of the server ran out', source: codes },
	{ code: '53100', ...exhausted, reason: 'the disk of the server is full', source: codes },
	{ code: '53200', ...exhausted, reason: 'the server is out of memory or of lock slots', source: codes },
	{
		code: '53300',
		...full,
		reason: 'all connections of the server, the database or the role are taken',
		source: 'PostgreSQL manual, 19.3',
	},
	{ code: '53400', ...exhausted, reason: 'a configured limit was reached', source: codes },
	{ code: '55000', ...permanent, reason: 'the object is not in the state that the statement needs', source: codes },
	{ code: '55006', ...permanent, reason: 'the object is in use', source: codes },
	{ code: '55P03', ...permanent, reason: 'NOWAIT: the caller did not want to wait for the lock', source: 'PostgreSQL manual, SELECT' },
	{
		code: '55P03',
		routine: 'ProcessInterrupts',
		...lockTimeout,
		reason: 'lock_timeout: the lock was not free in time',
		source: interrupts,
	},
	{ code: '55P03', says: 'due to lock timeout', ...lockTimeout, reason: 'lock_timeout: the lock was not free in time', source: interrupts },
	{ code: '57014', ...cancelled, reason: 'statement_timeout, or somebody cancelled the query', source: interrupts },
	{ code: '57P01', ...ended, reason: 'the server stops, or an administrator ended this session: both say the same', source: interrupts },
	{ code: '57P02', ...lost, kind: 'shutting_down', reason: 'another backend crashed and the server ended all sessions', source: codes },
	{ code: '57P03', ...starting, reason: 'the server does not accept connections yet', source: startup },
	{ code: '57P03', says: 'starting up', ...starting, reason: 'the server is starting', source: startup },
	{ code: '57P03', says: 'shutting down', ...stopping, reason: 'the server is stopping', source: startup },
	{ code: '57P03', says: 'recovery', ...starting, reason: 'the server is recovering from a crash', source: startup },
	{ code: '57P04', ...ended, kind: 'permanent', retryable: false, reason: 'the database was dropped', source: codes },
	{ code: '57P05', ...ended, kind: 'session_timeout', reason: 'idle_session_timeout ended a session that nobody used', source: settings },
	{ code: '58000', ...exhausted, kind: 'permanent', reason: 'system error outside the server', source: codes },
	{ code: '58030', ...exhausted, kind: 'permanent', reason: 'input or output error of the server', source: codes },
	{ code: '42P05', ...stalePlan, reason: 'the name of the prepared statement is taken in this session, as behind a pooler', source: codes },
	{ prefix: '21', ...permanent, reason: 'the statement returned more rows than its use allows', source: codes },
	{ prefix: '22', ...permanent, reason: 'the data does not fit', source: codes },
	{ prefix: '23', ...permanent, reason: 'a constraint was violated', source: codes },
	{ prefix: '25', ...transactional, reason: 'the statement does not fit the state of the transaction', source: codes },
	{ prefix: '28', ...rejected, reason: 'the server refuses these credentials or this way of connecting', source: codes },
	{ prefix: '42', ...permanent, reason: 'the statement is wrong, or not allowed for this user', source: codes },
	{ prefix: 'P0', ...permanent, reason: 'raised by a function in the database', source: codes },
	{ prefix: 'XX', ...permanent, reason: 'internal error of the server', source: codes },
]
