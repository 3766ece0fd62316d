/** How does a borrower of `pool.connect()`, an ORM say, get verified commits without changing a line? By seeing its BEGIN and COMMIT pass. */
import { type CommitMark, controlStatements, HoldfastError, Holding, mayControlTransaction, Traces } from '../../src/driver.ts'
import { execute, lent, send } from './client.ts'
import type { PgCore } from './core.ts'
import { afterLostCommit } from './loan-commit.ts'
import { LoanLink } from './loan-link.ts'
import { cutPieces, hasControl } from './pieces.ts'
import { snapshot, snapshotValues } from './query.ts'
import { beganReadOnly, isRefusal, refusedOnLoan } from './refused-loan.ts'
import { resultOf } from './result.ts'
import type { PgClient, PgResult, QueryCallback } from './shape.ts'
import { isBusy, transactionStatus } from './state.ts'
import { tell } from './tell.ts'
import type { PgTransactionDriver } from './transaction.ts'

type Query = PgClient['query']

// The modes that a BEGIN can take as well are kept apart; SNAPSHOT and the settings behind SET LOCAL are not among them.
const setsModes = /^\s*SET\s+(?:(?:LOCAL|SESSION)\s+)?TRANSACTION(?:_[A-Z_]+\b|\s+SNAPSHOT\b|\s+([^;]+?)\s*;?\s*$)/i

/** A connection while somebody has borrowed it. What it does for its borrower looks as pg's own client does. */
export class Loan {
	readonly #core: PgCore
	readonly #driver: PgTransactionDriver
	/** The object that the borrower holds. */
	readonly #client: PgClient
	readonly #query: Query
	readonly #link: LoanLink
	#mark: CommitMark | undefined
	/** A transaction is open that may write and is not marked. */
	#unmarked = false
	/** What the borrower has sent beside the control of transactions. */
	readonly #traces: Traces
	#running = 0
	readonly #holding = new Holding()
	#whenDone: (() => void) | undefined
	/** The BEGIN behind which nothing was sent yet. */
	#opened: string | undefined
	/** `discard` takes a dead connection out of the pool at once, so that its place is free while the borrower still holds it. */
	constructor(core: PgCore, driver: PgTransactionDriver, client: PgClient, discard: (client: PgClient, error: unknown) => void) {
		this.#core = core
		this.#driver = driver
		this.#client = client
		this.#query = client.query
		lent.set(client, client.query)
		client.query = (config: unknown, values?: unknown, callback?: QueryCallback) => this.query(config, values, callback)
		this.#traces = new Traces('postgres', core.policy.readsAreSafe)
		this.#link = new LoanLink(core, client, discard)
	}

	/** The connection to give back. */
	get target(): PgClient {
		return this.#link.target
	}

