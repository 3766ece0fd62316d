/** What may a transaction's function do with it? `query` and `execute` in every form of mysql2, savepoints, and `onCommit`. */
import {
	type AttemptState,
	controlStatements,
	HoldfastError,
	mayControlTransaction,
	rejection,
	TransactionScope,
	takesOverTransaction,
} from '../../src/driver.ts'
import { lineOf } from './line.ts'
import type { Mysql2Connection, QueryCallback } from './shape.ts'
import { type Answer, type Answering, type Method, Statement } from './statement.ts'

/** The handle of a transaction. */
export class Mysql2Transaction extends TransactionScope<Mysql2Connection, Mysql2Transaction> {
	/**
	 * Runs a statement in the transaction, with the arguments of mysql2's `connection.query`: a promise of `[rows, fields]`, or a callback.
	 * A statement is never rerun by itself. Rejects with the driver's error; with a HoldfastError for BEGIN, COMMIT, ROLLBACK and what
	 * else takes the transaction out of these hands, and after its end.
	 */
	query(sql: unknown, values?: unknown, callback?: QueryCallback): Answering | undefined {
		return this.#run('query', sql, values, callback)
	}

	/** As `query`, with a prepared statement. */
	execute(sql: unknown, values?: unknown, callback?: QueryCallback): Answering | undefined {
		return this.#run('execute', sql, values, callback)
	}

	#run(method: Method, sql: unknown, values: unknown, callback: QueryCallback | undefined): Answering | undefined {
		const done = typeof values === 'function' ? (values as QueryCallback) : callback
		const statement = new Statement(this.state.connection, method, sql, typeof values === 'function' ? undefined : values)
		if (done !== undefined) {
			this.#start(statement, sql, done)
			return undefined
		}
		const answer = new Promise<Answer>((resolve) => {
			this.#start(statement, sql, (error, rows, fields) => {
				if (error === null || error === undefined) return resolve([rows, fields])
				statement.fail(error)
				resolve(statement.streams ? [undefined, undefined] : rejection(error))
			})
		}) as Answering
		answer.stream = (options) => statement.stream(options)
		return answer
	}

	#start(statement: Statement, sql: unknown, told: QueryCallback): void {
		const text = textOf(sql)
		try {
			this.assertUsable()
			refuseControl(text)
		} catch (error) {
			return process.nextTick(told, error)
		}
		statement.run(text, (error, rows, fields) => {
			this.ended(error)
			told(error, rows, fields)
		})
	}

	/** Errors of MySQL leave the transaction as it is, but for those that end it: they count, whatever came before. */
	protected override ended(error: unknown): void {
		const none = error === null || error === undefined
		this.state.abortedBy = none ? undefined : (lineOf(this.state.connection).failure ?? error)
	}

	protected override nested(): Mysql2Transaction {
		return new Mysql2Transaction(this.state)
	}
}

export type Mysql2AttemptState = AttemptState<Mysql2Connection>

function textOf(sql: unknown): string | undefined {
	const text = typeof sql === 'string' ? sql : (sql as { sql?: unknown } | null | undefined)?.sql
	return typeof text === 'string' ? text : undefined
}

const byHand = new Set(['begin', 'commit', 'rollback', 'prepare', 'commit_prepared', 'rollback_prepared'])

function refuseControl(text: string | undefined): void {
	if (text === undefined) return
	const control = mayControlTransaction(text) ? controlStatements(text, 'mysql').find(({ verb }) => byHand.has(verb))?.verb : undefined
	const what = control?.toUpperCase() ?? takesOverTransaction(text)
	if (what === undefined) return
	throw new HoldfastError(
		'HOLDFAST_TRANSACTION_CONTROL',
		`${what} inside transaction(): return from the function to commit, throw to roll back. Nothing was sent.`,
	)
}
