/** How does knex's own transaction run inside one that the driver begins and ends? One attempt: its BEGIN, COMMIT and ROLLBACK are answered here. */
import { HoldfastError } from '../../src/driver.ts'
import type { TransactionLink } from './backend.ts'
import { keepMessage } from './faults.ts'
import type { Container, KnexConnection, KnexTransaction } from './shape.ts'
import type { StopSign } from './stop-sign.ts'

type Callback = (error: unknown, ...answer: unknown[]) => void

/** How the user's function has ended its transaction. The driver does it; then knex gets its answer. */
interface Control {
	readonly commits: boolean
	readonly callback: Callback
}

// knex's texts (knex 3.3, lib/execution/transaction.js).
const commitText = 'COMMIT;'
const rollbackText = 'ROLLBACK'

/** Thrown to the driver to have it roll back where the user has given no error. */
const rolledBack = new HoldfastError('HOLDFAST_ROLLED_BACK', 'The function rolled its transaction back.')

export class Attempt {
	/** What knex takes for its connection. */
	readonly connection: KnexConnection
	/** Rejects to have the driver roll back, resolves to have it commit. */
	readonly ended: Promise<void>
	/** knex's transaction of this attempt. */
	inner: KnexTransaction | undefined
	/** What the driver was thrown. */
	thrown: unknown
	readonly #link: TransactionLink
	readonly #own: Partial<KnexConnection>
	readonly #stop: StopSign
	#begun = false
	#control: Control | undefined
	#end: { readonly resolve: () => void; readonly reject: (error: unknown) => void } | undefined

	/** `stop` is put up when a statement exceeded its time limit and is rolled back for that: the function is not run again. */
	constructor(link: TransactionLink, stop: StopSign) {
		this.#link = link
		this.#stop = stop
		this.ended = new Promise((resolve, reject) => {
			this.#end = { resolve, reject }
		})
		this.#own = { query: (...given) => this.#query(given), __knexTxId: undefined, __knex__disposed: undefined }
		this.connection = standIn(link.connection, this.#own)
	}

	/** The user's function, with what its transactor says on the way noted. */
	contain(container: Container): Container {
		return (transactor) => {
			this.#begun = true
			const { rollback } = transactor
			transactor.rollback = (error) => {
				this.thrown ??= error
				return rollback(error)
			}
			const { onCommit } = this.#link
			Object.assign(transactor, { onCommit: (callback: () => unknown) => onCommit.call(this.#link, callback) })
			return this.#watch(() => container(transactor))
		}
	}

	#watch(call: () => unknown): unknown {
		try {
			const returned = call()
			if (typeof (returned as PromiseLike<unknown> | null | undefined)?.then !== 'function') return returned
			return (returned as PromiseLike<unknown>).then(undefined, (error) => this.#note(error))
		} catch (error) {
			return this.#note(error)
		}
	}

	#note(error: unknown): never {
		this.thrown ??= error
		throw error
	}

	/** knex's transaction is over without a word to the server: there is nothing to commit. */
	broke(error: unknown): void {
		this.thrown ??= error
		this.#end?.reject(error)
	}

	/** The commit is certain, or the rollback done: knex goes on. */
	confirm(): void {
		this.#control?.callback(null, { command: this.#control.commits ? 'COMMIT' : 'ROLLBACK', rowCount: null, rows: [], fields: [] })
	}

	/** Whether knex waits for the answer to a COMMIT. */
	get commits(): boolean {
		return this.#control?.commits === true
	}

	/** The commit failed. */
	refuse(error: unknown): void {
		this.#control?.callback(keepMessage(error))
	}

	/** The function is run again. What is left of this attempt is told that it had no effect. */
	supersede(): void {
		if (this.commits) this.refuse(new HoldfastError('HOLDFAST_ROLLED_BACK', 'The attempt was rolled back, and the function is run again.'))
		else this.confirm()
	}

	#query(given: unknown[]): unknown {
		const [config] = given
		const { text, sql } = config as { text?: unknown; sql?: unknown }
		const statement = text ?? sql
		const callback = given.at(-1) as Callback
		// knex's own BEGIN, and SET TRANSACTION on MySQL: the driver has done that, or will with the first statement.
		if (!this.#begun) return process.nextTick(callback, null, { command: 'BEGIN', rowCount: null, rows: [], fields: [] })
		if (this.#control === undefined && (statement === commitText || statement === rollbackText)) return this.#finish(statement, callback)
		if (typeof callback !== 'function') return this.#link.query(...given)
		const told: Callback = (error, ...answer) => callback(keepMessage(error), ...answer)
		return this.#link.query(...given.slice(0, -1), told)
	}

	#finish(statement: string, callback: Callback): void {
		const commits = statement === commitText
		this.#control = { commits, callback }
		if (commits) return this.#end?.resolve()
		const { __knex__disposed: disposed } = this.#own
		// What runs on past its time limit is not waited for: it is to be undone.
		if (disposed !== undefined) {
			this.#stop.abort(disposed)
			this.#link.cut(new Error('The connection was cut, for a statement on it had exceeded its time limit.'))
		}
		this.thrown ??= rolledBack
		this.#end?.reject(this.thrown)
	}
}

/** The driver's connection in everything but what is in `own`. */
function standIn(connection: object, own: Partial<KnexConnection>): KnexConnection {
	return new Proxy(connection, {
		get: (target, name, receiver) => (Object.hasOwn(own, name) ? Reflect.get(own, name) : Reflect.get(target, name, receiver)),
		set: (target, name, value, receiver) =>
			Object.hasOwn(own, name) ? Reflect.set(own, name, value) : Reflect.set(target, name, value, receiver),
		// knex takes the name of a savepoint's transaction off again.
		deleteProperty: (target, name) => (Object.hasOwn(own, name) ? Reflect.set(own, name, undefined) : Reflect.deleteProperty(target, name)),
	}) as KnexConnection
}
