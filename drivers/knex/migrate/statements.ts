/** Which statements has a migration sent, which of them are in force for good, and which one got no answer? */

import { HoldfastError, isPlainRead } from '../../../src/driver.ts'
import type { Fault, Phase } from '../../../src/index.ts'
import { classify } from '../../../src/index.ts'
import type { LockWaits } from './lock-waits.ts'
import { redact } from './redact.ts'
import type { Server } from './server.ts'
import type { Connection, QueryObject, StatementWatcher } from './shape.ts'

const begins = /^\s*(?:begin|start\s+transaction)\b/i
const ends = /^\s*(?:commit|end|rollback(?!\s+(?:work\s+|transaction\s+)?to\b))\b/i
const commits = /^\s*(?:commit|end)\b/i
// It changes nothing that lasts.
const passing = /^\s*(?:set|reset|savepoint|release|rollback)\b/i
// A SELECT that calls any other function may do anything, such as `select create_hypertable(…)`.
const callsFunction =
	/\b(?!(?:count|max|min|sum|avg|coalesce|exists|in|any|and|or|not|on|as|from|where|current_schema|database|version|to_regclass)\b)[a-z_]\w*\s*\(/i
const keptTexts = 50

/** Where the statements of the migrations pass. Nothing is watched while none runs. */
export class Statements implements StatementWatcher {
	#watch: Watch | undefined

	/** Watches what is sent until `work` has ended. */
	async during<T>(watch: Watch, work: () => Promise<T>): Promise<T> {
		this.#watch = watch
		try {
			return await work()
		} finally {
			this.#watch = undefined
		}
	}

	run<T>(connection: Connection, sql: string, send: () => Promise<T>): Promise<T> {
		return this.#watch === undefined ? send() : this.#watch.run(connection, sql, send)
	}
}

/** What one try of one migration has sent. */
export class Watch {
	/** How many statements went out. */
	sent = 0
	/** Statements that are in force and cannot be rolled back; the first ones. */
	readonly applied: string[] = []
	/** A statement that would be in force now, if the server got it: it did not answer. */
	unanswered: string | undefined
	/** A statement that failed, and may have left something all the same. */
	halfDone: string | undefined
	/** Why a statement was not tried again by itself, where that ended the migration. */
	ended: { readonly by: unknown } | undefined
	/** The first error of the try: later ones may only say that the transaction has failed. */
	firstError: { readonly error: unknown; readonly fault: Fault } | undefined
	readonly #server: Server
	readonly #waits: LockWaits
	/** The connection whose transaction belongs to the runner. */
	readonly #session: Connection | undefined
	readonly #beforeDurable: (connection: Connection) => Promise<void>
	#announced: boolean
	readonly #faults = new WeakMap<object, Fault>()
	readonly #open = new Map<Connection, string[]>()
	readonly #limits = new WeakMap<Connection, number>()

	constructor(server: Server, waits: LockWaits, session: Connection | undefined, beforeDurable: (connection: Connection) => Promise<void>) {
		this.#server = server
		this.#waits = waits
		this.#session = session
		this.#beforeDurable = beforeDurable
		this.#announced = session === undefined
	}

	/** Whether nothing of the try can be in force: its end is its rollback. */
	get undone(): boolean {
		return this.applied.length === 0 && this.unanswered === undefined && this.halfDone === undefined
	}

	/** Statements of the runner's transaction since what was last in force. */
	get unfinished(): number {
		return this.#session === undefined ? 0 : (this.#open.get(this.#session)?.length ?? 0)
	}

	/** What an error that ended the try means. knex has written the statement into its message by now; we saw it before. */
	faultOf(error: unknown, phase: Phase): Fault {
		const first = this.firstError
		const { code } = error as { code?: unknown }
		// These only repeat that something failed before, and so does whatever follows the loss of the connection.
		const follows =
			code === '25P02' || code === 'HOLDFAST_ROLLED_BACK' || first?.fault.scope === 'connection' || first?.fault.scope === 'endpoint'
		if (first !== undefined && follows) return first.fault
		const known = typeof error === 'object' && error !== null ? this.#faults.get(error) : undefined
		return known ?? classify(error, { phase })
	}

	async run<T>(connection: Connection, sql: string, send: () => Promise<T>): Promise<T> {
		const implicit = this.#server.commitsImplicitly(sql)
		if (implicit && !this.#announced) {
			await this.#beforeDurable(connection)
			this.#announced = true
		}
		for (;;) {
			await this.#limit(connection, sql)
			this.sent += 1
			const answered = this.#waits.watch(connection)
			try {
				const result = await send()
				if (commits.test(sql)) refuseRolledBack(result)
				this.#confirmed(connection, sql, implicit)
				return result
			} catch (error) {
				const fault = classify(error, { phase: commits.test(sql) ? 'commit' : 'statement' })
				if (typeof error === 'object' && error !== null) this.#faults.set(error, fault)
				this.firstError ??= { error, fault }
				if (!this.#mayRepeat(connection, sql, fault)) {
					this.#failed(connection, sql, fault, implicit)
					throw error
				}
				this.firstError = undefined
				try {
					await this.#waits.failed(error, this.applied)
				} catch (ended) {
					// knex would write the statement, with its values, into the message of what is thrown here.
					this.ended = { by: ended }
					throw error
				}
			} finally {
				answered()
			}
		}
	}

	/** Only a statement that stood alone and of which nothing is left may be sent again by itself. */
	#mayRepeat(connection: Connection, sql: string, { kind, outcome }: Fault): boolean {
		if (kind !== 'lock_timeout' || outcome !== 'rolled_back' || !this.#server.failsWhole(sql)) return false
		return !this.#open.has(connection) || this.#server.mayRepeatInside(sql)
	}

	/** In the runner's own transaction on PostgreSQL, the try has set the limit for all of it. */
	async #limit(connection: Connection, sql: string): Promise<void> {
		if (this.#server.dialect === 'postgres' && (connection === this.#session || this.#open.has(connection))) return
		// It waits without holding up anybody, and giving up leaves an invalid index.
		if (/\bconcurrently\b/i.test(sql)) return this.#setLimit(connection, 0)
		// A transaction that the migration opens itself cannot be run again by us: it gets the longest wait at once.
		await this.#setLimit(connection, begins.test(sql) ? this.#waits.longestTimeoutMs : this.#waits.lockTimeoutMs)
	}

	async #setLimit(connection: Connection, limitMs: number): Promise<void> {
		if (this.#limits.get(connection) === limitMs) return
		await this.#server.limitLocks(connection, limitMs, false)
		this.#limits.set(connection, limitMs)
	}

	#confirmed(connection: Connection, sql: string, implicit: boolean): void {
		const open = this.#open.get(connection)
		if (begins.test(sql)) this.#open.set(connection, [])
		else if (ends.test(sql)) {
			if (commits.test(sql) && open !== undefined) this.#inForce(open)
			this.#open.delete(connection)
		} else if (implicit) {
			this.#inForce([...(open ?? []), this.#text(sql)])
			if (open !== undefined) this.#open.set(connection, [])
		} else if (!this.#isHarmless(sql)) {
			if (open !== undefined) open.push(this.#text(sql))
			else this.#inForce([this.#text(sql)])
		}
	}

	#failed(connection: Connection, sql: string, { outcome }: Fault, implicit: boolean): void {
		const open = this.#open.get(connection)
		if (outcome === 'rolled_back' && open === undefined && !this.#server.failsWhole(sql)) this.halfDone ??= this.#text(sql)
		if (outcome !== 'unknown' || this.#isHarmless(sql)) return
		const lasting = implicit || open === undefined || (commits.test(sql) && open.length > 0)
		if (lasting) this.unanswered ??= commits.test(sql) ? `COMMIT of ${(open ?? []).join('; ')}` : this.#text(sql)
	}

	#isHarmless(sql: string): boolean {
		return passing.test(sql) || (isPlainRead(sql, this.#server.dialect) && !callsFunction.test(sql))
	}

	#inForce(texts: readonly string[]): void {
		for (const text of texts) if (this.applied.length < keptTexts) this.applied.push(text)
	}

	#text(sql: string): string {
		return redact(sql, this.#server.dialect)
	}
}

/** PostgreSQL answers the COMMIT of a failed transaction with the command tag ROLLBACK and no error. */
function refuseRolledBack(result: unknown): void {
	const { response } = (result ?? {}) as Partial<QueryObject>
	if ((response as { command?: unknown } | undefined)?.command !== 'ROLLBACK') return
	throw new HoldfastError(
		'HOLDFAST_ROLLED_BACK',
		'The server answered COMMIT by rolling back: an earlier error in the transaction was ignored.',
	)
}
