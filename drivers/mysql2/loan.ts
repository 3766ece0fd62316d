/** How are the transactions of borrowers and ORMs verified without changing a line? By seeing their COMMIT pass. */
import { type CommitMark, controlStatements, HoldfastError, Holding, mayControlTransaction, Traces } from '../../src/driver.ts'
import { errnoOf } from './begin.ts'
import { lent, type OwnMethods } from './client.ts'
import type { Mysql2Core } from './core.ts'
import { moveTo, type Next } from './facade.ts'
import { type Committed, committed } from './loan-commit.ts'
import { asTheyAre, holdsText, statementAsItIs } from './loan-values.ts'
import { faultOnLoan, isRefusal } from './refused-loan.ts'
import type { Command, Mysql2Connection, QueryCallback } from './shape.ts'
import { forgiveRollback, isAlive, isBusy, sessionOf } from './state.ts'
import type { Answer } from './statement.ts'
import { tellOnce } from './transact.ts'
import type { Mysql2TransactionDriver } from './transaction.ts'

/** The class of a connection, which makes commands without sending them. */
interface CommandMaker {
	createQuery(sql: unknown, values: unknown, callback: QueryCallback | undefined, config: unknown): Command
}

type Method = 'query' | 'execute'

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
	/** The borrower has given it back. Its loss brings it back to the pool as well: then it is out of that already. */
	#isBack = false
	/** A BEGIN was refused: what the borrower sent behind it must not be run on its own. */
	#refusing = false
	readonly #traces: Traces
	/** The BEGIN behind which nothing was sent yet. */
	#opened: unknown
	readonly #holding = new Holding()

	constructor(core: Mysql2Core, driver: Mysql2TransactionDriver, connection: Mysql2Connection, unusable: HoldfastError | undefined) {
		this.#core = core
		this.#driver = driver
		this.#connection = connection
		this.#unusable = unusable
		this.#traces = new Traces('mysql', core.policy.readsAreSafe)
		this.#patched = Object.hasOwn(connection, 'query') || Object.hasOwn(connection, 'execute')
		this.#own = { query: connection.query, execute: connection.execute, returned: () => this.#returned() }
		// One of the pool's own transactions may have met it.
		forgiveRollback(connection)
		lent.set(connection, this.#own)
		this.#hear()
		const sessionMethods: Record<string, (...given: unknown[]) => unknown> = connection as never
		for (const name of ofSession) {
			sessionMethods[name] = (...given) => {
				this.#traces.note(undefined)
				// It begins the session anew, and this one's answer carries no status.
				if (name === 'changeUser') forgiveRollback(connection)
				return Object.getPrototypeOf(connection)[name].apply(connection, given)
			}
		}
	}

	#hear(): void {
		for (const method of ['query', 'execute'] as const)
			this.#connection[method] = (sql: unknown, values?: unknown, callback?: QueryCallback) => this.#run(method, sql, values, callback)
	}

	#returned(): void {
		this.#isBack ||= this.#connection._pool !== null
		this.#end()
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

	#run(method: Method, sql: unknown, values: unknown, callback: QueryCallback | undefined): Command {
		const pass = () => this.#own[method].call(this.#connection, sql, values, callback)
		const text = typeof sql === 'string' ? sql : (sql as { sql?: unknown } | null | undefined)?.sql
		const statements = typeof text === 'string' && mayControlTransaction(text) ? controlStatements(text, 'mysql') : []
		const done = typeof values === 'function' ? (values as QueryCallback) : callback
		const given = typeof values === 'function' ? undefined : values
		if (this.#holding.isOn && !isCommand(sql)) return this.#behind(method, sql, given, done)
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
		const opened = this.#opened
		this.#opened = undefined
		const isHidden = isCommand(sql) || holdsText(given) || holdsText((sql as { values?: unknown } | null | undefined)?.values)
		this.#traces.note(isHidden ? undefined : text)
		if (first?.verb === 'begin' && statements.length === 1 && method === 'query' && !isCommand(sql)) return this.#begin(sql, done)
		const isPlain = first === undefined || (first.verb === 'other' && statements.length === 1)
		if (isPlain && done !== undefined && !isCommand(sql) && this.#traces.mayBeNone) return this.#movable(method, sql, given, done, opened)
		// A command made by the borrower holds its own callback.
		if (!statements.some(({ verb }) => verb === 'commit') || isCommand(sql)) return pass()
		if (statements.length === 1) return this.#commit(sql, done)
		return this.#own[method].call(this.#connection, sql, given, (error, ...answer) =>
			this.#committed({ error, answer, mark: undefined, wasOpen: true, neverSent: false }, (...told) => done?.(...told)),
		)
	}

	/**
	 * A connection that turns out to be dead at the first BEGIN is replaced, but only where the borrower has sent nothing else on it: with
	 * the session its settings, temporary tables and locks are gone, and who counts on them must be told.
	 */
	#begin(sql: unknown, done: QueryCallback | undefined): Command {
		this.#opened = sql
		const { count } = this.#traces
		const command = this.#own.query.call(this.#connection, sql, undefined, (error, ...answer) => {
			const tell: QueryCallback = (...told) => {
				if (done !== undefined) done(...told)
				else if (told[0] !== null && told[0] !== undefined) command.emit('error', told[0])
			}
			// A BEGIN in an open transaction commits that: its work is lost with the connection.
			const isFirst = sessionOf(this.#connection).inTransaction !== true && this.#mayBeMoved(count)
			if (error === null || error === undefined || !isFirst || !this.#core.breaks(error)) return tell(error, ...answer)
			const next = this.#next()
			const fault = { ...next.call.classify(error, 'statement'), outcome: 'not_sent' as const }
			moveTo(this.#connection, next, error, fault, (fresh) => void fresh.query(sql, undefined, tell)).catch(tell)
		})
		return command
	}

	/** The borrower has left nothing on the connection, and has sent nothing behind the last of `count` statements, which has had no effect. */
	#mayBeMoved(count: number): boolean {
		return this.#traces.count === count && this.#traces.areNone(1) && !this.#isBack
	}

	/** Another connection for the borrower. It is lent, and not held like that of a transaction of the pool: `pool.end()` does not wait for borrowers. */
	#next(opened?: unknown): Next {
		const left = new AbortController()
		const call = this.#core.call({ signal: left.signal })
		return {
			call,
			left,
			get: () => this.#core.borrowFor(call),
			lend: async (fresh) => {
				new Loan(this.#core, this.#driver, fresh, this.#unusable)
				if (opened === undefined) return
				await new Promise<void>((resolve, reject) => {
					fresh.query(opened, undefined, (failed) => (failed === null || failed === undefined ? resolve() : reject(failed)))
				})
			},
		}
	}

	/** Runs a statement that another connection may run as well, where this one leads to a server that takes no writes any more. */
	#movable(method: Method, sql: unknown, values: unknown, done: QueryCallback, opened: unknown): Command {
		const { count } = this.#traces
		const [said, given] = [statementAsItIs(sql), asTheyAre(values)]
		return this.#own[method].call(this.#connection, sql, values, (error, ...answer) => {
			// An error tells nothing of the transaction: it is as it was before this statement.
			const isAlone = () => sessionOf(this.#connection).inTransaction === (opened !== undefined) && this.#mayBeMoved(count)
			if (error === null || error === undefined || !isRefusal(this.#core, error, sql) || !isAlone()) return done(error, ...answer)
			this.#holding
				.during(() => this.#elsewhere(error, opened, (fresh) => void fresh[method](said, given, done)))
				.catch((final: unknown) => process.nextTick(done, final, ...answer))
		})
	}

	/** Has a statement run on another connection that was refused with this error. Rejects with what the borrower is to be told. */
	async #elsewhere(error: unknown, opened: unknown, run: (fresh: Mysql2Connection) => void): Promise<void> {
		const next = this.#next(opened)
		const fault = await faultOnLoan(this.#core, this.#connection, error, next.call)
		// He may have left while the server was asked.
		const isGone = this.#isBack || this.#connection._closing === true
		if (isGone || (fault.scope !== 'connection' && fault.scope !== 'endpoint')) throw error
		this.#core.discard(this.#connection)
		// To the pool it was given back.
		this.#hear()
		try {
			await moveTo(this.#connection, next, error, fault, run)
		} catch (final) {
			this.#end()
			throw final
		}
	}

	/** What is sent while the connection is replaced stays behind the statement for which it is. */
	#behind(method: Method, sql: unknown, values: unknown, done: QueryCallback | undefined): Command {
		const connection = this.#connection
		const command = (connection.constructor as unknown as CommandMaker).createQuery(sql, undefined, done, connection.config)
		const [said, given] = [statementAsItIs(sql), asTheyAre(values)]
		const run = () =>
			new Promise<Answer>((resolve, reject) => {
				connection[method](said, given, (error, rows, fields) => {
					if (error === null || error === undefined) resolve([rows, fields])
					else reject(error)
				})
			})
		return tellOnce(this.#holding.behind(run), command, done)
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

	#committed(commit: Committed, tell: QueryCallback): void {
		committed(this.#core, this.#driver, this.#connection, commit, tell)
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
}

/** ER_XAER_RMFAIL. */
const wrongXaState = 1399

/** ER_CANT_EXECUTE_IN_READ_ONLY_TRANSACTION: nothing was written before, either. A server may have turned read-only since. */
const readOnlyTransaction = 1792

const isCommand = (sql: unknown): boolean => typeof (sql as Partial<Command> | null | undefined)?.onResult === 'function'
