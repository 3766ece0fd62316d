/** In which order do the statements of a transaction run, and after which error do none? One line for each transaction, on its connection. */
import { type Begun, type CommitMark, HoldfastError, implicitCommit, type TransactionModes } from '../../src/driver.ts'
import { openingTexts, runInOrder } from './begin.ts'
import { cut } from './client.ts'
import type { Mysql2Core } from './core.ts'
import { endedWithSession } from './interrupted.ts'
import type { Ledger, Marking } from './ledger.ts'
import type { Mysql2Connection, QueryCallback } from './shape.ts'
import { isAlive, sessionOf } from './state.ts'

/** One statement in line. */
export interface Job {
	/** Undefined where it is not known. */
	readonly text: string | undefined
	/** Sends it. What it throws was refused by mysql2: nothing was sent. */
	start(done: QueryCallback): void
	/** Called once, after the line knows what the answer means for the transaction. */
	done: QueryCallback
	/** A rollback to a savepoint: it may run after an error, and heals where the server takes it. */
	readonly heals?: boolean
}

/** The last answer was an error, which tells nothing of the transaction. */
interface Suspect {
	readonly error: unknown
	/** Its statement commits what was done before it, unless it is refused before it comes to that. */
	readonly definition: boolean
	/** `committedBy` before the statement. */
	readonly before: string | undefined
}

const lines = new WeakMap<Mysql2Connection, Line>()

/** The transaction that the pool has begun on this connection. */
export const lineOf = (connection: Mysql2Connection): Line => lines.get(connection) as Line

/**
 * After a deadlock the server has rolled the transaction back, and its session goes on in autocommit; after a lock timeout only the
 * statement is undone. So the next statement is sent when the one before it was answered, and after such an error none is.
 */
export class Line implements Begun {
	mark: CommitMark | undefined
	/** The statement that has committed, or may have, what was done before it. */
	committedBy: string | undefined
	/** The error after which no statement runs until a rollback. */
	failure: unknown
	readonly #connection: Mysql2Connection
	readonly #core: Mysql2Core
	readonly #ledger: Ledger | undefined
	readonly #modes: TransactionModes
	#busy = false
	readonly #waiting: Job[] = []
	#whenQuiet: Array<() => void> = []
	#suspect: Suspect | undefined

	constructor(connection: Mysql2Connection, core: Mysql2Core, ledger: Ledger | undefined, modes: TransactionModes) {
		this.#connection = connection
		this.#core = core
		this.#ledger = ledger
		this.#modes = modes
		lines.set(connection, this)
	}

