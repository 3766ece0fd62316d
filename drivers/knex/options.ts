/** What may a builder or a transaction of knex say for itself? */
import type { TransactionOptions } from '../../src/driver.ts'
import type { Builder, TransactionConfig } from './shape.ts'
import type { StopSign } from './stop-sign.ts'

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
