/** How does a test play a database with transactions? Statements that fail on command, and a count of every connection lent and returned. */
import type { Begun, CommitMark, CommitVerdict, TransactionDriver, TransactionModes, TransactionStatus } from '../../../src/contract.ts'
import { createScheduler } from '../../../src/outage/scheduler.ts'
import { PoolCore } from '../../../src/pool.ts'
import type { PoolOptions } from '../../../src/pool-options.ts'
import { runTransaction, type TransactionHost, type TransactionOptions } from '../../../src/transaction/runner.ts'
import { type AttemptState, TransactionScope } from '../../../src/transaction/scope.ts'
import { fakeClock } from '../../support/fake-clock.ts'
import { FakeServer, FakeSource, sqlError } from '../outage/fake-source.ts'

export const serializationFailure = () => sqlError('40001', 'ERROR', 'could not serialize access due to concurrent update')
export const uniqueViolation = () => sqlError('23505', 'ERROR', 'duplicate key value violates unique constraint "t_pkey"')
export const stalePlan = () =>
	Object.assign(sqlError('0A000', 'ERROR', 'cached plan must not change result type'), { routine: 'RevalidateCachedQuery' })
export const linkLost = () => new Error('Connection terminated unexpectedly')
export const refusedElsewhere = () =>
	Object.assign(new Error('connect ECONNREFUSED 10.0.0.9:6379'), { code: 'ECONNREFUSED', syscall: 'connect' })

/** A statement that is to go wrong. */
interface Plan {
	readonly text: string
	readonly error: Error
	/** The link is gone with it. */
	readonly dies: boolean
	/** The server did what it was told before the link broke. */
	readonly applies: boolean
	times: number
}

export interface Session {
	readonly id: number
	status: TransactionStatus
	readonly log: string[]
	/** Effects of the open transaction. */
	pending: string[]
	readonly savepoints: { readonly name: string; readonly pending: readonly string[] }[]
	returned: { readonly error: unknown } | undefined
}

export class FakeTransaction extends TransactionScope<Session, FakeTransaction> {
	async query(text: string): Promise<string> {
		this.assertUsable()
		try {
			await this.state.driver.execute(this.state.connection, text)
			this.ended(undefined)
			return text
		} catch (error) {
			this.ended(error)
			throw error
		}
	}

	protected override nested(): FakeTransaction {
		return new FakeTransaction(this.state)
	}
}

export class FakeDatabase implements TransactionDriver<Session> {
	readonly clock = fakeClock()
	readonly sessions: Session[] = []
	/** Effects of transactions that were committed, in order. */
	readonly applied: string[] = []
	readonly core: PoolCore<object>
	/** What `begin` notes, and what the database answers when it is asked about that. */
	mark: CommitMark | undefined
	readonly verdicts: (CommitVerdict | Error)[] = []
	readonly modes: TransactionModes[] = []
	readonly cuts: Error[] = []
	readonly #plans: Plan[] = []
	readonly #host: TransactionHost<Session, FakeTransaction>

