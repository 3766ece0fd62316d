/** Which statements has a migration sent, which of them are in force for good, and which one got no answer? */
import { HoldfastError } from '../../../src/driver.ts'
import { classify, type Fault, type Phase } from '../../../src/index.ts'
import type { LockWaits } from './lock-waits.ts'
import { type Part, partsOf } from './parts.ts'
import { redact } from './redact.ts'
import type { Server } from './server.ts'
import type { Connection, QueryObject, StatementWatcher } from './shape.ts'

const keptTexts = 50
// ER_PARSE_ERROR.
const parseError = 1064
const rollsAllBack: ReadonlySet<string> = new Set(['deadlock', 'serialization_failure'])

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
	/** Whether it is noted in the lock that the migration has begun. */
	announced: boolean
	/** Whether the statements that pass are the migration's own; the runner's BEGIN, record and COMMIT stand around it. */
	isInside = false
	/** How many statements went out. */
	sent = 0
	/** Statements that are in force and cannot be rolled back; the first ones. */
	readonly applied: string[] = []
	/** A statement that would be in force now, if the server got it: it did not answer. */
	unanswered: string | undefined
	/** A statement that failed, and may have left something all the same. */
	halfDone: string | undefined
	/** With which error the server has rolled the runner's transaction back, though the migration may try to go on: MySQL lets it, outside of any. */
	rolledBackBy: { readonly error: unknown } | undefined
	/** Why a statement was not tried again by itself, where that ended the migration. */
	ended: { readonly by: unknown } | undefined
	/** The first error of the try: later ones may only say that the transaction has failed. */
	firstError: { readonly error: unknown; readonly fault: Fault } | undefined
	readonly #server: Server
	readonly #waits: LockWaits
	/** The connection whose transaction belongs to the runner. */
	readonly #session: Connection | undefined
	readonly #beforeDurable: (connection: Connection) => Promise<void>
	readonly #faults = new WeakMap<object, Fault>()
	readonly #open = new Map<Connection, string[]>()
	readonly #limits = new WeakMap<Connection, number>()

	constructor(server: Server, waits: LockWaits, session: Connection | undefined, beforeDurable: (connection: Connection) => Promise<void>) {
		this.#server = server
		this.#waits = waits
		this.#session = session
		this.#beforeDurable = beforeDurable
		this.announced = session === undefined
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
		const parts = partsOf(sql, this.#server)
		const commits = parts.some(({ does }) => does === 'commits')
		if (this.rolledBackBy !== undefined && connection === this.#session && parts[0]?.does !== 'rolls back') throw this.rolledBackBy.error
		if ((!this.announced && this.#isDurable(parts)) || this.#endsOurs(connection, parts)) {
			await this.#beforeDurable(connection)
			this.announced = true
		}
		for (;;) {
			await this.#limit(connection, sql, parts)
			this.sent += 1
			const answered = this.#waits.watch(connection)
			try {
				const result = await send()
				if (commits) refuseRolledBack(result)
				for (const part of parts) this.#confirmed(connection, part)
				return result
			} catch (error) {
				const fault = classify(error, { phase: commits ? 'commit' : 'statement' })
				if (typeof error === 'object' && error !== null) this.#faults.set(error, fault)
				this.firstError ??= { error, fault }
				if (fault.outcome === 'rolled_back' || HoldfastError.is(error)) this.#refused(connection, sql, parts, { error, fault })
				else if (fault.outcome === 'unknown') this.#lost(connection, sql, parts)
				if (!this.#mayRepeat(connection, sql, parts, fault)) throw error
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

	/** Whether a part of the text comes into force before the transaction around it ends. The runner's own BEGIN and COMMIT stand alone. */
	#isDurable(parts: readonly Part[]): boolean {
		return parts.some(({ does }) => does === 'commits itself' || (parts.length > 1 && (does === 'begins' || does === 'commits')))
	}

	/** Whether the migration commits the runner's transaction by a statement of its own, or works on after it has ended it. */
	#endsOurs(connection: Connection, parts: readonly Part[]): boolean {
		if (!this.isInside || connection !== this.#session) return false
		return parts.some(({ does }) => does === 'commits' || (does === 'works' && !this.#open.has(connection)))
	}

	/** Whether the server's error means that nothing of the text is left. */
	#failsWhole(sql: string, parts: readonly Part[]): boolean {
		return (parts.length === 1 || this.#server.dialect === 'postgres') && this.#server.failsWhole(sql)
	}

	/** Only a statement that stood alone and of which nothing is left may be sent again by itself. */
	#mayRepeat(connection: Connection, sql: string, parts: readonly Part[], { kind, outcome }: Fault): boolean {
		if (kind !== 'lock_timeout' || outcome !== 'rolled_back' || !this.#failsWhole(sql, parts)) return false
		return !this.#open.has(connection) || this.#server.mayRepeatInside(sql)
	}

	/** In the runner's own transaction on PostgreSQL, the try has set the limit for all of it. */
	async #limit(connection: Connection, sql: string, parts: readonly Part[]): Promise<void> {
		if (this.#server.dialect === 'postgres' && (connection === this.#session || this.#open.has(connection))) return
		// It waits without holding up anybody, and giving up leaves an invalid index.
		if (/\bconcurrently\b/i.test(sql)) return this.#setLimit(connection, 0)
		// A transaction that the migration opens itself cannot be run again by us: it gets the longest wait at once.
		await this.#setLimit(connection, parts.some(({ does }) => does === 'begins') ? this.#waits.longestTimeoutMs : this.#waits.lockTimeoutMs)
	}

	async #setLimit(connection: Connection, limitMs: number): Promise<void> {
		if (this.#limits.get(connection) === limitMs) return
		await this.#server.limitLocks(connection, limitMs, false)
		this.#limits.set(connection, limitMs)
	}

	#confirmed(connection: Connection, { does, text, chains }: Part): void {
		const open = this.#open.get(connection)
		switch (does) {
			case 'begins':
				// MySQL commits what was open; PostgreSQL warns, and the transaction goes on.
				if (open !== undefined && this.#server.dialect === 'postgres') return
				this.#inForce(open ?? [])
				this.#open.set(connection, [])
				return
			case 'commits':
			case 'rolls back':
				if (does === 'commits') this.#inForce(open ?? [])
				if (chains) this.#open.set(connection, [])
				else this.#open.delete(connection)
				return
			case 'commits itself':
				this.#inForce([...(open ?? []), this.#text(text)])
				if (open !== undefined) this.#open.set(connection, [])
				return
			case 'works':
				if (open !== undefined) open.push(this.#text(text))
				else this.#inForce([this.#text(text)])
		}
	}

	/** The server has answered with an error, or with a rollback. */
	#refused(connection: Connection, sql: string, parts: readonly Part[], { error, fault }: NonNullable<Watch['firstError']>): void {
		if (connection === this.#session && this.#server.dialect === 'mysql' && rollsAllBack.has(fault.kind)) this.rolledBackBy ??= { error }
		const open = this.#open.get(connection)
		const endsOpen = this.#isDurable(parts)
		if ((open === undefined || endsOpen) && !this.#failsWhole(sql, parts)) this.halfDone ??= this.#text(sql)
		// The transaction of a migration's own is over when its COMMIT has failed; that of the runner ends the try.
		if (parts.length === 1 && parts[0]?.does === 'commits' && connection !== this.#session) this.#open.delete(connection)
		if (open === undefined || !parts.some(({ does }) => does === 'commits itself')) return
		// What commits by itself has done so before it failed, unless the server could not read it.
		if (parts.length === 1 && (error as { errno?: unknown } | null)?.errno === parseError) return
		this.#inForce(open)
		this.#open.set(connection, [])
	}

	/** No answer came. */
	#lost(connection: Connection, sql: string, parts: readonly Part[]): void {
		const open = this.#open.get(connection)
		const unended = open !== undefined && open.length > 0
		const lasts = ({ does }: Part) => {
			if (does === 'commits') return unended
			if (does === 'begins') return unended && this.#server.dialect === 'mysql'
			return does === 'works' && open === undefined
		}
		if (!this.#isDurable(parts) && !parts.some(lasts)) return
		const isCommit = parts.length === 1 && parts[0]?.does === 'commits'
		this.unanswered ??= isCommit ? `COMMIT of ${(open ?? []).join('; ')}` : this.#text(sql)
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
