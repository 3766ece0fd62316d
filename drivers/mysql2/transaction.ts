/** How are transactions run over mysql2? The statements that the core asks for, each in its turn. */
import type { Begun, CommitMark, CommitVerdict, TransactionDriver, TransactionModes, TransactionStatus } from '../../src/driver.ts'
import { cut, perform } from './client.ts'
import type { Mysql2Core } from './core.ts'
import type { Ledger } from './ledger.ts'
import { Line, lineOf } from './line.ts'
import { findRefusal } from './refused.ts'
import type { Mysql2Connection } from './shape.ts'
import { isAlive, transactionStatus } from './state.ts'
import { endStreams } from './statement.ts'

export class Mysql2TransactionDriver implements TransactionDriver<Mysql2Connection> {
	readonly #core: Mysql2Core
	/** Undefined where commits are not verified. */
	readonly ledger: Ledger | undefined

	constructor(core: Mysql2Core, ledger: Ledger | undefined) {
		this.#core = core
		this.ledger = ledger
	}

	async begin(connection: Mysql2Connection, modes: TransactionModes): Promise<Begun> {
		const line = new Line(connection, this.#core, this.ledger, modes)
		await line.open()
		return line
	}

	async look(connection: Mysql2Connection, mark: CommitMark): Promise<CommitVerdict> {
		return (this.ledger as Ledger).look(connection, mark)
	}

	execute(connection: Mysql2Connection, text: string): Promise<void> {
		return new Promise((resolve, reject) => {
			lineOf(connection).run({
				text: undefined,
				heals: text.startsWith('ROLLBACK TO'),
				start: (done) => {
					perform(connection, text).then(() => done(null), done)
				},
				done: (error) => (error === null || error === undefined ? resolve() : reject(error)),
			})
		})
	}

	async rollback(connection: Mysql2Connection): Promise<void> {
		// The end of the session rolls back as well, so a server that does not answer need not be waited for.
		const stop = this.#core.limit(connection)
		try {
			await perform(connection, 'ROLLBACK')
		} finally {
			stop()
		}
		const { failure, isReadOnly } = lineOf(connection)
		// Before the error is judged.
		if (!isReadOnly) await new Promise<void>((resolve) => findRefusal(this.#core, connection, failure, resolve))
	}

	async commit(connection: Mysql2Connection): Promise<'committed' | 'rolled_back'> {
		await perform(connection, 'COMMIT')
		this.ledger?.confirmed(lineOf(connection).mark)
		return 'committed'
	}

	status(connection: Mysql2Connection): TransactionStatus | Promise<TransactionStatus> {
		endStreams(connection)
		const line = lineOf(connection)
		const status = (): TransactionStatus => {
			if (!isAlive(connection)) return 'dead'
			// Also where the server has no transaction any more: it has rolled it back.
			return line.failure === undefined ? transactionStatus(connection) : 'failed'
		}
		if (line.quiet) return status()
		return new Promise((resolve) => line.whenQuiet(() => resolve(status())))
	}

	cut(connection: Mysql2Connection, error: Error): void {
		cut(connection, error)
	}

	release(connection: Mysql2Connection, error?: unknown): void {
		this.#core.settle(connection, error !== undefined || !isAlive(connection))
	}
}
