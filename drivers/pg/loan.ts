/** How does a borrower of `pool.connect()`, an ORM say, get verified commits without changing a line? By seeing its BEGIN and COMMIT pass. */
import { type Call, type CommitMark, controlStatements, HoldfastError, mayControlTransaction, resolveCommit } from '../../src/driver.ts'
import { cut, execute, lent, send } from './client.ts'
import type { PgCore } from './core.ts'
import { cutPieces, hasControl } from './pieces.ts'
import { resultOf } from './result.ts'
import type { PgClient, PgResult, QueryCallback } from './shape.ts'
import { rewriteStack } from './stack.ts'
import { isBusy, transactionStatus } from './state.ts'
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
	/** The connection that does the work: another one once a dead one was replaced at BEGIN. */
	#target: PgClient
	#mark: CommitMark | undefined
	/** A transaction is open that may write and is not marked. */
	#unmarked = false
	/** Statements that the borrower has sent beside the control of transactions. */
	#sent = 0
	#running = 0
	#whenDone: (() => void) | undefined
	/** The BEGIN behind which nothing was sent yet. */
	#opened: string | undefined
	/** The connection that was taken out of the pool; the borrower may go on asking it. */
	#dropped: PgClient | undefined
	readonly #forwarded: Array<readonly [string, (...args: unknown[]) => void]> = []
	readonly #discard: (client: PgClient, error: unknown) => void

	/** `discard` takes a dead connection out of the pool at once, so that its place is free while the borrower still holds it. */
	constructor(core: PgCore, driver: PgTransactionDriver, client: PgClient, discard: (client: PgClient, error: unknown) => void) {
		this.#core = core
		this.#driver = driver
		this.#client = client
		this.#query = client.query
		lent.set(client, client.query)
		client.query = (config: unknown, values?: unknown, callback?: QueryCallback) => this.query(config, values, callback)
		this.#target = client
		this.#discard = discard
	}

	/** The connection to give back. */
	get target(): PgClient {
		return this.#target
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
		for (const [event, listener] of this.#forwarded) this.#target.removeListener(event, listener)
	}

	query(config: unknown, values?: unknown, callback?: QueryCallback): unknown {
		const text = typeof config === 'string' ? config : (config as { text?: unknown } | null | undefined)?.text
		if (typeof text === 'string' && mayControlTransaction(text) && typeof (config as { submit?: unknown }).submit !== 'function') {
			const run = this.#controlled(config, text, values)
			if (run !== undefined) return this.#answer(run, config, values, callback)
		}
		const opened = this.#opened
		this.#opened = undefined
		if (opened !== undefined && typeof text === 'string' && setsModes.test(text))
			return this.#answer(() => this.#setModes(opened, config, text, values), config, values, callback)
		this.#sent += 1
		return this.#pass(config, values, callback)
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
		return async () => {
			const results: unknown[] = []
			for (const piece of pieces) {
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
		const nested = !isBusy(this.#target) && (transactionStatus(this.#target) ?? 'I') !== 'I'
		if (!nested && !readOnly) this.#opened = text
		for (;;) {
			try {
				const { mark, begun } = await this.#driver.beginAs(this.#target, text, readOnly || nested)
				if (!nested) {
					this.#mark = mark
					this.#unmarked = mark === undefined && !readOnly
				}
				return resultOf(this.#client, begun)
			} catch (error) {
				// Nothing has been applied. A dead connection is replaced, but only where the borrower has sent nothing else on it: with the session
				// its settings, temporary tables and advisory locks are gone, and who counts on them must be told.
				this.#opened = undefined
				const fault = call.classify(error, 'statement')
				const moved = fault.scope === 'connection' || fault.scope === 'endpoint'
				if (!moved || this.#sent > 0 || this.#mark !== undefined) throw error
				this.#drop(error)
				await call.next(error, { ...fault, outcome: 'not_sent' }, 'statement', { idempotent: true, reads: () => true })
				this.#moveTo(await this.#core.acquire(call))
				if (!readOnly) this.#opened = text
			}
		}
	}

	/**
	 * SET TRANSACTION must come before any query, and the mark is one. So the transaction is opened anew with these modes; where they
	 * cannot stand in a BEGIN (SNAPSHOT, an error), it is opened without a mark.
	 */
	async #setModes(opened: string, config: unknown, text: string, values: unknown): Promise<unknown> {
		this.#sent += 1
		const modes = setsModes.exec(text)?.[1]
		const undone = execute(this.#target, 'ROLLBACK')
		if (modes !== undefined) {
			try {
				// On a line of its own: the BEGIN may end in a comment.
				const text = `${opened.trim().replace(/;$/, '')}\n${modes}`
				const [{ mark }] = await Promise.all([this.#driver.beginAs(this.#target, text, false), undone])
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
		await execute(this.#target, opened)
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
			return this.#afterLostCommit(error, mark ?? this.#mark, open)
		}
		// The server's warning says that there was none; a chained one is not marked.
		this.#unmarked = chain && inTransaction
		if (result.command !== 'ROLLBACK') return result
		throw new HoldfastError(
			'HOLDFAST_ROLLED_BACK',
			'The server answered COMMIT by rolling back: a statement of the transaction had failed.',
		)
	}

	async #afterLostCommit(error: unknown, mark: CommitMark | undefined, inTransaction: boolean): Promise<unknown> {
		const call = this.#core.call({})
		const fault = call.classify(error, 'commit')
		if (fault.outcome !== 'unknown' || !inTransaction) throw error
		this.#drop(error)
		const resolution = await resolveCommit(
			{ driver: this.#driver, acquire: (given: Call) => this.#core.acquire(given) },
			mark,
			call,
			this.#core.policy.counters,
		)
		if (resolution.state === 'applied') return resultOf(this.#client, 'COMMIT')
		if (resolution.state === 'not applied') throw call.notApplied(error, fault)
		throw call.inDoubt(error, 'commit', { xid: mark?.xid, token: mark?.token, detail: resolution.why })
	}

	#forget(): void {
		this.#mark = undefined
		this.#unmarked = false
		this.#opened = undefined
	}

	#drop(error: unknown): void {
		if (this.#dropped === this.#target) return
		this.#dropped = this.#target
		this.#core.lost(this.#target)
		this.#discard(this.#target, error)
		cut(this.#target)
	}

	#moveTo(fresh: PgClient): void {
		for (const [event, listener] of this.#forwarded.splice(0)) this.#target.removeListener(event, listener)
		this.#target = fresh
		for (const event of ['notification', 'notice', 'error', 'end'] as const) {
			const listener = (...args: unknown[]) => {
				this.#client.emit(event, ...args)
			}
			this.#forwarded.push([event, listener])
			fresh.on(event, listener)
		}
	}

	#pass(config: unknown, values: unknown, callback: QueryCallback | undefined): unknown {
		return send(this.#target, config, values, callback)
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
		const own = (config as { callback?: QueryCallback } | null)?.callback
		const done = typeof values === 'function' ? (values as QueryCallback) : (callback ?? own)
		this.#running += 1
		const promise = run().finally(() => {
			this.#running -= 1
			const then = this.#whenDone
			if (this.#running > 0 || then === undefined) return
			// The borrower hears first, one tick from now: a connection that is given back is with somebody else at once.
			process.nextTick(() => process.nextTick(then))
		})
		if (done === undefined) return promise.catch(rewriteStack)
		// Out of the promise: what the borrower's callback throws is an uncaught exception, as it is with pg's own client.
		promise.then(
			(result) => process.nextTick(done, null, result),
			(error) => process.nextTick(done, error),
		)
		return undefined
	}
}
