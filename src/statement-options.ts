/** What may a statement on the pool say for itself? The options that stand beside the driver's own fields. */
import type { CallOptions } from './call.ts'
import { abortSignal, bool, checkOptions, type OptionRules, positiveMsOrInfinity, priorityRule, text } from './options.ts'

/** What the options object of a statement may say beside the driver's own fields. */
export interface QueryOptions extends CallOptions {
	/** The caller's word that the statement may be applied twice: then it is rerun also when its answer was lost. Default false. */
	readonly idempotent?: boolean | undefined
	/**
	 * Applies a write exactly once, also when its answer is lost: it runs in a transaction of its own whose commit can be looked up. On
	 * PostgreSQL it needs `commit: 'verify'`, or a `commitLedger` to be certain after a crash; on MySQL and MariaDB a `commitLedger`.
	 * Default false.
	 */
	readonly exactlyOnce?: boolean | undefined
}

/** An options object that asks for exactly once. */
export type OnceQuery = QueryOptions & { readonly exactlyOnce: true }

const queryRules: OptionRules<QueryOptions> = {
	idempotent: bool,
	exactlyOnce: bool,
	deadlineMs: positiveMsOrInfinity,
	signal: abortSignal,
	label: text,
	priority: priorityRule,
}
const none: QueryOptions = {}

/** Picks our options out of a statement's object; drivers ignore fields that they do not know. Throws TypeError or RangeError. */
export function ownOptions(statement: unknown): QueryOptions {
	if (typeof statement !== 'object' || statement === null) return none
	const { idempotent, exactlyOnce, deadlineMs, signal, label, priority } = statement as QueryOptions
	if ((idempotent ?? exactlyOnce ?? deadlineMs ?? signal ?? label ?? priority) === undefined) return none
	const options = { idempotent, exactlyOnce, deadlineMs, signal, label, priority }
	checkOptions('query', options, queryRules)
	return options
}

/** Whether the statement asks for exactly once. */
export function isOnce(statement: unknown): statement is OnceQuery {
	if (typeof statement !== 'object' || statement === null || !('exactlyOnce' in statement)) return false
	return ownOptions(statement).exactlyOnce === true
}
