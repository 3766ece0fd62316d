/** What does a database server do with connection attempts and queries? The model: one line for each, served one after the other. */
import type { Clock } from '../../src/clock.ts'
import { Line } from './line.ts'

/** What the server can do. */
export interface Capacity {
	/** Attempts a second that it takes from its backlog: a fork and a login each, also where the answer is no. */
	readonly connectsPerSecond: number
	/** Whether logins and queries take turns on the same processors, rather than having their own. */
	readonly sharesProcessors?: boolean
	/** Attempts that wait to be taken; the kernel drops what comes beyond, and the client's kernel sends it again. */
	readonly backlog: number
	readonly sessions: number
	readonly queriesPerSecond: number
	/** The share of that which it serves just after a start, with nothing in its cache. */
	readonly coldShare: number
	/** How long until it serves all of it; the share grows evenly. */
	readonly coldMs: number
	/** There and back on the network. */
	readonly roundTripMs: number
}

/** What befalls the server. Times in milliseconds; the run begins before 0. */
export interface Fate {
	/** It crashes: connections are lost, attempts are refused. */
	readonly crashesAtMs?: number
	/** It listens, and answers that it is starting up. */
	readonly listensAtMs?: number
	/** It accepts sessions: the recovery. */
	readonly readyAtMs: number
	/** It serves only a share of its queries for a while. */
	readonly slow?: { readonly fromMs: number; readonly toMs: number; readonly share: number }
}

/** How an attempt or a query ends, other than well. */
export type Failure = 'refused' | 'reset' | 'starting' | 'full' | 'lost' | 'timeout'

interface Knock {
	readonly done: (failure: Failure | undefined, session: Session | undefined) => void
	over: boolean
}

interface Query {
	readonly session: Session
	readonly done: (failure: Failure | undefined) => void
}

/** The client's end of a connection. */
export class Session {
	alive = true
	/** Called once when the server is gone. */
	onLost: () => void = () => {}
	#pending: Query | undefined
	readonly #server: Server

	constructor(server: Server) {
		this.#server = server
	}

	query(done: Query['done']): void {
		const query: Query = {
			session: this,
			done: (failure) => {
				if (this.#pending !== query) return
				this.#pending = undefined
				done(failure)
			},
		}
		this.#pending = query
		if (this.alive) this.#server.enqueue(query)
		else query.done('lost')
	}

	/** The client hangs up. What runs goes on: the server finds out when it wants to answer. */
	close(): void {
		if (!this.alive) return
		this.alive = false
		const isBusy = this.#pending !== undefined
		this.#pending = undefined
		if (!isBusy) this.#server.leave(this)
	}

	/** The server is gone. */
	lose(): void {
		if (!this.alive) return
		this.alive = false
		this.onLost()
		this.#pending?.done('lost')
	}
}

// Linux sends a SYN that nobody answered again after 1, 2, 4, … s (tcp_syn_retries).
const firstResendMs = 1_000

export class Server {
	/** Attempts and queries that it worked on for clients that had given up. */
	wasted = 0
	#state: 'down' | 'starting' | 'up' = 'up'
	#warmFromMs = Number.NEGATIVE_INFINITY
	readonly #clock: Clock
	readonly #capacity: Capacity
	readonly #fate: Fate
	readonly #onAttempt: () => void
	readonly #sessions = new Set<Session>()
	#knocks = new Line<Knock>()
	#queries = new Line<Query>()
	// What is being served belongs to the life of the server in which it began.
	#life = 0
	#takes = false
	#serves = false

