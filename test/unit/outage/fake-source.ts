/** How does a test play server and pool? Connections that open, refuse, hang and break on command, on the fake clock. */
import type { Clock } from '../../../src/clock.ts'
import type { ConnectionSource } from '../../../src/contract.ts'

/** What the server does with somebody who wants to connect. */
export type Manner = 'accepts' | 'refuses' | 'hangs' | 'starts' | 'stops' | 'is full' | 'knows no password' | 'resets'

const errors: { readonly [K in Exclude<Manner, 'accepts' | 'hangs'>]: () => Error } = {
	refuses: () => Object.assign(new Error('connect ECONNREFUSED 127.0.0.1:5432'), { code: 'ECONNREFUSED', syscall: 'connect' }),
	resets: () => Object.assign(new Error('read ECONNRESET'), { code: 'ECONNRESET', syscall: 'read' }),
	starts: () => sqlError('57P03', 'FATAL', 'the database system is starting up'),
	stops: () => sqlError('57P03', 'FATAL', 'the database system is shutting down'),
	'is full': () => sqlError('53300', 'FATAL', 'sorry, too many clients already'),
	'knows no password': () => sqlError('28P01', 'FATAL', 'password authentication failed for user "app"'),
}

/** An error as PostgreSQL words it and pg hands it on. */
export function sqlError(code: string, severity: 'ERROR' | 'FATAL', message: string): Error {
	return Object.assign(new Error(message), { code, severity, length: 100, routine: 'fake' })
}

export interface FakeConnection {
	readonly id: number
	readonly pool: FakeSource
	/** False once the link is known to be broken. */
	alive: boolean
	/** False: the link is there and nobody answers any more. */
	answers: boolean
	/** True while a transaction is open on it. */
	dirty: boolean
	place: 'opening' | 'idle' | 'out' | 'gone'
}

/** One server, for as many pools as a test wants. */
export class FakeServer {
	readonly clock: Clock
	manner: Manner = 'accepts'
	/** How long an attempt to connect and a question over a connection take. */
	connectMs = 2
	askMs = 1
	/** Attempts that have begun and not ended. */
	inFlight = 0
	/** When each attempt began, and what the server thought of it. */
	readonly attempts: { readonly atMs: number; readonly manner: Manner; readonly pool: FakeSource }[] = []
	asked = 0
	/** Questions that have not been answered yet. */
	asking = 0
	/** Called when an attempt begins, with the number under way. */
	onAttempt: (inFlight: number) => void = () => {}
	readonly connections = new Set<FakeConnection>()
	#lastId = 0

	constructor(clock: Clock) {
		this.clock = clock
	}

	nextId(): number {
		this.#lastId += 1
		return this.#lastId
	}

	/** Ends every session at once, as a kill of the whole server does, and behaves as told from now on. */
	kill(then: Manner): void {
		this.manner = then
		for (const connection of [...this.connections]) connection.pool.break(connection)
	}

	error(manner: Exclude<Manner, 'accepts' | 'hangs'>): Error {
		return errors[manner]()
	}
}

/** What the pool tells its wrapper, as `drivers/` do it. */
export interface Wrapper {
	returned(): void
	lost(connection: FakeConnection): void
}

/** One pool. */
export class FakeSource implements ConnectionSource<FakeConnection> {
	readonly capacity: number
	readonly server: FakeServer
	wrapper: Wrapper = { returned() {}, lost() {} }
	/** Attempts end within `open` itself, where a driver refuses at once. */
	failsAtOnce = false
	/** What `open` throws, against its contract. */
	throwsOnOpen: Error | undefined
	discarded = 0
	ending = false
	mostConnections = 0
	readonly #connections = new Set<FakeConnection>()
	readonly #idle: FakeConnection[] = []
	#taking = 0
	/** Set where the pool hands over a connection the moment it comes back. */
	readonly order: ((done: (connection: FakeConnection | undefined) => void) => void) | undefined
	readonly #orders: ((connection: FakeConnection | undefined) => void)[] = []
	ordered = 0

	constructor(server: FakeServer, capacity: number, takesOrders = false) {
		this.server = server
		this.capacity = capacity
		this.order = takesOrders ? (done) => this.#takeOrder(done) : undefined
	}

	/** Orders that stand. */
	get orders(): number {
		return this.#orders.length
	}

	idle(): number {
		return this.#idle.length
	}

	total(): number {
		return this.#connections.size
	}

	get idleConnections(): readonly FakeConnection[] {
		return this.#idle
	}

