/** What do PgBouncer's own errors mean? It sends nearly all of them as 08P01 and tells them apart by text only. */
import type { ClassificationRow, Verdict } from './table.ts'
import { cancelled, ended, full, lost, refused, stopping } from './verdicts.ts'

const row = (says: string, verdict: Verdict, reason: string, file: string): ClassificationRow => ({
	code: '08P01',
	says,
	...verdict,
	reason,
	source: `PgBouncer source, ${file}`,
})

const waiting: Verdict = { kind: 'pool_timeout', scope: 'connection', outcome: 'not_sent', retryable: true }
const cut: Verdict = { ...cancelled, scope: 'connection', outcome: 'unknown' }

/** Rows for errors of the pooler between us and the server. */
export const pgbouncerRows: readonly ClassificationRow[] = [
	row('server conn crashed?', lost, 'the pooler lost the server with our work on it', 'server.c'),
	row('server login has been failing', refused, 'the pooler cannot log in to the server', 'objects.c'),
	row('pgbouncer cannot connect to server', refused, 'the pooler cannot reach the server', 'objects.c, up to 1.18'),
	row('client_login_timeout (server down)', refused, 'the pooler cannot reach the server', 'janitor.c'),
	row('server shutting down', stopping, 'the pooler is stopping', 'janitor.c and objects.c'),
	row('no more connections allowed', full, 'the pooler takes no more clients', 'client.c'),
	row('client connections exceeded', full, 'the pooler takes no more clients of this database or user', 'client.c'),
	row('query_wait_timeout', waiting, 'the pooler had no free server in time, so it sent nothing', 'janitor.c'),
	row('client_idle_timeout', { ...ended, kind: 'session_timeout' }, 'the pooler ended a session that nobody used', 'janitor.c'),
	row('query_timeout', cut, 'the time limit of the pooler ended the query', 'janitor.c'),
	row('query timeout', cut, 'the time limit of the pooler ended the query', 'janitor.c'),
	row(
		'idle transaction timeout',
		{ ...ended, kind: 'session_timeout', retryable: false },
		'the caller was idle too long inside a transaction',
		'janitor.c',
	),
	row('transaction timeout', { ...cut, kind: 'session_timeout' }, 'the transaction took longer than the pooler allows', 'janitor.c'),
]
