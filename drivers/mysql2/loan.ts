/** How are the transactions of borrowers and ORMs verified without changing a line? By seeing their COMMIT pass. */
import { type Call, type CommitMark, controlStatements, HoldfastError, mayControlTransaction, resolveCommit } from '../../src/driver.ts'
import { errnoOf } from './begin.ts'
import { cut, lent, type OwnMethods } from './client.ts'
import type { Mysql2Core } from './core.ts'
import { standIn, whileMoving } from './facade.ts'
import type { Command, Mysql2Connection, QueryCallback } from './shape.ts'
import { forgiveRollback, isAlive, isBusy, sessionOf } from './state.ts'
import type { Mysql2TransactionDriver } from './transaction.ts'

/** The class of a connection, which makes commands without sending them. */
interface CommandMaker {
	createQuery(sql: unknown, values: unknown, callback: QueryCallback | undefined, config: unknown): Command
}

// What a borrower does besides statements that a fresh session would not know of.
const ofSession = ['changeUser', 'prepare'] as const
const endings = new Set(['begin', 'commit', 'rollback'])
const restarts = new Set(['begin', 'rollback'])

function rolledBack(errno: number): HoldfastError {
	return new HoldfastError(
		'HOLDFAST_ROLLED_BACK',
		`The server has rolled the whole transaction back with error ${errno}: ROLLBACK, and begin it anew. Nothing was sent.`,
	)
}

/**
 * A connection while somebody has borrowed it. Its transaction is marked when it is committed, and not when it begins: so it is all the
 * same whether it was begun by hand, in whatever words, or by a session without autocommit.
 */
export class Loan {
	readonly #core: Mysql2Core
	readonly #driver: Mysql2TransactionDriver
	readonly #connection: Mysql2Connection
	readonly #own: OwnMethods
	/** Its methods are those of somebody else who sees statements pass, and not of its class. */
	readonly #patched: boolean
	/** Why no transaction can be begun. */
	readonly #unusable: HoldfastError | undefined
	/** A BEGIN was refused: what the borrower sent behind it must not be run on its own. */
	#refusing = false
	/** Statements that the borrower has sent beside its first BEGIN. */
	#sent = 0

