/** How does a database behave whose transactions fight for rows? Locks, snapshots, deadlocks that are found late, and a processor that they share. */
import type { Begun, TransactionDriver, TransactionModes, TransactionStatus } from '../../../src/contract.ts'
import { createScheduler } from '../../../src/outage/scheduler.ts'
import { PoolCore } from '../../../src/pool.ts'
import type { PoolOptions } from '../../../src/pool-options.ts'
import { runTransaction, type TransactionHost, type TransactionOptions } from '../../../src/transaction/runner.ts'
import { type AttemptState, TransactionScope } from '../../../src/transaction/scope.ts'
import { type FakeClock, fakeClock } from '../../support/fake-clock.ts'
import { FakeServer, FakeSource, sqlError } from '../outage/fake-source.ts'

export interface DatabaseOptions {
	/** Statements that are worked on at the same time. Default 2. */
	readonly processors?: number
	/** Processor time of a statement, in milliseconds. Default 0.15. */
	readonly statementMs?: number
	/** The way to the server and back, in milliseconds. Default 0.05. */
	readonly roundTripMs?: number
	/** As PostgreSQL's SERIALIZABLE and REPEATABLE READ (a row changed since the snapshot is an error), or READ COMMITTED. Default true. */
	readonly snapshots?: boolean
	/** How long somebody waits for a lock before it is looked whether it waits in a circle. Default 1,000. */
	readonly deadlockTimeoutMs?: number
}

const messages = {
	'40001': 'could not serialize access due to concurrent update',
	'40P01': 'deadlock detected',
	'55P03': 'canceling statement due to lock timeout',
}

/** One transaction on one connection. */
class Session {
	status: TransactionStatus = 'none'
	/** The number of the last change that it sees; undefined until its first statement. */
	snapshot: number | undefined
	readonly locked = new Set<number>()
	/** The row that it waits for. */
	waitsFor: number | undefined
	fail: ((error: Error) => void) | undefined
	/** How long it waits for a lock before it gives up. */
	lockWaitMs = Number.POSITIVE_INFINITY
}

interface Row {
	holder: Session | undefined
	changedAt: number
	readonly queue: { readonly session: Session; readonly granted: () => void }[]
}

export class ContendedTransaction extends TransactionScope<Session, ContendedTransaction> {
	readonly #database: ContendedDatabase

	constructor(state: AttemptState<Session>, database: ContendedDatabase) {
		super(state)
		this.#database = database
	}

	read(): Promise<void> {
		return this.#run(this.#database.read(this.state.connection))
	}

	write(row: number): Promise<void> {
		return this.#run(this.#database.write(this.state.connection, row))
	}

	async #run(work: Promise<void>): Promise<void> {
		try {
			await work
			this.ended(undefined)
		} catch (error) {
			this.ended(error)
			throw error
		}
	}

	protected override nested(): ContendedTransaction {
		return new ContendedTransaction(this.state, this.#database)
	}
}

export class ContendedDatabase implements TransactionDriver<Session> {
	readonly clock: FakeClock
	readonly core: PoolCore<object>
	deadlocks = 0
	/** Statements that waited for longer than they were allowed to. */
	lockWaits = 0
	conflicts = 0
	commits = 0
	readonly #options: Required<DatabaseOptions>
	readonly #rows = new Map<number, Row>()
	readonly #host: TransactionHost<Session, ContendedTransaction>
	#changes = 0
	#working = 0
	readonly #ready: (() => void)[] = []

