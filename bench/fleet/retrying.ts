/** How do calls fare on a bare pool with a retry loop around them? One row for each way to wait. */
import { BarePool } from './bare-pool.ts'
import type { Client, Kind, World } from './client.ts'
import type { Session } from './server.ts'

/** The wait after the attempt with this number, from 1, in milliseconds; undefined: no more. */
type Backoff = (attempt: number, random: () => number) => number | undefined

const baseMs = 100
const mostMs = 10_000
const doubled = (attempt: number) => Math.min(baseMs * 2 ** Math.min(attempt - 1, 30), mostMs)

const backoffs: readonly { readonly name: string; readonly what: string; readonly wait: Backoff }[] = [
	{ name: 'no retry', what: 'a bare pool: the caller gets the first error', wait: () => undefined },
	{ name: 'fixed 100 ms', what: 'each call is tried again after 100 ms until its deadline', wait: () => baseMs },
	{
		name: 'exponential, no jitter',
		what: `each call is tried again after ${baseMs} ms, doubled up to ${mostMs / 1_000} s, until its deadline`,
		wait: doubled,
	},
	{
		name: 'full jitter',
		what: 'the same, each wait drawn between 0 and that (Brooker, "Exponential backoff and jitter", 2015)',
		wait: (attempt, random) => random() * doubled(attempt),
	},
]

class RetryingClient implements Client {
	readonly #world: World
	readonly #pool: BarePool
	readonly #wait: Backoff

	constructor(world: World, wait: Backoff) {
		this.#world = world
		this.#pool = new BarePool(world)
		this.#wait = wait
	}

	call(done: (answered: boolean) => void): void {
		const { clock, deadlineMs } = this.#world
		const deadlineAtMs = clock.now() + deadlineMs
		let attempt = 0
		const failed = () => {
			const waitMs = this.#wait(attempt, clock.random)
			if (waitMs === undefined || clock.now() + waitMs >= deadlineAtMs) done(false)
			else clock.setTimer(start, waitMs)
		}
		const start = () => {
			attempt += 1
			this.#pool.acquire((_failure, session) => {
				if (session === undefined) failed()
				else
					read(this.#world, session, (answered) => {
						if (!answered) {
							this.#pool.discard(session)
							return failed()
						}
						this.#pool.release(session)
						done(true)
					})
			})
		}
		start()
	}
}

/** One query; the client hangs up at its time limit. */
export function read({ clock, queryTimeoutMs }: World, session: Session, done: (answered: boolean) => void): void {
	let limit: unknown
	session.query((failure) => {
		clock.clearTimer(limit)
		done(failure === undefined)
	})
	if (queryTimeoutMs === undefined) return
	limit = clock.setTimer(() => {
		session.close()
		done(false)
	}, queryTimeoutMs)
}

export const retrying: readonly Kind[] = backoffs.map(({ name, what, wait }) => ({
	name,
	what,
	fleet: (world, processes) => Array.from({ length: processes }, () => new RetryingClient(world, wait)),
}))
