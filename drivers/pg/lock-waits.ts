/** How is a transaction told not to wait long for a lock? In what is sent along with its BEGIN, for itself alone, where the server knows how. */
import type { CommitMark, CommitVerdict } from '../../src/driver.ts'
import { forgetPrepared, type Marked, type Marking } from './begin.ts'
import type { PgClient } from './shape.ts'
import { sqlstateOf, type Witness } from './witness.ts'

// syntax_error, undefined_object, feature_not_supported: a server that only speaks the protocol.
const unknownToServer = new Set(['42601', '42704', '0A000'])

/**
 * Whether the server has ended a statement because of `lock_timeout`. NOWAIT has the same SQLSTATE; the function that reports an error is in
 * its field R (PostgreSQL manual, "Error and Notice Message Fields"), in whatever language the message is.
 */
export const isLockWait = (error: unknown): boolean =>
	sqlstateOf(error) === '55P03' && (error as { routine?: unknown }).routine === 'ProcessInterrupts'

/** What is known of the server. */
export class LockWaits {
	/** False once the server has refused. */
	canLimit = true
	/** Whether statements have names, which not every pooler bears. */
	named = true
	readonly #alone = new Map<string, Marking>()
	readonly #combined = new WeakMap<Marking, Map<number, Marking>>()

	/** A witness of the same, which also limits the waits. */
	limit(lockWaitMs: number, witness: Witness | undefined): Witness {
		return new LimitedWitness(this, lockWaitMs, witness)
	}

	/** The statement that limits the waits, beside what else is to be known. */
	marking(lockWaitMs: number, inner: Marking | undefined): Marking {
		if (inner?.more === undefined) return this.#aloneMarking(lockWaitMs)
		let known = this.#combined.get(inner)
		if (known === undefined) {
			known = new Map()
			this.#combined.set(inner, known)
		}
		let marking = known.get(lockWaitMs)
		if (marking === undefined) {
			const name = inner.name === undefined ? undefined : `${inner.name}_${lockWaitMs}`
			marking = { ...inner, name, text: `${inner.text}${inner.more}set_config('lock_timeout', '${lockWaitMs}', true)` }
			known.set(lockWaitMs, marking)
		}
		return marking
	}

	/** SET takes no snapshot: the function may still choose an isolation level by its first statement. */
	#aloneMarking(lockWaitMs: number): Marking {
		const name = this.named ? `holdfast_lock_wait_1_${lockWaitMs}` : undefined
		const key = name ?? String(lockWaitMs)
		let marking = this.#alone.get(key)
		if (marking === undefined) {
			marking = { name, text: `SET LOCAL lock_timeout = ${lockWaitMs}`, values: [], form: String(this.named) }
			this.#alone.set(key, marking)
		}
		return marking
	}
}

class LimitedWitness implements Witness {
	readonly #lockWaits: LockWaits
	readonly #lockWaitMs: number
	readonly #inner: Witness | undefined

	constructor(lockWaits: LockWaits, lockWaitMs: number, inner: Witness | undefined) {
		this.#lockWaits = lockWaits
		this.#lockWaitMs = lockWaitMs
		this.#inner = inner
	}

	prepare(client: PgClient): void {
		this.#inner?.prepare?.(client)
	}

	marking(client: PgClient): Marking | undefined {
		const inner = this.#inner?.marking(client)
		return this.#lockWaits.canLimit ? this.#lockWaits.marking(this.#lockWaitMs, inner) : inner
	}

	read(client: PgClient, marked: Marked, marking: Marking): CommitMark | undefined {
		return marking.more === undefined ? undefined : this.#inner?.read(client, marked, marking)
	}

	async adapt(client: PgClient, error: unknown, failed: Marking): Promise<boolean> {
		const code = sqlstateOf(error) as string
		// In whatever language the message is, names are not translated. The witness must not take for its own what it has not asked for.
		if (/set_config|lock_timeout/.test((error as Error).message) || (failed.more === undefined && unknownToServer.has(code))) {
			forgetPrepared(client)
			this.#lockWaits.canLimit = false
			return true
		}
		if (failed.more !== undefined) return (this.#inner as Witness).adapt(client, error, failed)
		forgetPrepared(client)
		if (failed.form !== String(this.#lockWaits.named)) return true
		// invalid_sql_statement_name, duplicate_prepared_statement: a pooler without support for prepared statements.
		if ((code !== '26000' && code !== '42P05') || !this.#lockWaits.named) return false
		this.#lockWaits.named = false
		return true
	}

	look(client: PgClient, mark: CommitMark): Promise<CommitVerdict> {
		return (this.#inner as Witness).look(client, mark)
	}
}
