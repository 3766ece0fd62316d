/** Who may work on this database's migrations? The one whose session holds the lock: work and lock live and die together. */
import type { Knex } from 'knex'
import { HoldfastError } from '../../../src/driver.ts'
import { classify } from '../../../src/index.ts'
import { Books } from './books.ts'
import type { Connections } from './connections.ts'
import type { KnexInstance } from './dialect.ts'
import { MigrationsLockedError } from './errors.ts'
import type { Settings } from './options.ts'
import type { Identity, Server } from './server.ts'
import type { Connection, MigratorConfig } from './shape.ts'
import type { Statements } from './statements.ts'

/** The session of the run, with the lock, and the knex instances that are bound to it. */
export interface Session {
	readonly connection: Connection
	readonly books: Books
	/** For knex's migrator and the books: nothing of the user's changes its names. */
	readonly bare: Knex
	/** For migrations: with the user's hooks, and every statement watched. */
	readonly work: Knex
}

const mostFaults = 20
const firstTellMs = 250
const tellEveryMs = 1_000
const firstPollMs = 100
const longestPollMs = 1_000
// For the runner's own short statements; a migration has limits of its own.
const ownLockTimeoutMs = 1_000

export class Sessions {
	readonly #knex: KnexInstance
	readonly #connections: Connections
	readonly #server: Server
	readonly #settings: Settings
	readonly #config: MigratorConfig
	readonly #statements: Statements
	#current: Session | undefined
	#identity: Identity | undefined
	#waitingSinceMs: number | undefined
	#isClaimed = false
	readonly #ownMarks = new Set<number>()

	constructor(
		knex: KnexInstance,
		connections: Connections,
		server: Server,
		settings: Settings,
		config: MigratorConfig,
		statements: Statements,
	) {
		this.#knex = knex
		this.#connections = connections
		this.#server = server
		this.#settings = settings
		this.#config = config
		this.#statements = statements
	}

	/** Does something that may be done again on a session that holds the lock, as often as lost connections and conflicts need it. */
	async steadily<T>(work: (session: Session) => Promise<T>): Promise<T> {
		for (let faults = 1; ; faults++) {
			try {
				return await work(await this.current())
			} catch (error) {
				const fault = classify(error)
				if (HoldfastError.is(error) || !fault.retryable || faults >= mostFaults) throw error
				this.dropIfLost()
				await this.pause(firstPollMs)
			}
		}
	}

	/** Does the same after a failure, where it can be done soon: an aborted run makes no new connection, and nobody waits for the database twice. */
	async afterwards<T>(error: unknown, work: (session: Session) => Promise<T>): Promise<T> {
		const session = this.#current
		if (session !== undefined && this.#connections.isAlive(session.connection)) {
			try {
				return await work(session)
			} catch (failed) {
				// It looked alive: the news of its loss was still on the way.
				if (!classify(failed).retryable) throw failed
				this.drop()
			}
		}
		if (HoldfastError.is(error) && error.code === 'HOLDFAST_DEADLINE') throw error
		return this.steadily(work)
	}

	/** The session, opened anew where it was lost. Waits for the database and for other runners. */
	async current(): Promise<Session> {
		this.#settings.signal?.throwIfAborted()
		this.dropIfLost()
		this.#current ??= await this.#open()
		return this.#current
	}

