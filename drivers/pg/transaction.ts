/** How are transactions run over pg? The statements, and the handle that the user's function gets. */
import {
	type AttemptState,
	type CommitMark,
	type CommitVerdict,
	controlStatements,
	HoldfastError,
	mayControlTransaction,
	type TransactionDriver,
	type TransactionModes,
	TransactionScope,
	type TransactionStatus,
} from '../../src/driver.ts'
import { beginMarked } from './begin.ts'
import { cut, execute, whenQuiet } from './client.ts'
import type { PgCore } from './core.ts'
import { query, settle } from './query.ts'
import type { PgClient, PgResult, QueryCallback, Submittable } from './shape.ts'
import { isAlive, isBusy, openCursors, transactionStatus } from './state.ts'
import { sqlstateOf, type Witness } from './witness.ts'

export class PgTransactionDriver implements TransactionDriver<PgClient> {
	readonly #core: PgCore
	readonly #witness: Witness | undefined

	/** Without a witness commits are not verified. */
	constructor(core: PgCore, witness: Witness | undefined) {
		this.#core = core
		this.#witness = witness
	}

	/** Whether commits are verified. */
	get verifies(): boolean {
		return this.#witness !== undefined
	}

	async begin(client: PgClient, modes: TransactionModes): Promise<CommitMark | undefined> {
		return (await this.beginAs(client, beginText(modes), modes.readOnly === true)).mark
	}

	/** Opens a transaction by this text, marked if it may write and its commit is to be verified. */
	async beginAs(client: PgClient, text: string, readOnly: boolean): Promise<{ mark: CommitMark | undefined; begun: string }> {
		const witness = this.#witness
		// Sent ahead and not waited for: what the borrower sends behind the BEGIN must stay behind it.
		if (!readOnly) witness?.prepare?.(client)
		for (;;) {
			const marking = readOnly ? undefined : witness?.marking(client)
			if (witness === undefined || marking === undefined) {
				const { command } = (await execute(client, text)) as PgResult
				return { mark: undefined, begun: command ?? '' }
			}
			const marked = await beginMarked(client, text, marking)
			if (!('failed' in marked)) return { mark: witness.read(client, marked, marking), begun: marked.begun }
			const { failed, begun } = marked
			// A BEGIN that was refused itself, in a failed transaction of the borrower say, has opened nothing that could be rolled back.
			if (begun === undefined || sqlstateOf(failed) === undefined || !isAlive(client)) throw failed
			await execute(client, 'ROLLBACK')
			if (!(await witness.adapt(client, failed, marking))) throw failed
		}
	}

	async look(client: PgClient, mark: CommitMark): Promise<CommitVerdict> {
		return (this.#witness as Witness).look(client, mark)
	}

	async execute(client: PgClient, text: string): Promise<void> {
		await execute(client, text)
	}

	async commit(client: PgClient): Promise<'committed' | 'rolled_back'> {
		const { command } = (await execute(client, 'COMMIT')) as PgResult
		// The manual, "COMMIT": in a failed transaction it rolls back, and says so in its command tag only.
		return command === 'ROLLBACK' ? 'rolled_back' : 'committed'
	}

	status(client: PgClient): TransactionStatus | Promise<TransactionStatus> {
		// The end of a transaction closes its cursors. Here they must be closed first: COMMIT would wait for their last row, for ever.
		for (const cursor of openCursors(client)) closeCursor(cursor)
		if (!isBusy(client)) return statusOf(client)
		return new Promise((resolve) => whenQuiet(client, () => resolve(statusOf(client))))
	}

	cut(client: PgClient, error: Error): void {
		cut(client, error)
	}

	release(client: PgClient, error?: unknown): void {
		const broken = error !== undefined || !client._queryable
		settle(this.#core, client, broken ? (error ?? new Error('The connection was lost')) : undefined, broken)
	}
}

function beginText({ isolation, readOnly, deferrable }: TransactionModes): string {
	const modes = [
		isolation && `ISOLATION LEVEL ${isolation.toUpperCase()}`,
		readOnly === undefined ? '' : readOnly ? 'READ ONLY' : 'READ WRITE',
		deferrable === undefined ? '' : deferrable ? 'DEFERRABLE' : 'NOT DEFERRABLE',
	]
	return ['BEGIN', ...modes].filter(Boolean).join(' ')
}

function statusOf(client: PgClient): TransactionStatus {
	if (!isAlive(client)) return 'dead'
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
		const { connection } = this.state
		if (typeof (config as Submittable | null)?.submit === 'function') {
			watch(config as Submittable, (error) => this.#heard(error))
			return connection.query(config, values, callback)
		}
		const given = typeof values === 'function' ? undefined : values
		if (done !== undefined) return query(connection, config, given, this.#once(done))
		return new Promise((resolve, reject) => {
			const settled: QueryCallback = (error, result) => {
				if (error === null || error === undefined) resolve(result)
				else reject(error)
			}
			query(connection, config, given, this.#once(settled))
		}).catch(rewriteStack)
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

	/** After a `query_timeout`, say, the server may never answer on this connection again: the end must not wait for it. */
	#heard(error: unknown): void {
		this.ended(error)
		if (error !== null && error !== undefined && this.#core.breaks(error)) cut(this.state.connection)
	}

	protected override nested(): PgTransaction {
		return new PgTransaction(this.state, this.#core)
	}
}

/** Points the stack at the caller instead of the socket, as pg itself does; the object stays the same. */
export function rewriteStack(error: unknown): never {
	if (error instanceof Error && Object.isExtensible(error)) Error.captureStackTrace(error, rewriteStack)
	throw error
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