	constructor(clock: Clock, capacity: Capacity, fate: Fate, onAttempt: () => void) {
		this.#clock = clock
		this.#capacity = capacity
		this.#fate = fate
		this.#onAttempt = onAttempt
		const { crashesAtMs, listensAtMs, readyAtMs } = fate
		if (crashesAtMs !== undefined) clock.setTimer(() => this.#crash(), crashesAtMs - clock.now())
		if (listensAtMs !== undefined) clock.setTimer(() => this.#listen(), listensAtMs - clock.now())
		if (crashesAtMs !== undefined) clock.setTimer(() => this.#ready(), readyAtMs - clock.now())
	}

	get knocking(): number {
		return this.#knocks.size
	}

	get queued(): number {
		return this.#queries.size
	}

	get sessions(): number {
		return this.#sessions.size
	}

	/** Somebody wants a session. Returns what gives the attempt up; `done` is not called after that. */
	connect(done: Knock['done']): () => void {
		this.#onAttempt()
		const knock: Knock = {
			over: false,
			done: (failure, session) => {
				if (knock.over) return session?.close()
				knock.over = true
				done(failure, session)
			},
		}
		this.#arrive(knock, firstResendMs)
		return () => {
			knock.over = true
		}
	}

	/** @internal */
	enqueue(query: Query): void {
		this.#queries.push(query)
		this.#serve()
	}

	/** @internal */
	leave(session: Session): void {
		this.#sessions.delete(session)
	}

	#arrive(knock: Knock, resendMs: number): void {
		if (knock.over) return
		if (this.#state === 'down') return this.#answer(() => knock.done('refused', undefined))
		if (this.#knocks.size >= this.#capacity.backlog) {
			this.#clock.setTimer(() => this.#arrive(knock, 2 * resendMs), resendMs)
			return
		}
		this.#knocks.push(knock)
		this.#take()
	}

	#take(): void {
		if (this.#takes || (this.#serves && this.#capacity.sharesProcessors)) return
		const knock = this.#knocks.shift()
		if (knock === undefined) return
		this.#takes = true
		this.#work(1_000 / this.#capacity.connectsPerSecond, () => {
			this.#takes = false
			this.#decide(knock)
			this.#serve()
			this.#take()
		})
	}

	#decide(knock: Knock): void {
		if (knock.over) this.wasted += 1
		else if (this.#state === 'starting') this.#answer(() => knock.done('starting', undefined))
		else if (this.#sessions.size >= this.#capacity.sessions) this.#answer(() => knock.done('full', undefined))
		else {
			const session = new Session(this)
			this.#sessions.add(session)
			this.#answer(() => knock.done(session.alive ? undefined : 'reset', session.alive ? session : undefined))
		}
	}

	#serve(): void {
		if (this.#serves || (this.#takes && this.#capacity.sharesProcessors)) return
		const query = this.#queries.shift()
		if (query === undefined) return
		this.#serves = true
		this.#work(1_000 / this.#queriesPerSecond(), () => {
			this.#serves = false
			if (query.session.alive) this.#answer(() => this.#deliver(query))
			else {
				this.wasted += 1
				this.leave(query.session)
			}
			this.#take()
			this.#serve()
		})
	}

	#deliver({ session, done }: Query): void {
		if (session.alive) done(undefined)
		else this.leave(session)
	}

	#queriesPerSecond(): number {
		const { queriesPerSecond, coldShare, coldMs } = this.#capacity
		const nowMs = this.#clock.now()
		const warmth = Math.min(1, (nowMs - this.#warmFromMs) / coldMs)
		const { slow } = this.#fate
		const share = slow !== undefined && nowMs >= slow.fromMs && nowMs < slow.toMs ? slow.share : 1
		return queriesPerSecond * (coldShare + (1 - coldShare) * warmth) * share
	}

	#work(durationMs: number, done: () => void): void {
		const life = this.#life
		this.#clock.setTimer(() => {
			if (life === this.#life) done()
		}, durationMs)
	}

	#answer(tell: () => void): void {
		this.#clock.setTimer(tell, this.#capacity.roundTripMs)
	}

	#crash(): void {
		this.#state = 'down'
		this.#life += 1
		this.#takes = false
		this.#serves = false
		this.#queries = new Line()
		const knocks = this.#knocks
		this.#knocks = new Line()
		for (let knock = knocks.shift(); knock !== undefined; knock = knocks.shift()) {
			const { done } = knock
			this.#answer(() => done('reset', undefined))
		}
		const sessions = [...this.#sessions]
		this.#sessions.clear()
		for (const session of sessions) session.lose()
	}

	#listen(): void {
		this.#state = 'starting'
	}

	#ready(): void {
		this.#state = 'up'
		this.#warmFromMs = this.#clock.now()
	}
}