	constructor(options: PoolOptions & { attemptTimeoutMs?: number } = {}) {
		const source = new FakeSource(new FakeServer(this.clock), 10)
		this.core = new PoolCore<object>(
			{ source: source as never, address: 'db:5432', busyTimeoutMs: undefined, busyTimeoutError: () => new Error('busy') },
			{ ...options, scheduler: createScheduler({ clock: this.clock }) },
		)
		this.#host = {
			policy: this.core.policy,
			driver: this,
			attemptTimeoutMs: options.attemptTimeoutMs,
			acquire: async () => this.#lend(),
			scope: (state: AttemptState<Session>) => new FakeTransaction(state),
		}
	}

	transaction<R>(fn: (tx: FakeTransaction) => Promise<R>, options?: TransactionOptions): Promise<R> {
		return runTransaction(this.#host, fn, options)
	}

	/** Runs a transaction and lets time pass until it ends. */
	async run<R>(fn: (tx: FakeTransaction) => Promise<R>, options?: TransactionOptions): Promise<{ value?: R; error?: unknown }> {
		let ended: { value?: R; error?: unknown } | undefined
		this.transaction(fn, options).then(
			(value) => {
				ended = { value }
			},
			(error) => {
				ended = { error }
			},
		)
		for (let round = 0; round < 1_000 && ended === undefined; round++) await this.clock.advance(100)
		if (ended === undefined) throw new Error('the transaction did not end')
		return ended
	}

	/** The next statements with this beginning fail. */
	fail(text: string, error: Error, { times = 1, dies = false, applies = false } = {}): void {
		this.#plans.push({ text, error, dies, applies, times })
	}

	/** Sessions lent and not returned. */
	get leaked(): number {
		return this.sessions.filter(({ returned }) => returned === undefined).length
	}

	/** Statements of all sessions, in the order of sessions. */
	get log(): string[] {
		return this.sessions.flatMap(({ log }) => log)
	}

	async begin(session: Session, modes: TransactionModes): Promise<Begun> {
		this.modes.push(modes)
		await this.execute(session, 'BEGIN')
		return { mark: this.mark }
	}

	async rollback(session: Session): Promise<void> {
		await this.execute(session, 'ROLLBACK')
	}

	async look(): Promise<CommitVerdict> {
		const verdict = this.verdicts.shift() ?? { state: 'unknown' as const, why: 'Nobody knows.' }
		if (verdict instanceof Error) throw verdict
		return verdict
	}

	async commit(session: Session): Promise<'committed' | 'rolled_back'> {
		const failed = session.status === 'failed'
		await this.execute(session, 'COMMIT')
		return failed ? 'rolled_back' : 'committed'
	}

	async execute(session: Session, text: string): Promise<void> {
		if (session.returned !== undefined) throw new Error(`"${text}" ran on a connection that belongs to somebody else`)
		await Promise.resolve()
		if (session.status === 'dead') throw new Error('Client has encountered a connection error and is not queryable')
		session.log.push(text)
		const plan = this.#plans.find((each) => each.times > 0 && text.startsWith(each.text))
		if (plan !== undefined) {
			plan.times -= 1
			if (plan.applies) this.#carryOut(session, text)
			if (plan.dies) session.status = 'dead'
			else if (session.status === 'open') session.status = text === 'COMMIT' ? 'none' : 'failed'
			session.pending = []
			throw plan.error
		}
		if (session.status === 'failed' && !/^(ROLLBACK|COMMIT)/.test(text)) {
			throw sqlError('25P02', 'ERROR', 'current transaction is aborted, commands ignored until end of transaction block')
		}
		this.#carryOut(session, text)
	}

	status(session: Session): TransactionStatus {
		return session.status
	}

	cut(session: Session, error: Error): void {
		this.cuts.push(error)
		session.status = 'dead'
	}

	release(session: Session, error?: unknown): void {
		if (session.returned !== undefined) throw new Error(`connection ${session.id} was returned twice`)
		session.returned = { error }
	}

	#lend(): Session {
		const session: Session = { id: this.sessions.length + 1, status: 'none', log: [], pending: [], savepoints: [], returned: undefined }
		this.sessions.push(session)
		return session
	}

	#carryOut(session: Session, text: string): void {
		const [verb, ...rest] = text.split(' ')
		const name = rest.at(-1) ?? ''
		if (verb === 'BEGIN') session.status = 'open'
		else if (verb === 'SAVEPOINT') session.savepoints.push({ name, pending: [...session.pending] })
		else if (verb === 'RELEASE') session.savepoints.length = indexOf(session, name)
		else if (text.startsWith('ROLLBACK TO')) {
			const at = indexOf(session, name)
			session.pending = [...(session.savepoints[at]?.pending ?? [])]
			session.savepoints.length = at + 1
			session.status = 'open'
		} else if (verb === 'ROLLBACK' || verb === 'COMMIT') {
			if (verb === 'COMMIT' && session.status === 'open') this.applied.push(...session.pending)
			session.pending = []
			session.savepoints.length = 0
			session.status = 'none'
		} else if (verb === 'write') {
			if (session.status === 'open') session.pending.push(rest.join(' '))
			else this.applied.push(rest.join(' '))
		}
	}
}

function indexOf(session: Session, name: string): number {
	const at = session.savepoints.findIndex((savepoint) => savepoint.name === name)
	if (at < 0) throw sqlError('3B001', 'ERROR', `savepoint "${name}" does not exist`)
	return at
}