	/** As pg-pool: the connection stays idle until its turn comes, and may have gone by then. */
	take(done: (error: unknown, connection: FakeConnection | undefined) => void): void {
		this.#taking += 1
		if (this.#taking > this.#idle.length) throw new Error('more idle connections were asked for than there are')
		this.server.clock.setTimer(() => {
			this.#taking -= 1
			const connection = this.#idle.shift()
			if (connection === undefined) return done(new Error('no idle connection'), undefined)
			connection.place = 'out'
			done(undefined, connection)
		}, 0)
	}

	/** As pg-pool, where nobody else has asked for it. */
	takeNow(): FakeConnection | undefined {
		const connection = this.#taking > 0 ? undefined : this.#idle.shift()
		if (connection !== undefined) connection.place = 'out'
		return connection
	}

	open(done: (error: unknown, connection: FakeConnection | undefined) => void): () => void {
		if (this.throwsOnOpen !== undefined) throw this.throwsOnOpen
		const { server } = this
		const { clock, manner } = server
		const connection: FakeConnection = { id: server.nextId(), pool: this, alive: true, answers: true, dirty: false, place: 'opening' }
		this.#connections.add(connection)
		this.mostConnections = Math.max(this.mostConnections, this.total())
		server.inFlight += 1
		server.attempts.push({ atMs: clock.now(), manner, pool: this })
		server.onAttempt(server.inFlight)
		let ended = false
		const end = (error: unknown) => {
			if (ended) return
			ended = true
			server.inFlight -= 1
			if (error !== undefined) {
				this.#connections.delete(connection)
				connection.place = 'gone'
				return done(error, undefined)
			}
			connection.place = 'out'
			server.connections.add(connection)
			done(undefined, connection)
		}
		if (this.failsAtOnce && manner !== 'accepts' && manner !== 'hangs') end(server.error(manner))
		else if (manner === 'accepts')
			clock.setTimer(() => end(server.manner === 'refuses' ? server.error('resets') : undefined), server.connectMs)
		else if (manner !== 'hangs') clock.setTimer(() => end(server.error(manner)), server.connectMs)
		return () => clock.setTimer(() => end(new Error('Connection terminated due to connection timeout')), 0)
	}

	giveBack(connection: FakeConnection): void {
		this.release(connection)
	}

	discard(connection: FakeConnection): void {
		this.discarded += 1
		this.remove(connection)
	}

	isUsable(connection: FakeConnection): boolean {
		return connection.alive && !connection.dirty
	}

	ask(connection: FakeConnection, done: (alive: boolean) => void): () => void {
		this.server.asked += 1
		this.server.asking += 1
		let told = false
		const tell = (alive: boolean) => {
			if (told) return
			told = true
			this.server.asking -= 1
			done(alive)
		}
		if (connection.answers) this.server.clock.setTimer(() => tell(connection.alive), this.server.askMs)
		return () => tell(false)
	}

	/** A borrower brings it back. */
	release(connection: FakeConnection): void {
		if (connection.place !== 'out') throw new Error(`connection ${connection.id} was returned while it was ${connection.place}`)
		if (!connection.alive || this.ending) return this.remove(connection)
		const order = this.#orders.shift()
		if (order === undefined) {
			connection.place = 'idle'
			this.#idle.push(connection)
		} else order(connection)
		this.wrapper.returned()
	}

	/** As a pool of a driver does after its wrapper has ended: closes what is idle, and later what comes back. */
	end(): void {
		this.ending = true
		for (const connection of [...this.#idle]) this.remove(connection)
	}

	/** Closes it and forgets it. */
	remove(connection: FakeConnection): void {
		this.#forget(connection)
		this.#orders.shift()?.(undefined)
		this.wrapper.returned()
	}

	#takeOrder(done: (connection: FakeConnection | undefined) => void): void {
		if (this.#idle.length > 0 || this.total() < this.capacity) throw new Error('an order was placed although there is room')
		this.ordered += 1
		this.#orders.push(done)
	}

	recall(): boolean {
		return this.#orders.pop() !== undefined
	}

	/** Its link breaks. An idle one leaves the pool at once; one that is out is noticed by its borrower. */
	break(connection: FakeConnection): void {
		this.server.connections.delete(connection)
		if (!connection.alive || connection.place === 'gone') return
		connection.alive = false
		const wasIdle = connection.place === 'idle'
		this.wrapper.lost(connection)
		if (wasIdle) this.remove(connection)
	}

	#forget(connection: FakeConnection): void {
		this.server.connections.delete(connection)
		this.#connections.delete(connection)
		const at = this.#idle.indexOf(connection)
		if (at >= 0) this.#idle.splice(at, 1)
		connection.place = 'gone'
	}
}
