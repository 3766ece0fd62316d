/** What do `pool.transaction` and `exactlyOnce` do over mysql2? They join the driver to the core's runner. */
import {
	type Call,
	CommitLedger,
	type OnceQuery,
	ownOptions,
	type PoolOptions,
	runTransaction,
	show,
	type TransactionOptions,
} from '../../src/driver.ts'
import type { Mysql2Core } from './core.ts'
import { Ledger } from './ledger.ts'
import { type Mysql2AttemptState, Mysql2Transaction } from './scope.ts'
import type { Command, Mysql2Connection, QueryCallback } from './shape.ts'
import type { Answer, Method } from './statement.ts'
import { Mysql2TransactionDriver } from './transaction.ts'

interface TransactionHost {
	readonly policy: Mysql2Core['policy']
	readonly driver: Mysql2TransactionDriver
	readonly attemptTimeoutMs: number | undefined
	acquire(call: Call): Promise<Mysql2Connection>
	scope(state: Mysql2AttemptState): Mysql2Transaction
}

/** Transactions of one wrapped pool. */
export interface Transactions {
	/** What `runTransaction` needs of the pool. */
	readonly host: TransactionHost
	/** Sees to the commits of borrowers; undefined where nobody does. */
	readonly forBorrowers: Mysql2TransactionDriver | undefined
	transaction<R>(fn: (tx: Mysql2Transaction) => Promise<R>, options?: TransactionOptions): Promise<R>
	/** One statement in a transaction of its own. Rejects with a TypeError where there is no ledger. */
	once(method: Method, sql: OnceQuery, values: unknown): Promise<Answer>
}

export function transactionsOf(core: Mysql2Core, { commit }: PoolOptions): Transactions {
	const { scheduler } = core.policy
	const ledger =
		commit instanceof CommitLedger
			? new Ledger(
					commit,
					() => scheduler.clock.now(),
					(connection) => core.limit(connection),
				)
			: undefined
	const driver = new Mysql2TransactionDriver(core, ledger)
	const host: TransactionHost = {
		policy: core.policy,
		driver,
		attemptTimeoutMs: core.attemptTimeoutMs,
		acquire: (call: Call) => core.acquire(call),
		scope: (state: Mysql2AttemptState) => new Mysql2Transaction(state),
	}
	const transaction = async <R>(fn: (tx: Mysql2Transaction) => Promise<R>, options?: TransactionOptions): Promise<R> => {
		const { deferrable } = options ?? {}
		if (deferrable !== undefined)
			throw new TypeError(`deferrable is for PostgreSQL: MySQL and MariaDB have no such transactions, got ${show(deferrable)}`)
		return runTransaction(host, fn, options)
	}
	return {
		host,
		forBorrowers: commit === 'off' ? undefined : driver,
		transaction,
		async once(method, sql, values) {
			if (ledger === undefined)
				throw new TypeError('exactlyOnce needs commit: commitLedger(…): MySQL and MariaDB keep no record to verify a commit by')
			const { deadlineMs, signal, label, priority } = ownOptions(sql)
			return transaction(async (tx) => (await tx[method](sql, values)) as Answer, { deadlineMs, signal, label, priority })
		},
	}
}

/** Hands the answer to the callback, or to the listeners of the command that the caller holds. */
export function tellOnce<C extends Command | undefined>(answer: Promise<Answer>, command: C, done: QueryCallback | undefined): C {
	const tell: QueryCallback = (error, rows, fields) => {
		if (done !== undefined) return done(error, rows, fields)
		if (error !== null && error !== undefined) return command?.emit('error', error)
		// Several statements have several answers, and rows come one by one.
		const several = Array.isArray(fields) && fields.some((of) => of === undefined || Array.isArray(of))
		const answers = several ? (rows as unknown[]).map((of, at) => [of, fields[at]]) : [[rows, fields]]
		for (const [at, [of, named]] of answers.entries()) {
			command?.emit('fields', named)
			for (const row of Array.isArray(of) && named !== undefined ? of : [of]) command?.emit('result', row, at)
		}
		return undefined
	}
	const settle = (...told: Parameters<QueryCallback>) =>
		// Out of the promise: what the caller's callback throws is an uncaught exception, as it is with the bare pool.
		process.nextTick(() => {
			tell(...told)
			command?.emit('end')
		})
	answer.then(
		([rows, fields]) => settle(null, rows, fields),
		(error: unknown) => settle(error),
	)
	return command
}
