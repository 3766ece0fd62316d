/** How does a borrower of `pool.connect()`, an ORM say, get verified commits without changing a line? By seeing its BEGIN and COMMIT pass. */
import { type Call, type CommitMark, controlStatements, HoldfastError, mayControlTransaction, resolveCommit } from '../../src/driver.ts'
import { cut, lent, send } from './client.ts'
import type { PgCore } from './core.ts'
import type { PgClient, PgResult, QueryCallback } from './shape.ts'
import { isBusy, transactionStatus } from './state.ts'
import { type PgTransactionDriver, rewriteStack } from './transaction.ts'

type Query = PgClient['query']

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
	#sent = 0
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
			case 'prepare':
				this.#forget()
				return undefined
			default:
				return undefined
		}
	}

	/**
	 * A text of several statements is sent in pieces where it opens a transaction first, or commits one last. Only a syntax error shows the
	 * difference: the server finds it when it comes to that piece.
	 */
	#several(text: string, statements: ReturnType<typeof controlStatements>): (() => Promise<unknown>) | undefined {
		const controls = statements.filter(({ verb }) => verb === 'begin' || verb === 'commit' || verb === 'rollback' || verb === 'prepare')
		if (controls.length === 0) return undefined
		const opens = statements[0]?.verb === 'begin'
		const commits = statements.at(-1)?.verb === 'commit'
		const inside = statements.slice(opens ? 1 : 0, commits ? -1 : undefined)
		if (inside.some((statement) => controls.includes(statement)) || (!opens && !this.#mark)) {
			// Transactions end and begin in the middle: nobody could say which of them a lost answer belongs to.
			this.#forget()
			this.#unmarked = true
			return undefined
		}
		const cuts = [
			0,
			...(opens ? [statements[1]?.start ?? text.length] : []),
			...(commits ? [statements.at(-1)?.start as number] : []),
			text.length,
		]
		const pieces = cuts.slice(1).map((end, index) => text.slice(cuts[index], end))
		return async () => {
			const results: unknown[] = []
			for (const piece of pieces) {
				if (piece.trim() === '') continue
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
		// A BEGIN inside a transaction only earns a warning; the mark that counts is the first.
		const nested = transactionStatus(this.#target) === 'T' && !isBusy(this.#target)
		for (;;) {
			const sent = this.#sent
			try {
				const { mark, begun } = await this.#driver.beginAs(this.#target, text, readOnly || nested)
				if (!nested) {
					this.#mark = mark
					this.#unmarked = mark === undefined && !readOnly
				}
				return this.#result(begun)
			} catch (error) {
				// Nothing has been applied. A dead connection is replaced, unless the borrower has already sent more behind the BEGIN.
				const fault = call.classify(error, 'statement')
				const moved = fault.scope === 'connection' || fault.scope === 'endpoint'
				if (!moved || sent !== this.#sent || this.#mark !== undefined) throw error
				this.#drop(error)
				await call.next(error, { ...fault, outcome: 'not_sent' }, 'statement', { idempotent: true, reads: () => true })
				this.#moveTo(await this.#core.acquire(call))
			}
		}
	}

	async #commit(config: unknown, values: unknown, chain: boolean): Promise<unknown> {
		const mark = this.#mark
		const inTransaction = mark !== undefined || this.#unmarked
		this.#forget()
		let result: PgResult
		try {
			result = (await this.#send(config, values)) as PgResult
		} catch (error) {
			return this.#afterLostCommit(error, mark, inTransaction)
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
		if (resolution.state === 'applied') return this.#result('COMMIT')
		if (resolution.state === 'not applied') throw call.notApplied(error, fault)
		throw call.inDoubt(error, 'commit', { xid: mark?.xid, token: mark?.token, detail: resolution.why })
	}

	#forget(): void {
		this.#mark = undefined
		this.#unmarked = false
	}

	#drop(error: unknown): void {
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
		const promise = run()
		if (done === undefined) return promise.catch(rewriteStack)
		promise.then(
			(result) => done(null, result),
			(error) => done(error),
		)
		return undefined
	}

	/** The result that pg makes of this command tag. */
	#result(tag: string): unknown {
		const { Query: Query_ } = this.#client.constructor as unknown as {
			Query: new (text: string) => { _result?: { addCommandComplete(message: { text: string }): void } }
		}
		const result = new Query_(tag)._result
		result?.addCommandComplete({ text: tag })
		return result ?? { command: tag, rowCount: null, rows: [], fields: [] }
	}
}
