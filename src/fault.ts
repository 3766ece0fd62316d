/** What can be said of an error? The vocabulary that classification, scheduling and the drivers share. */

/** What happened. `permanent` is everything that a rerun would meet again, and everything that is not known. */
export type FaultKind =
	| 'connection_refused'
	| 'connection_lost'
	| 'connect_timeout'
	| 'starting_up'
	| 'shutting_down'
	| 'too_many_connections'
	| 'dns'
	| 'pool_timeout'
	| 'attempt_timeout'
	| 'serialization_failure'
	| 'deadlock'
	| 'lock_timeout'
	| 'read_only'
	| 'statement_timeout'
	| 'resource_exhausted'
	| 'stale_plan'
	| 'session_timeout'
	| 'permanent'

/**
 * Who is hit. `endpoint`: nobody can use this server now. `connection`: this one is dead.
 * `transaction`: it was or must be rolled back. `statement`: only this one failed.
 */
export type FaultScope = 'endpoint' | 'connection' | 'transaction' | 'statement'

/**
 * What is known of the work. `not_sent`: the server never saw it. `rolled_back`: the server said that it has no effect.
 * `unknown`: bytes may have left and no answer came, so the work is in doubt.
 */
export type Outcome = 'not_sent' | 'rolled_back' | 'unknown'

/** What was going on when the error came: it decides what a lost connection or a server's FATAL proves. */
export type Phase = 'connect' | 'statement' | 'commit'

/** What classification says of an error. */
export interface Fault {
	readonly kind: FaultKind
	readonly scope: FaultScope
	readonly outcome: Outcome
	/** Whether the fault passes by itself. Whether the work may be run again also depends on `outcome`. */
	readonly retryable: boolean
	/** The code that decided: SQLSTATE, MySQL's `ER_…` name or Node's errno name; undefined where the error has none. */
	readonly code: string | undefined
	/** Why, in a sentence for people. */
	readonly reason: string
}
