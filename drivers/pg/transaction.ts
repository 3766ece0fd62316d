/** How are transactions run over pg? The statements, and the handle that the user's function gets. */
import {
	type AttemptState,
	type Begun,
	type CommitMark,
	type CommitVerdict,
	controlStatements,
	HoldfastError,
	mayControlTransaction,
	rewriteStack,
	type TransactionDriver,
	type TransactionModes,
	TransactionScope,
	type TransactionStatus,
} from '../../src/driver.ts'
import { beginNow, type Opened } from './begin-now.ts'
import { cut, execute, send, whenQuiet } from './client.ts'
import { ownerOf, type PgCore } from './core.ts'
import { isLockWait, LockWaits } from './lock-waits.ts'
import { forgetOpening, Opening, openingOf } from './opening.ts'
import { query, settle } from './query.ts'
import type { PgClient, PgResult, QueryCallback, Submittable } from './shape.ts'
import { isAlive, isBusy, openCursors, transactionStatus } from './state.ts'
import type { Witness } from './witness.ts'

export class PgTransactionDriver implements TransactionDriver<PgClient> {
	readonly #core: PgCore
	readonly #witness: Witness | undefined
	readonly #lockWaits: LockWaits

	/** Without a witness commits are not verified. */
	constructor(core: PgCore, witness: Witness | undefined) {
		this.#core = core
		this.#witness = witness
		this.#lockWaits = new LockWaits()
	}

	/** Whether commits are verified. */
	get verifies(): boolean {
		return this.#witness !== undefined
	}