	constructor(options: DatabaseOptions = {}, pool: PoolOptions = {}, seed = 1) {
		this.#options = { processors: 2, statementMs: 0.15, roundTripMs: 0.05, snapshots: true, deadlockTimeoutMs: 1_000, ...options }
		this.clock = fakeClock({ seed })
		const source = new FakeSource(new FakeServer(this.clock), 1_000)
		this.core = new PoolCore<object>(
			{ source: source as never, address: 'db:5432', busyTimeoutMs: undefined, busyTimeoutError: () => new Error('busy') },
			{ scheduler: createScheduler({ clock: this.clock }), ...pool },
		)
		this.#host = {
			policy: this.core.policy,
			driver: this,
			attemptTimeoutMs: undefined,
			nests: true,
			acquire: async () => new Session(),
			scope: (state: AttemptState<Session>) => new ContendedTransaction(state, this),
		}
	}

	/** A connection of its own, for those who do without the runner. */
	session(): Session {
		return new Session()
	}

	transaction<R>(fn: (tx: ContendedTransaction) => Promise<R>, options?: TransactionOptions): Promise<R> {
		return runTransaction(this.#host, fn, options)
	}

	begin(session: Session, _modes?: TransactionModes, lockWaitMs = Number.POSITIVE_INFINITY): Begun {
		session.status = 'open'
		session.lockWaitMs = lockWaitMs
		return { mark: undefined, isLockWait: (error) => (error as { code?: unknown }).code === '55P03' }
	}

	async look(): Promise<never> {
		throw new Error('nobody asks')
	}

	execute(): Promise<void> {
		return this.#statement()
	}

	async rollback(session: Session): Promise<void> {
		await this.#statement()
		session.status = 'none'
	}

	async commit(session: Session): Promise<'committed'> {
		await this.#statement()
		this.commits += 1
		this.#changes += 1
		for (const row of session.locked) this.#row(row).changedAt = this.#changes
		this.#unlock(session, true)
		session.status = 'none'
		return 'committed'
	}

	status(session: Session): TransactionStatus {
		return session.status
	}

	cut(): void {}

	release(): void {}

	async read(session: Session): Promise<void> {
		await this.#statement()
		session.snapshot ??= this.#changes
	}

	async write(session: Session, row: number): Promise<void> {
		await this.#statement()
		session.snapshot ??= this.#changes
		await this.#lock(session, row)
		if (this.#options.snapshots && this.#row(row).changedAt > session.snapshot) throw this.#abort(session, '40001')
	}

	#lock(session: Session, number: number): Promise<void> | undefined {
		const row = this.#row(number)
		if (row.holder === session) return undefined
		if (row.holder === undefined) {
			row.holder = session
			session.locked.add(number)
			return undefined
		}
		session.waitsFor = number
		return new Promise((resolve, reject) => {
			const timer = this.clock.setTimer(() => {
				if (this.#waitsInACircle(session)) session.fail?.(this.#abort(session, '40P01'))
			}, this.#options.deadlockTimeoutMs)
			const limit =
				session.lockWaitMs === Number.POSITIVE_INFINITY
					? undefined
					: this.clock.setTimer(() => session.fail?.(this.#abort(session, '55P03')), session.lockWaitMs)
			const over = () => {
				this.clock.clearTimer(timer)
				this.clock.clearTimer(limit)
				session.waitsFor = undefined
				session.fail = undefined
			}
			session.fail = (error) => {
				over()
				row.queue.splice(
					row.queue.findIndex((each) => each.session === session),
					1,
				)
				reject(error)
			}
			row.queue.push({
				session,
				granted: () => {
					over()
					row.holder = session
					session.locked.add(number)
					resolve()
				},
			})
		})
	}

	#waitsInACircle(session: Session): boolean {
		const seen = new Set<Session>()
		for (let each: Session | undefined = session; each?.waitsFor !== undefined; each = this.#row(each.waitsFor).holder) {
			if (seen.has(each)) return each === session
			seen.add(each)
		}
		return false
	}

	#abort(session: Session, code: keyof typeof messages): Error {
		if (code === '40P01') this.deadlocks += 1
		else if (code === '55P03') this.lockWaits += 1
		else this.conflicts += 1
		session.status = 'failed'
		this.#unlock(session, false)
		return sqlError(code, 'ERROR', messages[code])
	}

	/** After a commit the others that wanted a row see the change and fail; after a rollback the next one gets it. */
	#unlock(session: Session, committed: boolean): void {
		const rows = [...session.locked]
		session.locked.clear()
		for (const number of rows) {
			const row = this.#row(number)
			row.holder = undefined
			if (committed && this.#options.snapshots) for (const { session: other } of [...row.queue]) other.fail?.(this.#abort(other, '40001'))
			else row.queue.shift()?.granted()
		}
	}

	#row(number: number): Row {
		const known = this.#rows.get(number)
		if (known !== undefined) return known
		const row: Row = { holder: undefined, changedAt: 0, queue: [] }
		this.#rows.set(number, row)
		return row
	}

	/** A round trip, and the processor time of a statement once a processor is free. */
	#statement(): Promise<void> {
		const { roundTripMs, processors } = this.#options
		return new Promise((resolve) => {
			const work = () => {
				this.clock.setTimer(
					() => {
						const next = this.#ready.shift()
						if (next === undefined) this.#working -= 1
						else next()
						resolve()
					},
					this.#options.statementMs * (0.7 + 0.6 * this.clock.random()),
				)
			}
			this.clock.setTimer(() => {
				if (this.#working >= processors) this.#ready.push(work)
				else {
					this.#working += 1
					work()
				}
			}, roundTripMs)
		})
	}
}
