/** Which verdicts do many rows share? Named once, so that the tables read as knowledge and not as punctuation. */
import type { Verdict } from './table.ts'

/** Nothing listens: nobody can use this server now. */
export const refused: Verdict = { kind: 'connection_refused', scope: 'endpoint', outcome: 'not_sent', retryable: true }
/** The name did not resolve. */
export const unresolved: Verdict = { kind: 'dns', scope: 'endpoint', outcome: 'not_sent', retryable: true }
/** No connection came about in time. */
export const connectTimeout: Verdict = { kind: 'connect_timeout', scope: 'endpoint', outcome: 'not_sent', retryable: true }
/** The server is coming up. */
export const starting: Verdict = { kind: 'starting_up', scope: 'endpoint', outcome: 'not_sent', retryable: true }
/** The server is going down and takes nobody new. */
export const stopping: Verdict = { kind: 'shutting_down', scope: 'endpoint', outcome: 'not_sent', retryable: true }
/** The link died with work on it: bytes may have left and no answer came. */
export const lost: Verdict = { kind: 'connection_lost', scope: 'connection', outcome: 'unknown', retryable: true }
/** The link was known to be dead before anything was written to it. */
export const lostBefore: Verdict = { kind: 'connection_lost', scope: 'connection', outcome: 'not_sent', retryable: true }
/** The server ended this session, and said so before the statement was done. A COMMIT may have been done all the same. */
export const ended: Verdict = { kind: 'shutting_down', scope: 'connection', outcome: 'rolled_back', commit: 'unknown', retryable: true }
/** No room for one more connection; those that are open go on working, so it is no matter of the endpoint. */
export const full: Verdict = { kind: 'too_many_connections', scope: 'connection', outcome: 'not_sent', retryable: true }
/** A conflict between transactions, ended by a rollback that also counts when it answers a COMMIT. */
export const conflict: Verdict = {
	kind: 'serialization_failure',
	scope: 'transaction',
	outcome: 'rolled_back',
	commit: 'rolled_back',
	retryable: true,
}
/** Transactions waited for each other in a circle and this one was chosen to give way. */
export const deadlock: Verdict = { ...conflict, kind: 'deadlock' }
/** A bounded wait for a lock ran out. */
export const lockTimeout: Verdict = { ...conflict, kind: 'lock_timeout' }
/** The plan or prepared statement of this session no longer fits. A fresh session has none. */
export const stalePlan: Verdict = { kind: 'stale_plan', scope: 'connection', outcome: 'rolled_back', retryable: true }
/** A time limit or somebody's order ended the statement: a rerun would ignore that wish. */
export const cancelled: Verdict = { kind: 'statement_timeout', scope: 'statement', outcome: 'rolled_back', retryable: false }
/** The server refused the statement and would do so again. */
export const permanent: Verdict = { kind: 'permanent', scope: 'statement', outcome: 'rolled_back', retryable: false }
/** The server refuses these credentials, this database or this way of connecting. */
export const rejected: Verdict = { kind: 'permanent', scope: 'connection', outcome: 'not_sent', retryable: false }
/** The caller or its configuration is at fault, and nothing was sent. */
export const misuse: Verdict = { kind: 'permanent', scope: 'statement', outcome: 'not_sent', retryable: false }
/** Nobody can say what became of the work, and a rerun is not the cure. */
export const doubtful: Verdict = { kind: 'permanent', scope: 'connection', outcome: 'unknown', commit: 'unknown', retryable: false }
/** Memory, disk or a limit of the server ran out. Retrying adds load to what is short already, so it is left to the user's rows. */
export const exhausted: Verdict = { kind: 'resource_exhausted', scope: 'statement', outcome: 'rolled_back', retryable: false }
