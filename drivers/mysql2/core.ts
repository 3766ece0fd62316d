/** Who has the connections of a mysql2 pool, and who may still ask for one? The pool's own limits, and the way back. */
import { type Call, type Fault, PoolCore, type Repeatability } from '../../src/driver.ts'
import { cut, giveBack, lent, whenQuiet } from './client.ts'
import { type CountedRequest, CountedWish, type Wish } from './counted.ts'
import { giveBackBehind } from './facade.ts'
import type { Mysql2Connection, Mysql2Pool } from './shape.ts'
import type { Mysql2Source } from './source.ts'
import { handOut, isAlive, isClean, isUsable, takeIn } from './state.ts'

type Facts = ConstructorParameters<typeof PoolCore<Mysql2Connection>>[0]
type Options = ConstructorParameters<typeof PoolCore<Mysql2Connection>>[1]

/** Where else a statement may have to go. */
interface Places {
	placeOf(work: Pick<Repeatability, 'reads'>): Mysql2Core | undefined
}

// Connections of pools that stand beside a user's.
const owners = new WeakMap<Mysql2Connection, Mysql2Core>()

/** The core of a mysql2 pool: `waitForConnections` and `queueLimit` are kept here, as the bare pool keeps them. */
export class Mysql2Core extends PoolCore<Mysql2Connection> {
	readonly #pool: Mysql2Pool
	readonly #bare: Mysql2Pool
	readonly #source: Mysql2Source
	/** The bare pool takes back by itself, and keeps its own limits. */
	readonly #disabled: boolean
	// Callers that have asked and not been served, and connections that have not come back: bare mysql2 counts both against its limit.
	#asking = 0
	#lent = 0
	// Connections of transactions that are under way: mysql2 itself would close them in the middle.
	readonly #held = new Set<Mysql2Connection>()
	#afterTransactions: Array<() => void> = []
	/** The pool was ended; what was begun may still be at work. */
	ending = false
	/** The pools beside this one. */
	places: Places | undefined
	/** It is one of those. */
	isBeside = false
	/** Connections that need not take writes: a refusal says nothing of the server that was not known. */
	readsOnly = false

	constructor(pool: Mysql2Pool, bare: Mysql2Pool, facts: Facts & { readonly source: Mysql2Source }, options: Options) {
		super(facts, options)
		this.#disabled = options.enabled === false
		this.#pool = pool
		this.#bare = bare
		this.#source = facts.source
	}

	/** Whether an error means that the connection under it must not be used on. */
	breaks(error: unknown): boolean {
		const { scope } = this.call({}).classify(error, 'statement')
		return scope === 'connection' || scope === 'endpoint'
	}

	/** The server of this connection has refused a write because it takes none. */
	refusedWrite(connection: Mysql2Connection, error: unknown): void {
		if (this.readsOnly) return this.lost(connection)
		this.turnedReadOnly(connection, { ...this.call({}).classify(error, 'statement'), scope: 'endpoint' }, error)
	}

	override turnedReadOnly(connection: Mysql2Connection, fault: Fault, error: unknown): void {
		if (this.readsOnly) return
		super.turnedReadOnly(connection, fault, error)
		this.moveWaiting()
	}

	/** Cuts the connection unless it is taken back within the time that a probe may take. */
	limit(connection: Mysql2Connection): () => void {
		const { wakeUps, clock } = this.policy.scheduler
		const limit = wakeUps.at(clock.now() + this.policy.endpoint.probeTimeoutMs, () => cut(connection))
		return () => wakeUps.cancel(limit)
	}

