/** What may a transaction's function do with it? The handle that it receives: savepoints, commit callbacks, and its end. */
import type { Begun, TransactionDriver } from '../contract.ts'
import { HoldfastError } from '../errors.ts'
import { show } from '../options.ts'
import { claim } from '../retry/spent.ts'

/** What one attempt of a transaction, savepoints included, keeps together. */
export interface AttemptState<C extends object> {
	readonly connection: C
	readonly driver: TransactionDriver<C>
	/** The error after which the server takes no statement until a rollback; undefined while all is well. */
	abortedBy: unknown
	savepoints: number
	begun: Begun | undefined
	/** Whether the whole function is run again for such an error. */
	readonly isRerun?: ((error: unknown) => boolean) | undefined
	/** The errors for which that was so. */
	reruns?: Set<unknown> | undefined
	/** The error of a statement that has waited for a lock for longer than Holdfast lets it, whatever the function has made of that. */
	cutShortBy: unknown
}

/** The handle of a transaction or savepoint. Drivers add their `query`. */
export abstract class TransactionScope<C extends object, Self> {
	protected readonly state: AttemptState<C>
	#ended: string | undefined
	#hasSavepoint = false
	#savepoint: TransactionScope<C, Self> | undefined
	readonly #callbacks: Array<() => unknown> = []

	constructor(state: AttemptState<C>) {
		this.state = state
	}

	/** Runs `callback` once, after the commit is certain; never for an attempt, or a savepoint, that was rolled back. */
	onCommit(callback: () => unknown): void {
		if (typeof callback !== 'function') throw new TypeError(`onCommit: callback must be a function, got ${show(callback)}`)
		this.assertUsable()
		this.#callbacks.push(callback)
	}

	/**
	 * Runs `fn` in a savepoint: if it rejects, its work is rolled back and the error is thrown on; the transaction may go on.
	 * A transient fault is not retried here but by the transaction, as a whole (attempts never multiply).
	 */
	async transaction<R>(fn: (tx: Self) => Promise<R>): Promise<R> {
		if (typeof fn !== 'function') throw new TypeError(`transaction: fn must be an async function, got ${show(fn)}`)
		this.assertUsable()
		if (this.#hasSavepoint) {
			throw new HoldfastError(
				'HOLDFAST_TRANSACTION_CONTROL',
				'A savepoint of this transaction is still open: savepoints take turns, await the first before the next.',
			)
		}
		this.state.savepoints += 1
		const name = `holdfast_${this.state.savepoints}`
		this.#hasSavepoint = true
		try {
			await this.#execute(`SAVEPOINT ${name}`)
			return await this.#inSavepoint(name, fn)
		} finally {
			this.#hasSavepoint = false
			this.#savepoint = undefined
		}
	}

	async #inSavepoint<R>(name: string, fn: (tx: Self) => Promise<R>): Promise<R> {
		const { driver, connection } = this.state
		this.assertUsable()
		const inner = this.nested()
		this.#savepoint = inner
		try {
			const value = await callAsync(fn, inner as unknown as Self)
			this.assertUsable()
			inner.assertNoSavepoint()
			const status = await driver.status(connection)
			if (status === 'failed' && this.state.abortedBy !== undefined) throw this.state.abortedBy
			inner.end('its savepoint was released')
			await this.#execute(`RELEASE SAVEPOINT ${name}`)
			this.#callbacks.push(...inner.#callbacks)
			return value
		} catch (error) {
			inner.end('its savepoint was rolled back')
			// After the end of the whole transaction the connection belongs to somebody else.
			if (this.usable && (await driver.status(connection)) !== 'dead') {
				await this.#execute(`ROLLBACK TO SAVEPOINT ${name}`).catch(() => undefined)
			}
			throw error
		}
	}

	/** @internal Throws if a savepoint is still open although the function has returned: half of its work would be committed. */
	assertNoSavepoint(): void {
		if (!this.#hasSavepoint) return
		throw new HoldfastError(
			'HOLDFAST_TRANSACTION_CONTROL',
			'The function returned while a savepoint of its transaction was still open: await every tx.transaction(). It was rolled back.',
		)
	}

	/** @internal Ends the handle, and those of the savepoints that are open in it. */
	end(why: string): void {
		this.#ended ??= why
		this.#savepoint?.end(why)
	}

	/** @internal False once it has ended. */
	get usable(): boolean {
		return this.#ended === undefined
	}

	/** @internal */
	get callbacks(): ReadonlyArray<() => unknown> {
		return this.#callbacks
	}

	/** The same handle for a savepoint. */
	protected abstract nested(): TransactionScope<C, Self>

	/** Throws if the transaction is over: a statement would run outside it, on a connection that belongs to somebody else. */
	protected assertUsable(): void {
		if (this.#ended === undefined) return
		throw new HoldfastError('HOLDFAST_TRANSACTION_ENDED', `The transaction was used after its end: ${this.#ended}. Nothing was sent.`)
	}

	/** Records how a statement of this transaction ended. */
	protected ended(error: unknown): void {
		// Success after an error means that a rollback to a savepoint has healed the transaction.
		if (error === null || error === undefined) {
			this.state.abortedBy = undefined
			return
		}
		this.state.abortedBy ??= error
		// A retry within the function would only meet a transaction that is over.
		if (this.state.isRerun?.(error) === true) {
			claim(error)
			this.state.reruns ??= new Set()
			this.state.reruns.add(error)
		}
		if (this.state.begun?.isLockWait?.(error) === true) this.state.cutShortBy ??= error
	}

	async #execute(text: string): Promise<void> {
		this.assertUsable()
		try {
			await this.state.driver.execute(this.state.connection, text)
			this.ended(undefined)
		} catch (error) {
			this.ended(error)
			throw error
		}
	}
}

/** Calls the user's function and refuses one that is not async: its statements would run on after the end of the transaction. */
export function callAsync<T, R>(fn: (tx: T) => Promise<R>, tx: T): Promise<R> {
	const returned: unknown = fn(tx)
	if (typeof (returned as PromiseLike<R> | undefined)?.then !== 'function') {
		throw new TypeError(
			`The function given to transaction must be async (return a promise), it returned ${show(returned)}. It was rolled back.`,
		)
	}
	return returned as Promise<R>
}