	constructor(core: Mysql2Core, driver: Mysql2TransactionDriver, connection: Mysql2Connection, unusable: HoldfastError | undefined) {
		this.#core = core
		this.#driver = driver
		this.#connection = connection
		this.#unusable = unusable
		this.#patched = Object.hasOwn(connection, 'query') || Object.hasOwn(connection, 'execute')
		this.#own = { query: connection.query, execute: connection.execute, returned: () => this.#end() }
		// One of the pool's own transactions may have met it.
		forgiveRollback(connection)
		lent.set(connection, this.#own)
		for (const method of ['query', 'execute'] as const)
			connection[method] = (sql: unknown, values?: unknown, callback?: QueryCallback) => this.#run(method, sql, values, callback)
		const sessionMethods: Record<string, (...given: unknown[]) => unknown> = connection as never
		for (const name of ofSession) {
			sessionMethods[name] = (...given) => {
				this.#sent += 1
				// It begins the session anew, and this one's answer carries no status.
				if (name === 'changeUser') forgiveRollback(connection)
				return Object.getPrototypeOf(connection)[name].apply(connection, given)
			}
		}
	}

	#end(): void {
		const connection: { query?: unknown; execute?: unknown } = this.#connection
		for (const method of ['query', 'execute'] as const) {
			if (this.#patched) connection[method] = this.#own[method]
			else delete connection[method]
		}
		for (const name of ofSession) delete (connection as Record<string, unknown>)[name]
		lent.delete(this.#connection)
	}

	#run(method: 'query' | 'execute', sql: unknown, values: unknown, callback: QueryCallback | undefined): Command {
		const pass = () => this.#own[method].call(this.#connection, sql, values, callback)
		const text = typeof sql === 'string' ? sql : (sql as { sql?: unknown } | null | undefined)?.sql
		const statements = typeof text === 'string' && mayControlTransaction(text) ? controlStatements(text, 'mysql') : []
		const done = typeof values === 'function' ? (values as QueryCallback) : callback
		const [first] = statements
		if (this.#unusable !== undefined) {
			if (first?.verb === 'begin') this.#refusing = true
			if (first?.verb === 'rollback') this.#refusing = false
			if (this.#refusing || first?.verb === 'commit') return this.#refuse(this.#unusable, sql, done)
		}
		const { rolledBackBy } = sessionOf(this.#connection)
		if (rolledBackBy !== undefined) {
			// The session has no transaction any more: what the borrower sends would be committed one by one.
			if (first !== undefined && endings.has(first.verb)) forgiveRollback(this.#connection)
			if (first === undefined || !restarts.has(first.verb)) return this.#refuse(rolledBack(rolledBackBy), sql, done)
		}
		if (first?.verb === 'begin' && statements.length === 1 && method === 'query' && !isCommand(sql)) return this.#begin(sql, done)
		this.#sent += 1
		// A command made by the borrower holds its own callback.
		if (!statements.some(({ verb }) => verb === 'commit') || isCommand(sql)) return pass()
		if (statements.length === 1) return this.#commit(sql, done)
		return this.#own[method].call(this.#connection, sql, typeof values === 'function' ? undefined : values, (error, ...answer) =>
			this.#committed({ error, answer, mark: undefined, wasOpen: true, neverSent: false }, (...told) => done?.(...told)),
		)
	}

	/**
	 * A connection that turns out to be dead at the first BEGIN is replaced, but only where the borrower has sent nothing else on it: with
	 * the session its settings, temporary tables and locks are gone, and who counts on them must be told.
	 */
	#begin(sql: unknown, done: QueryCallback | undefined): Command {
		const held = this.#connection
		const command = this.#own.query.call(held, sql, undefined, (error, ...answer) => {
			const tell: QueryCallback = (...told) => {
				if (done !== undefined) done(...told)
				else if (told[0] !== null && told[0] !== undefined) command.emit('error', told[0])
			}
			if (error === null || error === undefined || this.#sent > 0 || held._released || !this.#core.breaks(error))
				return tell(error, ...answer)
			const left = new AbortController()
			const call = this.#core.call({ signal: left.signal })
			const fault = { ...call.classify(error, 'statement'), outcome: 'not_sent' as const }
			const moved = whileMoving(held, () => left.abort(error))
			// Nothing can have been applied.
			call
				.next(error, fault, 'statement', { idempotent: true, reads: () => true })
				// Lent, and not held like the connection of a transaction of the pool: `pool.end()` does not wait for borrowers.
				.then(() => this.#core.borrowFor(call))
				.finally(moved)
				.then(
					(fresh) => {
						if (left.signal.aborted) {
							fresh.release()
							return tell(error)
						}
						new Loan(this.#core, this.#driver, fresh, this.#unusable)
						standIn(held, fresh)
						fresh.query(sql, undefined, tell)
					},
					(final: unknown) => tell(final),
				)
		})
		return command
	}

	#refuse(error: HoldfastError, sql: unknown, done: QueryCallback | undefined): Command {
		const command = (this.#connection.constructor as unknown as CommandMaker).createQuery(sql, undefined, done, this.#connection.config)
		process.nextTick(() => {
			if (done !== undefined) done(error)
			else command.emit('error', error)
			command.emit('end')
		})
		return command
	}

	/** The mark and COMMIT are given to mysql2 together, so that nothing of the borrower comes between them; it sends one after the other. */
	#commit(sql: unknown, done: QueryCallback | undefined): Command {
		const connection = this.#connection
		const { ledger } = this.#driver
		// Statements that are still on their way may have begun one.
		const wasOpen = isBusy(connection) || sessionOf(connection).inTransaction !== false
		const marking = wasOpen ? ledger?.marking(connection) : undefined
		let mark: CommitMark | undefined = marking?.mark
		let neverSent = false
		let answered = false
		let writable = true
		let command: Command | undefined
		const tell: QueryCallback = (error, ...answer) => {
			if (done !== undefined) done(error, ...answer)
			else if (error !== null && error !== undefined) command?.emit('error', error)
		}
		if (marking !== undefined) {
			this.#own.query.call(connection, { sql: marking.text, rowsAsArray: false }, undefined, (error) => {
				const told = errnoOf(error) !== undefined
				if (told || error === null || error === undefined) ledger?.answered(marking)
				if (error === null || error === undefined) return
				// A branch of XA takes nothing more before its COMMIT, which goes without a mark.
				if (errnoOf(error) === wrongXaState) {
					mark = undefined
					return
				}
				// A transaction that cannot write has nothing to prove.
				if (this.#driver.ledger?.isReadOnly(error)) {
					mark = undefined
					writable = errnoOf(error) !== readOnlyTransaction
					return
				}
				neverSent = true
				// mysql2 is at the answer of the mark, and would send the next command, which is the COMMIT.
				if (!told || !isAlive(connection) || this.#core.breaks(error)) return
				;(connection._commands as unknown as Command[]).shift()
				process.nextTick(() => {
					tell(ledger?.explained(error))
					command?.emit('end')
				})
			})
		}
		command = this.#own.query.call(connection, sql, undefined, (error, ...answer) => {
			// mysql2 calls back twice where its own time limit passed before the link was lost.
			if (answered) return
			answered = true
			this.#committed({ error, answer, mark, wasOpen: wasOpen && writable, neverSent }, tell)
		})
		return command
	}

	#committed(commit: Committed, tell: QueryCallback): void {
		const { error, answer, mark, wasOpen, neverSent } = commit
		if (error === null || error === undefined) {
			this.#driver.ledger?.confirmed(mark)
			return tell(null, ...answer)
		}
		const call = this.#core.call({})
		const fault = call.classify(error, 'commit')
		if (fault.outcome !== 'unknown' || !wasOpen) return tell(error)
		if (neverSent) return tell(call.notApplied(error, fault))
		// A time limit of mysql2's own: the server may still be at it.
		if (isAlive(this.#connection)) cut(this.#connection)
		const host = { driver: this.#driver, acquire: (given: Call) => this.#core.acquire(given) }
		resolveCommit(host, mark, call, this.#core.policy.counters).then((resolution) => {
			if (resolution.state === 'applied') return tell(null, committedHeader())
			if (resolution.state === 'not applied') return tell(call.notApplied(error, fault))
			return tell(call.inDoubt(error, 'commit', { token: mark?.token, detail: resolution.why }))
		})
	}
}

/** ER_XAER_RMFAIL. */
const wrongXaState = 1399

/** ER_CANT_EXECUTE_IN_READ_ONLY_TRANSACTION: nothing was written before, either. A server may have turned read-only since. */
const readOnlyTransaction = 1792

/** How a COMMIT was answered. */
interface Committed {
	readonly error: unknown
	readonly answer: readonly [result?: unknown, fields?: unknown]
	readonly mark: CommitMark | undefined
	/** There was a transaction that may write, or there may have been. */
	readonly wasOpen: boolean
	/** The link died under the mark. */
	readonly neverSent: boolean
}

const isCommand = (sql: unknown): boolean => typeof (sql as Partial<Command> | null | undefined)?.onResult === 'function'

// SERVER_STATUS_AUTOCOMMIT: what a session says that has no transaction.
const autocommit = 2

/** What mysql2 makes of the answer to a COMMIT. */
function committedHeader(): object {
	return { fieldCount: 0, affectedRows: 0, insertId: 0, info: '', serverStatus: autocommit, warningStatus: 0, changedRows: 0 }
}
