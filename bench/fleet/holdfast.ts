/** How does a fleet under Holdfast fare? The scheduler of `src/`, unchanged, on the simulated clock: one for each process. */
import { type ConnectionSource, PoolCore, type PoolOptions, type Repeatability } from '../../src/driver.ts'
import { createScheduler, type SchedulerOptions } from '../../src/index.ts'
import type { Client, Kind, World } from './client.ts'
import { Idle } from './idle.ts'
import type { Failure, Session } from './server.ts'

// What pg reports of each.
const errors: { readonly [F in Failure]: () => Error } = {
	refused: () => Object.assign(new Error('connect ECONNREFUSED'), { code: 'ECONNREFUSED', syscall: 'connect' }),
	reset: () => Object.assign(new Error('read ECONNRESET'), { code: 'ECONNRESET', syscall: 'read' }),
	starting: () => Object.assign(new Error('the database system is starting up'), { code: '57P03', severity: 'FATAL', length: 1 }),
	full: () => Object.assign(new Error('sorry, too many clients already'), { code: '53300', severity: 'FATAL', length: 1 }),
	lost: () => new Error('Connection terminated unexpectedly'),
	timeout: () => new Error('Connection terminated due to connection timeout'),
}

const read: Repeatability = { idempotent: false, reads: () => true }

class SimulatedPool implements ConnectionSource<Session> {
	readonly capacity: number
	lost: (session: Session) => void = () => {}
	returned: () => void = () => {}
	readonly #world: World
	readonly #idle: Idle
	#total = 0

	constructor(world: World) {
		this.#world = world
		this.#idle = new Idle(world.clock, world.idleTimeoutMs, (session) => this.discard(session))
		this.capacity = world.poolSize
	}

	idle(): number {
		return this.#idle.size
	}

	total(): number {
		return this.#total
	}

	take(done: (error: unknown, session: Session | undefined) => void): void {
		done(undefined, this.#idle.pop())
	}

	open(done: (error: unknown, session: Session | undefined) => void): () => void {
		this.#total += 1
		const giveUp = this.#world.server.connect((failure, session) => {
			if (session === undefined) {
				this.#total -= 1
				done(errors[failure ?? 'reset'](), undefined)
				return
			}
			session.onLost = () => this.#gone(session)
			done(undefined, session)
		})
		return () => {
			giveUp()
			this.#total -= 1
			done(errors.timeout(), undefined)
		}
	}

	giveBack(session: Session): void {
		this.#idle.push(session)
		this.returned()
	}

	discard(session: Session): void {
		session.close()
		this.#total -= 1
		this.returned()
	}

	isUsable(session: Session): boolean {
		return session.alive
	}

	ask(session: Session, done: (alive: boolean) => void): () => void {
		session.query((failure) => done(failure === undefined))
		return () => done(false)
	}

	#gone(session: Session): void {
		this.lost(session)
		if (!this.#idle.remove(session)) return
		this.#total -= 1
		this.returned()
	}
}

class HoldfastClient implements Client {
	readonly #pool: SimulatedPool
	readonly #core: PoolCore<Session>

	constructor(world: World, scheduler: SchedulerOptions, options: PoolOptions) {
		this.#pool = new SimulatedPool(world)
		this.#core = new PoolCore(
			{
				source: this.#pool,
				address: 'server:5432',
				busyTimeoutMs: undefined,
				busyTimeoutError: () => errors.timeout(),
			},
			{
				...options,
				scheduler: createScheduler({ ...scheduler, clock: world.clock, probeTimeoutMs: world.connectTimeoutMs }),
				deadlineMs: world.deadlineMs,
				attemptTimeoutMs: world.queryTimeoutMs,
			},
		)
		this.#pool.lost = (session) => this.#core.lost(session)
		this.#pool.returned = () => this.#core.returned()
	}

	// As the drivers run a statement.
	call(done: (answered: boolean) => void): void {
		const call = this.#core.call({})
		const start = () => {
			call.waiting()
			this.#core.borrow({
				deadlineAtMs: call.deadlineAtMs,
				done: (_error, session) => {
					call.served()
					if (session === undefined) return done(false)
					this.#read(session, (error) => {
						if (error === undefined) {
							this.#pool.giveBack(session)
							return done(true)
						}
						this.#core.lost(session)
						this.#pool.discard(session)
						call.next(error, call.classify(error, 'statement'), 'statement', read).then(start, () => done(false))
					})
				},
			})
		}
		start()
	}

	#read(session: Session, done: (error: Error | undefined) => void): void {
		const { scheduler, counters } = this.#core.policy
		const { wakeUps, clock } = scheduler
		counters.attempts += 1
		const { attemptTimeoutMs } = this.#core
		const cut = () => {
			session.close()
			done(this.#core.call({}).cutOff())
		}
		const limit = attemptTimeoutMs === undefined ? undefined : wakeUps.at(clock.now() + attemptTimeoutMs, cut)
		session.query((failure) => {
			wakeUps.cancel(limit)
			done(failure === undefined ? undefined : errors[failure]())
		})
	}
}

export const holdfast = (name: string, what: string, scheduler: SchedulerOptions = {}, options: PoolOptions = {}): Kind => ({
	name,
	what,
	fleet: (world, processes) => Array.from({ length: processes }, () => new HoldfastClient(world, scheduler, options)),
})