	/** Forgets a session whose connection is gone. */
	dropIfLost(): void {
		if (this.#current !== undefined && !this.#connections.isAlive(this.#current.connection)) this.drop()
	}

	/** Gives the session up, whatever its state. */
	drop(): void {
		if (this.#current === undefined) return
		this.#connections.close(this.#current.connection)
		this.#current = undefined
	}

	/** Waits, within the limits of the run. */
	pause(delayMs: number): Promise<void> {
		const { scheduler, ending } = this.#connections.core.policy
		return scheduler.wait(delayMs, this.#settings.signal === undefined ? [] : [this.#settings.signal], ending)
	}

	/** Waits a little for another runner. @throws what `tooLate` makes, once the limit for that is over. */
	async waitForRunner(detail: string, tooLate: () => Promise<MigrationsLockedError>): Promise<void> {
		const { clock } = this.#connections.core.policy.scheduler
		const now = clock.now()
		const isFirst = this.#waitingSinceMs === undefined
		this.#waitingSinceMs ??= now
		const sinceMs = now - this.#waitingSinceMs
		if (sinceMs >= this.#settings.runnerDeadlineMs) throw await tooLate()
		const pollMs = Math.min(firstPollMs + sinceMs / 4, longestPollMs)
		if (isFirst || pollMs >= longestPollMs) this.#settings.tell({ type: 'waiting', for: 'runner', sinceMs, detail })
		await this.pause(Math.min(pollMs, this.#settings.runnerDeadlineMs - sinceMs))
	}

	/** The wait for other runners is over: the lock of knex is ours. */
	ready(): void {
		this.#isClaimed = true
		this.#waitingSinceMs = undefined
	}

	/** Ends the session politely: the lock is free when this resolves, or as soon as the server notices. */
	async end(): Promise<void> {
		const session = this.#current
		if (session !== undefined && this.#connections.isAlive(session.connection)) {
			await this.#server.unlock(session.connection).catch(() => {})
		}
		this.drop()
	}

	async #open(): Promise<Session> {
		const connection = await this.#connect()
		try {
			const orphan = this.#identity
			const identity = await this.#server.prepare(connection)
			await this.#server.limitLocks(connection, ownLockTimeoutMs, false)
			while (!(await this.#server.tryLock(connection))) await this.#waitForHolder(connection, orphan)
			this.#identity = identity
			const bare = this.#connections.bound(connection, undefined, this.#knex) as unknown as Knex
			const work = this.#connections.bound(connection, this.#statements, this.#knex) as unknown as Knex
			const books = new Books(bare, this.#config, this.#ownMarks)
			if (this.#isClaimed) await claimAgain(books, this.#ownMarks)
			return { connection, bare, work, books }
		} catch (error) {
			this.#connections.close(connection)
			throw error
		}
	}

	async #waitForHolder(connection: Connection, orphan: Identity | undefined): Promise<void> {
		const holder = await this.#server.holder(connection)
		if (holder === undefined) return
		// Our own session of before the connection was lost: nobody hears its answers any more.
		if (orphan !== undefined && holder.pid === orphan.pid) await this.#server.endSession(connection, orphan)
		await this.waitForRunner(`another runner works: ${holder.words}`, async () => {
			const text = `migrate: another runner holds the lock, and did not finish in runnerDeadlineMs (${this.#settings.runnerDeadlineMs}): ${holder.words}. Nothing was run. Its session is on the server, so it is not known to be dead; if its client is, end that session.`
			return new MigrationsLockedError(text)
		})
	}

	async #connect(): Promise<Connection> {
		const { scheduler, endpoint } = this.#connections.core.policy
		const startedAtMs = scheduler.clock.now()
		const tell = () => {
			const sinceMs = scheduler.clock.now() - startedAtMs
			const detail = endpoint.lastFault?.reason ?? 'it has not answered yet'
			this.#settings.tell({ type: 'waiting', for: 'database', sinceMs, detail })
			next = scheduler.wakeUps.at(scheduler.clock.now() + tellEveryMs, tell)
		}
		let next = scheduler.wakeUps.at(startedAtMs + firstTellMs, tell)
		try {
			return await this.#connections.session()
		} finally {
			scheduler.wakeUps.cancel(next)
		}
	}
}

/** While the session was lost, another runner may have worked: it may have freed the lock of knex, or ended in the middle of a migration. */
async function claimAgain(books: Books, ownMarks: ReadonlySet<number>): Promise<void> {
	if ((await books.lockState()).by === 'nobody') await books.take()
	const lock = await books.lockState()
	if (lock.by === 'holdfast' || (lock.by === 'unfinished' && ownMarks.has(lock.mark))) return
	const found =
		lock.by === 'unfinished'
			? 'a migration that cannot be rolled back was begun, not by this run as far as it knows, and is not finished'
			: 'the lock of knex was freed and taken by somebody else'
	throw new MigrationsLockedError(
		`migrate: the session of this run was lost, and when it was back ${found}. What was done until then is recorded; nothing more was run. Run again: it says what there is to do.`,
	)
}
