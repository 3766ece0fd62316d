/** What is the least possible? A fleet that is told the moment of recovery, and connects in turn just as fast as the server takes it. */
import type { Client, Kind, World } from './client.ts'
import { Idle } from './idle.ts'
import { Line } from './line.ts'
import { read } from './retrying.ts'
import type { Session } from './server.ts'

/** Who opens a connection next: those who have none come first. */
class Turnstile {
	readonly #world: World
	readonly #connectsPerSecond: number
	readonly #isUp: () => boolean
	readonly #first = new Line<() => void>()
	readonly #then = new Line<() => void>()
	#turns = false

	constructor(world: World, connectsPerSecond: number, isUp: () => boolean) {
		this.#world = world
		this.#connectsPerSecond = connectsPerSecond
		this.#isUp = isUp
	}

	queue(open: () => void, hasNone: boolean): void {
		const line = hasNone ? this.#first : this.#then
		line.push(open)
		if (!this.#turns) this.turn()
	}

	turn(): void {
		this.#turns = false
		if (!this.#isUp()) return
		const open = this.#first.shift() ?? this.#then.shift()
		if (open === undefined) return
		this.#turns = true
		open()
		this.#world.clock.setTimer(() => this.turn(), 1_000 / this.#connectsPerSecond)
	}
}

type Caller = (answered: boolean) => void

class ToldClient implements Client {
	readonly #world: World
	readonly #turnstile: Turnstile
	readonly #idle: Idle
	readonly #waiting = new Line<{ readonly caller: Caller; readonly deadlineAtMs: number }>()
	#total = 0

	constructor(world: World, turnstile: Turnstile) {
		this.#world = world
		this.#idle = new Idle(world.clock, world.idleTimeoutMs, (session) => this.#expired(session))
		this.#turnstile = turnstile
	}

	call(caller: Caller): void {
		const { clock, deadlineMs } = this.#world
		const session = this.#idle.pop()
		if (session !== undefined) return this.#run(session, caller, clock.now() + deadlineMs)
		this.#waiting.push({ caller, deadlineAtMs: clock.now() + deadlineMs })
		this.#more()
	}

	#more(): void {
		if (this.#waiting.size === 0 || this.#total >= this.#world.poolSize) return
		this.#total += 1
		this.#turnstile.queue(() => this.#open(), this.#total === 1)
	}

	#open(): void {
		if (this.#waiting.size === 0) {
			this.#total -= 1
			return
		}
		this.#world.server.connect((_failure, session) => {
			if (session === undefined) {
				this.#gone()
				return
			}
			session.onLost = () => this.#lost(session)
			this.#next(session)
		})
	}

	#next(session: Session): void {
		const next = this.#waiting.shift()
		if (next === undefined) this.#idle.push(session)
		else this.#run(session, next.caller, next.deadlineAtMs)
	}

	#run(session: Session, caller: Caller, deadlineAtMs: number): void {
		if (this.#world.clock.now() > deadlineAtMs) {
			caller(false)
			return this.#next(session)
		}
		read({ ...this.#world, queryTimeoutMs: undefined }, session, (answered) => {
			if (answered) {
				caller(true)
				return this.#next(session)
			}
			this.#waiting.push({ caller, deadlineAtMs })
			this.#gone()
		})
	}

	#lost(session: Session): void {
		if (this.#idle.remove(session)) this.#gone()
	}

	#expired(session: Session): void {
		session.close()
		this.#gone()
	}

	#gone(): void {
		this.#total -= 1
		this.#more()
	}
}

/** Needs to know what nobody knows: when the server is back, how fast it takes connections, and who else wants one. */
export const told = (connectsPerSecond: number, downFromMs: number, upAtMs: number): Kind => ({
	name: 'told',
	what: 'the least possible: every process is told the moment of recovery and its turn to connect',
	fleet(world, processes) {
		const isUp = () => world.clock.now() < downFromMs || world.clock.now() >= upAtMs
		const turnstile = new Turnstile(world, connectsPerSecond, isUp)
		world.clock.setTimer(() => turnstile.turn(), upAtMs - world.clock.now())
		return Array.from({ length: processes }, () => new ToldClient(world, turnstile))
	},
})