	/** Calls `then` once nothing is on its way in pieces: between two of them the client itself looks quiet. */
	whenDone(then: () => void): void {
		if (this.#running === 0) then()
		else this.#whenDone = then
	}

	/** The borrower has given it back. */
	end(): void {
		this.#client.query = this.#query
		lent.delete(this.#client)
		this.#link.end()
	}

	query(config: unknown, values?: unknown, callback?: QueryCallback): unknown {
		const text = typeof config === 'string' ? config : (config as { text?: unknown } | null | undefined)?.text
		const isText = typeof text === 'string' && typeof (config as { submit?: unknown }).submit !== 'function'
		if (isText && this.#holding.isOn) {
			const given = typeof values === 'function' ? undefined : snapshotValues(values)
			const again = typeof config === 'string' ? config : { ...(snapshot(config) as object), callback: undefined }
			return this.#answer(() => this.#holding.behind(() => this.query(again, given)), config, values, callback)
		}
		if (isText && mayControlTransaction(text)) {
			const run = this.#controlled(config, text, values)
			if (run !== undefined) return this.#answer(run, config, values, callback)
		}
		const opened = this.#opened
		this.#opened = undefined
		if (opened !== undefined && typeof text === 'string' && setsModes.test(text))
			return this.#answer(() => this.#setModes(opened, config, text, values), config, values, callback)
		if (isText && this.#mayBeMoved(opened)) return this.#answer(() => this.#movable(config, text, values, opened), config, values, callback)
		this.#traces.note(isText ? text : undefined)
		return this.#pass(config, values, callback)
	}

	/** Nothing of the borrower's is on the connection but, maybe, a transaction in which nothing was done yet. */
	#mayBeMoved(opened: string | undefined): boolean {
		if (this.#running > 0 || !this.#traces.mayBeNone || isBusy(this.#link.target)) return false
		return transactionStatus(this.#link.target) === (opened === undefined ? 'I' : 'T')
	}

	/** Runs a statement that another connection may run as well, where this one leads to a server that takes no writes any more. */
	async #movable(config: unknown, text: string, values: unknown, opened: string | undefined): Promise<unknown> {
		this.#traces.note(text)
		const { count } = this.#traces
		const [said, given] = [snapshot(config), snapshotValues(values)]
		try {
			return await this.#send(config, values)
		} catch (error) {
			// What has been sent behind it was sent to this connection.
			const isAlone = this.#running === 1 && this.#traces.count === count
			if (!isRefusal(this.#core, error) || !isAlone || !this.#traces.areNone(1)) throw error
			return this.#holding.during(() => this.#elsewhere(error, () => this.#send(said, given), opened))
		}
	}

	async #elsewhere(first: unknown, run: () => Promise<unknown>, opened: string | undefined): Promise<unknown> {
		const call = this.#core.call({})
		for (let error = first; ; ) {
			const fault = await refusedOnLoan(this.#core, this.#link.target, error, call, opened !== undefined)
			const isServers = fault.scope === 'connection' || fault.scope === 'endpoint'
			if (isServers) await this.#link.replace(call, error, fault)
			else if (opened === undefined && !fault.retryable) throw error
			// Where it is the borrower's own wish, the transaction is left as it was.
			if (opened !== undefined) await this.#begin(opened, false)
			this.#opened = undefined
			try {
				return await run()
			} catch (next) {
				if (!isServers || !isRefusal(this.#core, next)) throw next
				error = next
			}
		}
	}

	/** What to do instead of passing the text on; undefined where there is nothing to do. */
	#controlled(config: unknown, text: string, values: unknown): (() => Promise<unknown>) | undefined {
		const statements = controlStatements(text, 'postgres')
		const [first] = statements
		const last = statements.at(-1)
		if (first === undefined || last === undefined) return undefined
		if (statements.length > 1) return this.#several(text, statements)
		switch (first.verb) {
			case 'begin':
				return () => this.#begin(text, first.readOnly === true)
			case 'commit':
				return () => this.#commit(config, values, first.chain === true)
			case 'rollback':
			case 'prepare': {
				// A chained transaction is not marked.
				const chained = first.chain === true && (this.#mark !== undefined || this.#unmarked)
				this.#forget()
				this.#unmarked = chained
				return undefined
			}
			default:
				return undefined
		}
	}

	/**
	 * A text of several statements is sent in pieces where it opens a transaction first, or commits one last. Only a syntax error shows the
	 * difference: the server finds it when it comes to that piece.
	 */
	#several(text: string, statements: ReturnType<typeof controlStatements>): (() => Promise<unknown>) | undefined {
		if (!hasControl(statements)) return undefined
		const opens = statements[0]?.verb === 'begin'
		const pieces = cutPieces(text, statements)
		if (pieces === undefined || (!opens && !this.#mark)) {
			this.#forget()
			this.#unmarked = true
			return undefined
		}
		this.#traces.note(text)
		return async () => {
			const results: unknown[] = []
			for (const piece of pieces) {
				this.#opened = undefined
				const verb = controlStatements(piece, 'postgres')[0]?.verb
				const result =
					piece === pieces[0] && opens
						? await this.#begin(piece, statements[0]?.readOnly === true)
						: piece === pieces.at(-1) && verb === 'commit'
							? await this.#commit(piece, undefined, statements.at(-1)?.chain === true)
							: await this.#send(piece, undefined)
				results.push(...(Array.isArray(result) ? result : [result]))
			}
			return results
		}
	}

	async #begin(text: string, readOnly: boolean): Promise<unknown> {
		const call = this.#core.call({})
		// A BEGIN inside a transaction only earns a warning, or an error where that has failed; the mark that counts is the first.
		const nested = !isBusy(this.#link.target) && (transactionStatus(this.#link.target) ?? 'I') !== 'I'
		if (!nested && !readOnly) this.#opened = text
		const { count } = this.#traces
		// What was sent behind it was sent to this connection.
		const mayBeMoved = () => this.#traces.count === count && this.#traces.areNone()
		for (;;) {
			try {
				const { mark, begun } = await this.#driver.beginAs(this.#link.target, text, readOnly || nested)
				const asks = mark === undefined && !nested && !readOnly && this.#running === 1 && mayBeMoved()
				const refused = asks ? await this.#holding.during(() => beganReadOnly(this.#core, this.#link.target, call)) : undefined
				if (refused !== undefined && mayBeMoved()) {
					await this.#holding.during(() => this.#link.replace(call, refused.error, refused.fault))
					continue
				}
				if (!nested) {
					this.#mark = mark
					this.#unmarked = mark === undefined && !readOnly
				}
				return resultOf(this.#client, begun)
			} catch (error) {
				// Nothing has been applied. A dead connection is replaced, but only where the borrower has left nothing on it: with the session
				// its settings, temporary tables and advisory locks are gone, and who counts on them must be told.
				this.#opened = undefined
				const fault = call.classify(error, 'statement')
				const moved = fault.scope === 'connection' || fault.scope === 'endpoint'
				if (!moved || !mayBeMoved() || this.#mark !== undefined) throw error
				await this.#link.replace(call, error, { ...fault, outcome: 'not_sent' })
				if (!readOnly) this.#opened = text
			}
		}
	}

	/**
	 * SET TRANSACTION must come before any query, and the mark is one. So the transaction is opened anew with these modes; where they
	 * cannot stand in a BEGIN (SNAPSHOT, an error), it is opened without a mark.
	 */
	async #setModes(opened: string, config: unknown, text: string, values: unknown): Promise<unknown> {
		const modes = setsModes.exec(text)?.[1]
		const undone = execute(this.#link.target, 'ROLLBACK')
		if (modes !== undefined) {
			try {
				// On a line of its own: the BEGIN may end in a comment.
				const text = `${opened.trim().replace(/;$/, '')}\n${modes}`
				const [{ mark }] = await Promise.all([this.#driver.beginAs(this.#link.target, text, false), undone])
				this.#mark = mark
				this.#unmarked = mark === undefined
				return resultOf(this.#client, 'SET')
			} catch (error) {
				if (this.#core.breaks(error)) throw error
			}
		}
		this.#forget()
		this.#unmarked = true
		await undone
		await execute(this.#link.target, opened)
		return this.#send(config, values)
	}

	async #commit(config: unknown, values: unknown, chain: boolean): Promise<unknown> {
		const mark = this.#mark
		const inTransaction = mark !== undefined || this.#unmarked
		this.#forget()
		let result: PgResult
		try {
			result = (await this.#send(config, values)) as PgResult
		} catch (error) {
			// Where the BEGIN was not awaited, its mark has come since.
			const open = inTransaction || this.#mark !== undefined || this.#unmarked
			return afterLostCommit(this.#core, this.#driver, this.#link, open, mark ?? this.#mark, error)
		}
		// The server's warning says that there was none; a chained one is not marked.
		this.#unmarked = chain && inTransaction
		if (result.command !== 'ROLLBACK') return result
		throw new HoldfastError(
			'HOLDFAST_ROLLED_BACK',
			'The server answered COMMIT by rolling back: a statement of the transaction had failed.',
		)
	}

	#forget(): void {
		this.#mark = undefined
		this.#unmarked = false
		this.#opened = undefined
	}

	#pass(config: unknown, values: unknown, callback: QueryCallback | undefined): unknown {
		return send(this.#link.target, config, values, callback)
	}

	#send(config: unknown, values: unknown): Promise<unknown> {
		return new Promise((resolve, reject) => {
			this.#pass(config, values, (error, result) => {
				if (error === null || error === undefined) resolve(result)
				else reject(error)
			})
		})
	}

	/** Runs it in the form in which the borrower asked: with a callback, or as a promise. */
	#answer(run: () => Promise<unknown>, config: unknown, values: unknown, callback: QueryCallback | undefined): unknown {
		this.#running += 1
		const promise = run().finally(() => {
			this.#running -= 1
			const then = this.#whenDone
			if (this.#running > 0 || then === undefined) return
			// The borrower hears first, one tick from now: a connection that is given back is with somebody else at once.
			process.nextTick(() => process.nextTick(then))
		})
		return tell(promise, config, values, callback)
	}
}