	begin(client: PgClient, modes: TransactionModes, lockWaitMs: number | undefined): Begun {
		const witness = modes.readOnly === true ? undefined : this.#witness
		if (modes.readOnly !== true) this.#core.refusals.begun(client)
		if (lockWaitMs === undefined || !this.#lockWaits.canLimit) return new Opening(client, beginText(modes), witness)
		const opening = new Opening(client, beginText(modes), this.#lockWaits.limit(lockWaitMs, witness))
		return Object.assign(opening, { isLockWait })
	}

	/** Opens a transaction by this text at once, marked if it may write and its commit is to be verified. */
	beginAs(client: PgClient, text: string, readOnly: boolean): Promise<Opened> {
		return beginNow(client, text, readOnly ? undefined : this.#witness)
	}

	async look(client: PgClient, mark: CommitMark): Promise<CommitVerdict> {
		return (this.#witness as Witness).look(client, mark)
	}

	async execute(client: PgClient, text: string): Promise<void> {
		const opening = openingOf(client)
		try {
			if (opening !== undefined && opening.state !== 'open') await opened(opening)
			await execute(client, text)
		} catch (error) {
			// After a `query_timeout`, say, the server may never answer on this connection again: the end must not wait for it.
			if (this.#core.breaks(error)) cut(client)
			throw error
		}
	}

	async rollback(client: PgClient): Promise<void> {
		if (openingOf(client)?.state === 'open') await execute(client, 'ROLLBACK')
		await this.#core.refusals.rolledBack(ownerOf(client, this.#core), client)
	}

	commit(client: PgClient): Promise<'committed' | 'rolled_back'> {
		// No statement, no transaction.
		if (openingOf(client)?.state === 'put off') return Promise.resolve('committed')
		return new Promise((resolve, reject) => {
			send(client, 'COMMIT', undefined, (error, result) => {
				if (error !== null && error !== undefined) return reject(error)
				// The manual, "COMMIT": in a failed transaction it rolls back, and says so in its command tag only.
				resolve((result as PgResult).command === 'ROLLBACK' ? 'rolled_back' : 'committed')
			})
		})
	}

	status(client: PgClient): TransactionStatus | Promise<TransactionStatus> {
		const opening = openingOf(client)
		if (opening?.state === 'under way') return new Promise((resolve) => opening.settled(() => resolve(this.status(client))))
		// The end of a transaction closes its cursors. Here they must be closed first: COMMIT would wait for their last row, for ever.
		for (const cursor of openCursors(client)) closeCursor(cursor)
		if (!isBusy(client)) return statusOf(client, opening)
		return new Promise((resolve) => whenQuiet(client, () => resolve(statusOf(client, opening))))
	}

	cut(client: PgClient, error: Error): void {
		cut(client, error)
	}

	release(client: PgClient, error?: unknown): void {
		forgetOpening(client)
		const broken = error !== undefined || !client._queryable
		this.#core.refusals.over(client)
		settle(ownerOf(client, this.#core), client, broken ? (error ?? new Error('The connection was lost')) : undefined, broken)
	}
}

function opened(opening: Opening): Promise<void> {
	return new Promise((resolve, reject) => {
		opening.open((error) => (error === undefined ? resolve() : reject(error)))
	})
}

function beginText({ isolation, readOnly, deferrable }: TransactionModes): string {
	const modes = [
		isolation && `ISOLATION LEVEL ${isolation.toUpperCase()}`,
		readOnly === undefined ? '' : readOnly ? 'READ ONLY' : 'READ WRITE',
		deferrable === undefined ? '' : deferrable ? 'DEFERRABLE' : 'NOT DEFERRABLE',
	]
	return ['BEGIN', ...modes].filter(Boolean).join(' ')
}

/** The transaction as the runner sees it: open from its beginning, failed where it could not be opened. */
function statusOf(client: PgClient, opening: Opening | undefined): TransactionStatus {
	if (!isAlive(client)) return 'dead'
	if (opening?.state === 'put off') return 'open'
	if (opening?.state === 'failed') return 'failed'
	const status = transactionStatus(client)
	if (status === undefined) return 'unknown'
	return status === 'I' ? 'none' : status === 'T' ? 'open' : 'failed'
}

/** A stream's reader is told why, where anybody listens: without a listener the event would end the process. */
function closeCursor(query: Submittable): void {
	if (query.destroy === undefined) query.close?.(() => {})
	else if (query.listenerCount?.('error') === 0) query.destroy()
	else query.destroy(new HoldfastError('HOLDFAST_TRANSACTION_ENDED', 'The stream was not read to its end when its transaction ended.'))
}

/** The handle of a transaction: `query` in every form of pg's client, savepoints by `transaction`, and `onCommit`. */
export class PgTransaction extends TransactionScope<PgClient, PgTransaction> {
	readonly #core: PgCore

	constructor(state: AttemptState<PgClient>, core: PgCore) {
		super(state)
		this.#core = core
	}

	/**
	 * Runs a statement in the transaction, in any form that pg's `client.query` takes. A statement is never rerun by itself.
	 * Rejects with the driver's error; with a HoldfastError for BEGIN, COMMIT or ROLLBACK, and after the transaction's end.
	 */
	query(config: unknown, values?: unknown, callback?: QueryCallback): unknown {
		const own = (config as { callback?: QueryCallback } | null | undefined)?.callback
		const done = typeof values === 'function' ? (values as QueryCallback) : (callback ?? own)
		try {
			this.assertUsable()
			refuseControl(config)
		} catch (error) {
			if (done === undefined) return Promise.reject(error)
			process.nextTick(done, error)
			return undefined
		}
		if (typeof (config as Submittable | null)?.submit === 'function') {
			watch(config as Submittable, (error) => this.#heard(error))
			return this.#submit(config as Submittable, values, callback)
		}
		const given = typeof values === 'function' ? undefined : values
		if (done !== undefined) {
			this.#run(config, given, this.#once(done))
			return undefined
		}
		return new Promise((resolve, reject) => {
			const settled: QueryCallback = (error, result) => {
				if (error === null || error === undefined) resolve(result)
				else reject(error)
			}
			this.#run(config, given, this.#once(settled))
		}).catch(rewriteStack)
	}

	#run(config: unknown, values: unknown, callback: QueryCallback): void {
		const { connection } = this.state
		const opening = openingOf(connection)
		if (opening === undefined) query(connection, config, values, callback)
		else opening.run(config, values, callback)
	}

	/** A query object is handed back at once, whenever it can be sent. */
	#submit(submittable: Submittable, values: unknown, callback: QueryCallback | undefined): unknown {
		const { connection } = this.state
		const opening = openingOf(connection)
		if (opening === undefined || opening.state === 'open') return connection.query(submittable, values, callback)
		opening.open((error) => {
			if (error === undefined) connection.query(submittable, values, callback)
			else submittable.handleError(error, connection.connection)
		})
		return submittable
	}

	/** pg calls back twice for a value that it cannot turn into text: the first time counts. */
	#once(done: QueryCallback): QueryCallback {
		let told = false
		return (error, result) => {
			if (told) return
			told = true
			this.#heard(error)
			done(error, result)
		}
	}

	/** A connection that is broken, or only silent, is cut here too. */
	#heard(error: unknown): void {
		this.ended(error)
		this.#core.refusals.heard(this.state.connection, error)
		if (error !== null && error !== undefined && this.#core.breaks(error)) cut(this.state.connection)
	}

	protected override nested(): PgTransaction {
		return new PgTransaction(this.state, this.#core)
	}
}

/** Hears of a submittable's failure without taking it away from its owner. */
function watch(query: Submittable, failed: (error: unknown) => void): void {
	const { handleError } = query
	query.handleError = (error, connection) => {
		failed(error)
		return handleError.call(query, error, connection)
	}
}

const byHand = new Set(['begin', 'commit', 'rollback', 'prepare'])

function refuseControl(config: unknown): void {
	const query = config as Submittable | null | undefined
	const text = typeof config === 'string' ? config : (query?.text ?? query?.cursor?.text)
	if (typeof text !== 'string' || !mayControlTransaction(text)) return
	const control = controlStatements(text, 'postgres').find(({ verb }) => byHand.has(verb))
	if (control === undefined) return
	throw new HoldfastError(
		'HOLDFAST_TRANSACTION_CONTROL',
		`${control.verb.toUpperCase()} inside transaction(): return from the function to commit, throw to roll back. Nothing was sent.`,
	)
}