	override acquire(call: Call): Promise<Mysql2Connection> {
		return this.borrowFor(call, (connection) => this.#held.add(connection))
	}

	/** A connection for one attempt of the call, which `got` hears of at once. Rejects with what the caller gets. */
	borrowFor(call: Call, got?: (connection: Mysql2Connection) => void): Promise<Mysql2Connection> {
		return new Promise((resolve, reject) => {
			call.waiting()
			const { deadlineAtMs, signal, isBatch, attempts } = call
			const done: Wish['done'] = (error, connection) => {
				call.served()
				if (connection === undefined) return reject(call.waitFailed(error))
				got?.(connection)
				resolve(connection)
			}
			this.ask(new CountedWish({ deadlineAtMs, signal, isBatch, done }, attempts))
		})
	}

	/** Ends every wait, and calls `then` once no transaction is under way any more. */
	endThen(then: () => void): void {
		this.ending = true
		// The text of mysql2, which its users know.
		this.end('Pool is closed.')
		this.#afterTransactions.push(then)
		this.#letGo(undefined)
	}

	#letGo(connection: Mysql2Connection | undefined): void {
		if (connection !== undefined && this.#held.size > 0) this.#held.delete(connection)
		if (this.#held.size === 0 && this.#afterTransactions.length > 0) for (const then of this.#afterTransactions.splice(0)) then()
	}

	/** A connection for the request, here or in a pool beside this one. */
	ask(request: CountedRequest): void {
		const place = this.placeFor(request)
		if (place !== undefined) place.ask(request)
		else if (this.#disabled) super.borrow(request)
		else if (request.attempts > 1 || this.#admits(request)) this.#lend(request)
	}

	placeFor({ work }: CountedRequest): Mysql2Core | undefined {
		return work && this.places?.placeOf(work)
	}

	override borrow(wish: Wish): void {
		if (this.#disabled) super.borrow(wish)
		else if (this.#admits(wish)) this.#lend(new CountedWish(wish))
	}

	/** Whether the pool's own limits leave room for one more; where not, it is told so. */
	#admits(wish: Wish): boolean {
		const queued = this.#asking + this.#lent - this.#source.capacity
		if (queued < 0) return true
		const { waitForConnections, queueLimit } = this.#pool.config
		// The texts of mysql2, which its users know.
		if (!waitForConnections) process.nextTick(() => wish.done(new Error('No connections available.'), undefined))
		else if (queueLimit && queued >= queueLimit) wish.done(new Error('Queue limit reached.'), undefined)
		else {
			this.#pool.emit('enqueue')
			return true
		}
		return false
	}

	#lend(request: CountedRequest): void {
		this.#asking += 1
		request.countsAt(this)
		super.borrow(request)
	}

	told(connection: Mysql2Connection | undefined): void {
		this.#asking -= 1
		if (connection === undefined) return
		this.#lent += 1
		handOut(connection)
		if (this.isBeside) owners.set(connection, this)
	}

	left(): void {
		this.#asking -= 1
	}

	/** `pool.releaseConnection`: takes back what is healthy and clean, closes what is not, and hears of what has left the pool. */
	takeBack(connection: Mysql2Connection): unknown {
		if (takeIn(connection)) this.#lent -= 1
		else if (giveBackBehind(connection)) return
		lent.get(connection)?.returned()
		if (connection._pool === null) {
			// Whoever waits in the pool's own queue is told that there is room.
			this.#bare.releaseConnection.call(this.#pool, connection)
			return this.returned()
		}
		// A stream that nobody reads on holds its connection for ever.
		if (connection._paused) return this.discard(connection)
		// No limit: what a borrower left running is its own business, and may take its time.
		if (isClean(connection)) this.#putBack(connection)
		else whenQuiet(connection, () => this.#takeBackQuiet(connection))
	}

	#putBack(connection: Mysql2Connection): void {
		// mysql2 would reset the session first.
		if (this.#pool.config.resetOnRelease !== true && this.#source.serveOrder(connection)) return
		this.#bare.releaseConnection.call(this.#pool, connection)
		this.returned()
	}

	#takeBackQuiet(connection: Mysql2Connection): void {
		if (connection._pool === null) return
		if (isClean(connection)) return this.#putBack(connection)
		// A transaction is still open on it, or it is dead: the next borrower must not get it.
		if (!isUsable(connection)) return this.discard(connection)
		// It was out already when the pool was wrapped, and has said nothing since; or an error that says nothing of a transaction.
		const stop = this.limit(connection)
		connection.ping(() => {
			stop()
			this.takeBack(connection)
		})
	}

	/** Closes a connection that is not fit for anybody else. */
	discard(connection: Mysql2Connection): void {
		if (isAlive(connection)) this.#source.discard(connection, undefined)
		else this.returned()
	}

	/** Ends a connection's work for the pool: kept if the link is healthy and clean, whatever the statement's own fate. */
	settle(connection: Mysql2Connection, broken: boolean): void {
		const owner = connection._pool === this.#pool ? undefined : owners.get(connection)
		if (owner !== undefined && owner !== this) return owner.settle(connection, broken)
		if (broken) {
			this.lost(connection)
			connection.destroy()
			cut(connection)
		} else giveBack(connection)
		this.#letGo(connection)
	}
}
