/** Who does the contended transactions, whatever the driver? Loops written by hand: with backoff, and at fixed concurrencies. */
import { setTimeout as sleep } from 'node:timers/promises'
import { peer } from '../support/peers.ts'

/** Reads two rows and writes both, in this order. */
export type Pair = readonly [first: number, second: number]

export interface Side {
	readonly name: string
	/** One of those that Holdfast is measured against, or a concurrency of the sweep. */
	readonly kind: 'peer' | 'fixed' | 'holdfast'
	/** The work of one caller, done once. Rejects where the library gives up. */
	transact(pair: Pair): Promise<void>
	/** No further attempt is to start. */
	stop(): void
	end(): Promise<void>
}

export type Open = () => Promise<Side>

/** A pool of a driver, and one attempt on it without a library. */
export interface Hands {
	attempt(pair: Pair): Promise<void>
	end(): Promise<void>
}

/** A database, and all who fight for its rows. */
export interface Arena {
	readonly title: string
	readonly peers: readonly Open[]
	readonly ours: Open
	hands(): Hands
	/** Makes the table anew. */
	layOut(): Promise<void>
	/** Ends the statements that wait for locks: what is stuck when the time is over would take half a minute to disentangle itself. */
	disentangle(): Promise<void>
}

/** Rows of the table; hot ones are spread over it, so that they do not share pages by chance. */
export const rows = 100_000

const longestBackoffMs = 2_000

/** `p-retry` with full jitter: a random wait between 0 and the bound, which doubles with each attempt. */
export const pRetry =
	(baseMs: number, hands: () => Hands): Open =>
	async () => {
		const { attempt, end } = hands()
		const stopped = new AbortController()
		const { default: retry } = await peer('p-retry')
		const onFailedAttempt = ({ error, attemptNumber }: { error: unknown; attemptNumber: number }) => {
			if (!isConflict(error)) throw error
			return sleep(Math.random() * Math.min(baseMs * 2 ** (attemptNumber - 1), longestBackoffMs))
		}
		const options = { retries: 1_000, minTimeout: 0, maxTimeout: 0, onFailedAttempt, signal: stopped.signal }
		return {
			name: `p-retry, full jitter from ${baseMs} ms`,
			kind: 'peer',
			transact: (pair) => retry(() => attempt(pair), options),
			stop: () => stopped.abort(),
			end,
		}
	}

/** At most so many at a time, each run again at once: what somebody would choose who knew the load beforehand. */
export const fixed =
	(most: number, hands: () => Hands): Open =>
	async () => {
		const { attempt, end } = hands()
		let running = 0
		let over = false
		const waiting: (() => void)[] = []
		return {
			name: `${most} at a time`,
			kind: 'fixed',
			async transact(pair) {
				if (running < most) running += 1
				else await new Promise<void>((resolve) => waiting.push(resolve))
				try {
					for (;;) {
						try {
							return await attempt(pair)
						} catch (error) {
							if (over || !isConflict(error)) throw error
						}
					}
				} finally {
					const next = waiting.shift()
					if (next === undefined) running -= 1
					else next()
				}
			},
			stop() {
				over = true
			},
			end,
		}
	}

// SQLSTATEs of PostgreSQL, names of MySQL and MariaDB.
const conflicts = new Set<unknown>(['40001', '40P01', 'ER_LOCK_DEADLOCK', 'ER_LOCK_WAIT_TIMEOUT'])

/** Losing to somebody else: what every side has to try again. */
export function isConflict(error: unknown): boolean {
	for (let each = error; typeof each === 'object' && each !== null; each = (each as { cause?: unknown }).cause) {
		if (conflicts.has((each as { code?: unknown }).code)) return true
	}
	return false
}