	/** Opens the transaction, marked if it may write and there is a ledger. */
	open(): Promise<void> {
		const ledger = this.#modes.readOnly === true ? undefined : this.#ledger
		return ledger === undefined ? runInOrder(this.#connection, openingTexts(this.#modes)) : this.#openMarked(ledger)
	}

	async #openMarked(by: Ledger): Promise<void> {
		const connection = this.#connection
		let ledger: Ledger | undefined = by
		for (;;) {
			let marking: Marking | undefined
			let opened = false
			try {
				await ledger?.prepare(connection)
				marking = ledger?.marking(connection)
				const texts = openingTexts(this.#modes)
				opened = true
				await runInOrder(connection, marking === undefined ? texts : [...texts, marking.text])
				ledger?.answered(marking)
				this.mark = marking?.mark
				return
			} catch (error) {
				const cannotWrite = ledger?.isReadOnly(error) === true
				if (ledger === undefined || !isAlive(connection) || (!cannotWrite && this.#core.breaks(error))) throw error
				// Before anything else is run on it: a missing table may be created, which would commit.
				if (opened) await runInOrder(connection, ['ROLLBACK'])
				ledger.answered(marking)
				if (cannotWrite) ledger = undefined
				else await ledger.adapt(connection, error)
			}
		}
	}

	/** Runs it when its turn comes; a failed transaction refuses it with the error that has failed it. */
	run(job: Job): void {
		if (this.#busy) this.#waiting.push(job)
		else this.#turn(job)
	}

	/** Calls `then` once nothing runs or waits any more and the server has said how the transaction stands. At once, where that is so. */
	whenQuiet(then: () => void): void {
		if (this.#busy) this.#whenQuiet.push(then)
		else if (this.#suspect === undefined) then()
		else {
			this.#busy = true
			this.#whenQuiet.push(then)
			this.#ask(() => this.#next())
		}
	}

	/** The user wants the server to refuse writes. */
	get isReadOnly(): boolean {
		return this.#modes.readOnly === true
	}

	get quiet(): boolean {
		return !this.#busy && this.#suspect === undefined
	}

	#turn(job: Job): void {
		this.#busy = true
		if (this.#suspect === undefined) this.#send(job)
		else this.#ask(() => this.#send(job))
	}

	#send(job: Job): void {
		// In a turn of its own: a thousand statements that wait would be refused on one stack.
		if (this.failure !== undefined && job.heals !== true) return process.nextTick(() => this.#tell(job, this.failure))
		const implicit = job.text === undefined ? undefined : implicitCommit(job.text)
		const before = this.committedBy
		// Before it is sent: a link that dies under it leaves no answer.
		if (implicit !== undefined) this.committedBy ??= implicit.statement
		let answered = false
		try {
			job.start((error, result, fields) => {
				// mysql2 calls back twice where its own time limit passed before the answer.
				if (answered) return
				answered = true
				if (error !== null && error !== undefined) {
					this.#failed(error, implicit?.certain === true, before)
					return this.#tell(job, error)
				}
				if (job.heals === true) this.failure = undefined
				if (sessionOf(this.#connection).inTransaction !== false) this.#tell(job, error, result, fields)
				else this.#left(implicit?.certain === true, () => this.#tell(job, error, result, fields))
			})
		} catch (error) {
			this.committedBy = before
			this.#tell(job, error)
		}
	}

	#tell(job: Job, error?: unknown, result?: unknown, fields?: unknown): void {
		try {
			job.done(error, result, fields)
		} finally {
			this.#next()
		}
	}

	#next(): void {
		const job = this.#waiting.shift()
		if (job !== undefined) return this.#turn(job)
		this.#busy = false
		if (this.#whenQuiet.length === 0) return
		const told = this.#whenQuiet
		this.#whenQuiet = []
		for (const then of told) this.whenQuiet(then)
	}

	#failed(error: unknown, definition: boolean, before: string | undefined): void {
		const { scope } = this.#core.call({}).classify(error, 'statement')
		if (scope === 'transaction') this.failure ??= error
		// A time limit of mysql2's own: the server may never answer on this connection again.
		else if (scope !== 'statement') cut(this.#connection)
		// In a failed transaction there is nothing more to find out.
		else if (this.failure === undefined) this.#suspect = { error, definition, before }
	}

	/** The answer of a ping carries the status that an error does not. */
	#ask(then: () => void): void {
		const { error, definition, before } = this.#suspect as Suspect
		this.#suspect = undefined
		this.#connection.ping((lost) => {
			if (lost) endedWithSession(error)
			if (lost || !isAlive(this.#connection)) return then()
			if (sessionOf(this.#connection).inTransaction !== false) {
				// It was refused before it came to its commit.
				if (definition) this.committedBy = before
				return then()
			}
			if (!definition) this.failure ??= error
			this.#left(definition, then)
		})
	}

	/** A statement has ended the transaction. After one that commits by itself the rest of the function gets a transaction of its own. */
	#left(definition: boolean, then: () => void): void {
		if (!isAlive(this.#connection)) return then()
		this.committedBy ??= 'A statement'
		if (!definition) {
			this.failure ??= new HoldfastError(
				'HOLDFAST_TRANSACTION_CONTROL',
				'A statement of the function has ended its transaction inside the server, so nothing more is run in it.',
			)
			return then()
		}
		this.open().then(then, (error: unknown) => {
			this.failure = error
			then()
		})
	}
}
