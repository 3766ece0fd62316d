/** What may a builder or a transaction of knex say for itself? */
import type { TransactionOptions } from '../../src/driver.ts'
import type { Builder, TransactionConfig } from './shape.ts'
import type { StopSign } from './stop-sign.ts'

/** What `.options({ … })` of a builder may say beside the driver's own fields. */
export interface QueryOptions {
	/** The caller's word that the statement may be applied twice: then it is rerun also when its answer was lost. Default false. */
	readonly idempotent?: boolean | undefined
	/**
	 * Applies a write exactly once, also when its answer is lost: it runs in a transaction of its own whose commit is verified.
	 * Needs `commit: 'verify'`, or a ledger to be certain after a crash. Default false.
	 */
	readonly exactlyOnce?: boolean | undefined
	/** After this no further attempt starts and no wait goes on. Default: that of the instance. */
	readonly deadlineMs?: number | undefined
	/** Ends waits at once, and stops before the next attempt. A running statement is not cut. */
	readonly signal?: AbortSignal | undefined
	/** A name for hooks and reports. */
	readonly label?: string | undefined
	/** `'batch'`: it lets the other callers go first while they wait for a connection. Default: that of the instance. */
	readonly priority?: TransactionOptions['priority']
}

/** What the config of `knex.transaction(fn, config)` may say beside knex's own fields. */
export type OwnTransactionOptions = Pick<TransactionOptions, 'idempotent' | 'label' | 'deadlineMs' | 'priority' | 'signal'>

// tarn's default (tarn 3, Pool.js).
export const idleTimeoutMs = 30_000

const none: object = {}

/** The options that were passed to the builder, those of later calls first. */
export const optionsOf = ({ _options: given }: Builder): object => (given === undefined ? none : Object.assign({}, ...given))

const isolations: readonly unknown[] = ['read uncommitted', 'read committed', 'repeatable read', 'serializable']

/** Whether Holdfast can begin such a transaction itself. `snapshot`, say, is left to knex and the server's error. */
export const canBegin = ({ isolationLevel, connection }: TransactionConfig): boolean =>
	(isolationLevel === undefined || isolations.includes(isolationLevel)) && connection === undefined

/** The same transaction in the words of the core. Where the user gives a signal, that one ends the waits. */
export function transactionOptions(config: TransactionConfig & OwnTransactionOptions, stop: StopSign): TransactionOptions {
	const { isolationLevel, readOnly, idempotent, label, deadlineMs, priority, signal = stop as unknown as AbortSignal } = config
	return {
		isolation: isolationLevel as TransactionOptions['isolation'],
		readOnly: readOnly ? true : undefined,
		idempotent,
		label,
		deadlineMs,
		priority,
		signal,
	}
}
