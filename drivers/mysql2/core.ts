/** Who has the connections of a mysql2 pool, and who may still ask for one? The pool's own limits, and the way back. */
import { type Call, type Fault, PoolCore, type Repeatability, Request } from '../../src/driver.ts'
import { cut, lent, whenQuiet } from './client.ts'
import type { Mysql2Connection, Mysql2Pool } from './shape.ts'
import { handOut, isAlive, isClean, isUsable, takeIn } from './state.ts'

type Facts = ConstructorParameters<typeof PoolCore<Mysql2Connection>>[0]
type Options = ConstructorParameters<typeof PoolCore<Mysql2Connection>>[1]
type BareWish = Parameters<PoolCore<Mysql2Connection>['borrow']>[0]

/** `elsewhere`: whether it could go on in a pool beside this one now: what asks for a connection there. */
type Wish = BareWish & { elsewhere?: (() => (() => void) | undefined) | undefined }

/** Whoever counts the wishes: one is served or has failed, or has left for another pool. */
interface Counter {
	told(wish: Wish, error: unknown, connection: Mysql2Connection | undefined): void
	moved(): void
}

/** A wish that counts against the pool's own limits until it is told. */
class CountedRequest extends Request<Mysql2Connection> {
	readonly #wish: Wish
	readonly #counter: Counter

	constructor(wish: Wish, counter: Counter) {
		super()
		this.#wish = wish
		this.#counter = counter
	}

	get deadlineAtMs(): number {
		return this.#wish.deadlineAtMs
	}

	get signal(): AbortSignal | undefined {
		return this.#wish.signal
	}

	get isBatch(): boolean {
		return this.#wish.isBatch === true
	}

	override elsewhere(): (() => void) | undefined {
		const ask = this.#wish.elsewhere?.()
		if (ask === undefined) return undefined
		return () => {
			this.#counter.moved()
			ask()
		}
	}

	done(error: unknown, connection: Mysql2Connection | undefined): void {
		this.#counter.told(this.#wish, error, connection)
	}
}

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
	readonly #source: Facts['source']
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

	constructor(pool: Mysql2Pool, bare: Mysql2Pool, facts: Facts, options: Options) {
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
		return new Promise((resolve, reject) => {
			call.waiting()
			this.ask(call, (error, connection) => {
				call.served()
				if (connection === undefined) return reject(call.waitFailed(error))
				this.#held.add(connection)
				resolve(connection)
			})
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
		if (connection !== undefined) this.#held.delete(connection)
		if (this.#held.size === 0) for (const then of this.#afterTransactions.splice(0)) then()
	}

	/**
	 * A connection for the call. A call that was served before has its place: the pool's limits are for new ones. What is known of the work may
	 * lead it to a pool beside this one.
	 */
	ask(call: Call, done: Wish['done'], work?: Pick<Repeatability, 'reads'>): void {
		const place = work && this.places?.placeOf(work)
		if (place !== undefined) return place.ask(call, done)
		const elsewhere = (): (() => void) | undefined => {
			const next = work && this.places?.placeOf(work)
			return next && (() => next.ask(call, done))
		}
		const { deadlineAtMs, signal, isBatch, attempts } = call
		const wish = { deadlineAtMs, signal, isBatch, done, elsewhere: this.places && work && elsewhere }
		if (attempts === 1 || this.#disabled) this.borrow(wish)
		else this.#lend(wish)
	}

	override borrow(wish: Wish): void {
		if (this.#disabled) return super.borrow(wish)
		const queued = this.#asking + this.#lent - this.#source.capacity
		if (queued >= 0) {
			const { waitForConnections, queueLimit } = this.#pool.config
			// The texts of mysql2, which its users know.
			if (!waitForConnections) return process.nextTick(wish.done, new Error('No connections available.'), undefined)
			if (queueLimit && queued >= queueLimit) return wish.done(new Error('Queue limit reached.'), undefined)
			this.#pool.emit('enqueue')
		}
		this.#lend(wish)
	}

	#lend(wish: Wish): void {
		this.#asking += 1
		super.borrow(new CountedRequest(wish, this.#counter))
	}

	readonly #counter: Counter = {
		moved: () => {
			this.#asking -= 1
		},
		told: (wish, error, connection) => {
			this.#asking -= 1
			if (connection !== undefined) {
				this.#lent += 1
				handOut(connection)
				if (this.isBeside) owners.set(connection, this)
			}
			wish.done(error, connection)
		},
	}

	/** `pool.releaseConnection`: takes back what is healthy and clean, closes what is not, and hears of what has left the pool. */
	takeBack(connection: Mysql2Connection): unknown {
		if (takeIn(connection)) this.#lent -= 1
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
		} else connection.release()
		this.#letGo(connection)
	}
}
