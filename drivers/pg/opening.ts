/** When does a transaction begin? With its first statement: BEGIN is put off, and sent in the same packet. */
import type { Begun, CommitMark } from '../../src/driver.ts'
import { beginAgain, beginNow } from './begin-now.ts'
import { withoutLostName } from './cached-plan.ts'
import { carrierOf, carries } from './carrier.ts'
import { query, snapshot, snapshotValues } from './query.ts'
import type { PgClient, QueryCallback } from './shape.ts'
import { isBusy } from './state.ts'
import type { Witness } from './witness.ts'

type State = 'put off' | 'under way' | 'open' | 'failed'

const openings = new WeakMap<PgClient, Opening>()

/** The transaction that the pool has begun on this connection, if any. */
export const openingOf = (client: PgClient): Opening | undefined => openings.get(client)

/** Forgets it: the connection goes back to the pool. */
export function forgetOpening(client: PgClient): void {
	openings.delete(client)
}

/** One transaction, from the decision to begin it to the server's answer. */
export class Opening implements Begun {
	mark: CommitMark | undefined
	#state: State = 'put off'
	#error: unknown
	#waiting: Array<() => void> | undefined
	readonly #client: PgClient
	readonly #text: string
	readonly #witness: Witness | undefined

	constructor(client: PgClient, text: string, witness: Witness | undefined) {
		this.#client = client
		this.#text = text
		this.#witness = witness
		openings.set(client, this)
	}

	get state(): State {
		return this.#state
	}

	/** Opens it now if nothing has yet, and calls `then` once it is open, or with the error for which it is not. */
	open(then: (error?: unknown) => void): void {
		if (this.#state === 'put off') {
			this.#state = 'under way'
			beginNow(this.#client, this.#text, this.#witness).then(
				({ mark }) => this.#opened(mark),
				(error: unknown) => this.#failed(error),
			)
		}
		this.settled(() => (this.#state === 'failed' ? then(this.#error) : then()))
	}

	/** Calls `then` once it is known whether it is open; at once where it is known, or was never tried. */
	settled(then: () => void): void {
		if (this.#state !== 'under way') return then()
		this.#waiting ??= []
		this.#waiting.push(then)
	}

	/** Runs a statement in the transaction: the first one takes the BEGIN along where it can. */
	run(config: unknown, values: unknown, callback: QueryCallback): void {
		if (this.#state === 'open') {
			query(this.#client, config, values, callback)
			return
		}
		this.#witness?.prepare?.(this.#client)
		const given = snapshot(config)
		const givenValues = snapshotValues(values)
		if (this.#state !== 'put off' || isBusy(this.#client) || !carries(this.#client, config)) this.#runOnceOpen(given, givenValues, callback)
		else this.#carry(given, givenValues, callback)
	}

	#runOnceOpen(config: unknown, values: unknown, callback: QueryCallback): void {
		this.open((error) => (error === undefined ? this.#query(config, values, callback) : callback(error)))
	}

	#carry(config: unknown, values: unknown, callback: QueryCallback): void {
		const witness = this.#witness
		const marking = witness?.marking(this.#client)
		const first = new (carrierOf(this.#client))(withoutLostName(this.#client, config), values)
		// The statement is left to another query object: of this one nobody hears any more.
		let left = false
		first.carry(this.#client, {
			text: this.#text,
			marking,
			opened: (marked) => this.#opened(marking && witness?.read(this.#client, marked, marking)),
			failed: (error, begun) => {
				left = true
				beginAgain(this.#client, this.#text, witness, marking, { failed: error, begun }).then(
					({ mark }) => {
						// Before those that have waited for it.
						this.#query(config, values, callback)
						this.#opened(mark)
					},
					(final: unknown) => {
						this.#failed(final)
						callback(final)
					},
				)
			},
			copied: () => {
				left = true
				this.#state = 'put off'
				this.#runOnceOpen(config, values, callback)
			},
		})
		this.#state = 'under way'
		const done: QueryCallback = (error, result) => {
			if (left) return
			if (!first.sent) this.#notSent()
			callback(error, result)
		}
		try {
			// In second place every pg 8 takes the callback of a query object.
			this.#client.query(first, done)
		} catch (error) {
			if (!first.sent) this.#notSent()
			throw error
		}
	}

	/** Its arguments were refused: the transaction can still begin with another statement, and those that wait do not wait any longer. */
	#notSent(): void {
		if (this.#state !== 'under way') return
		this.#state = 'put off'
		if (this.#waiting !== undefined) this.open(() => {})
	}

	#query(config: unknown, values: unknown, callback: QueryCallback): void {
		try {
			query(this.#client, config, values, callback)
		} catch (error) {
			// pg refuses the arguments.
			callback(error)
		}
	}

	#opened(mark: CommitMark | undefined): void {
		this.mark = mark
		this.#settle('open')
	}

	#failed(error: unknown): void {
		this.#error = error
		this.#settle('failed')
	}

	#settle(state: State): void {
		this.#state = state
		const waiting = this.#waiting
		if (waiting === undefined) return
		this.#waiting = undefined
		for (const then of waiting) then()
	}
}
