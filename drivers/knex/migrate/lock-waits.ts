/** How does a migration come to its locks without holding up everybody else? Short tries, and pauses until those in its way have gone. */
import type { PoolCore } from '../../../src/driver.ts'
import { type Blocker, type Direction, MigrationBlockedError } from './errors.ts'
import { lockStep, lockTries } from './lock-retries.ts'
import type { Lookout } from './lookout.ts'
import type { Settings } from './options.ts'
import type { Connection } from './shape.ts'

// Who is in our way can be seen only while we wait: first after a third of the time, and once more, for the answer may come late.
const lookAfter = [0.25, 0.6]
const firstLookMs = 2
// While those in our way are known, looking whether they have gone costs nobody anything; trying does.
const shortestLookMs = 40
const longestAnswerMs = 500
const longestLookMs = 150
// After a pause this long a try is made in any case, should somebody be in our way no more although his transaction goes on.
const certainPauseMs = 60_000

/** The tries of one migration for its locks. */
export class LockWaits {
	readonly #name: string
	readonly #direction: Direction
	readonly #settings: Settings
	readonly #core: PoolCore<Connection>
	readonly #lookout: Lookout
	// Steps that have passed, and tries among them: a step that was spared makes no later try longer.
	#failed = 0
	#tried = 0
	#unlimited = false
	#lookMs = shortestLookMs
	#blockers: readonly Blocker[] = []
	#looking: Promise<void> = Promise.resolve()

	constructor(name: string, direction: Direction, settings: Settings, core: PoolCore<Connection>, lookout: Lookout) {
		this.#name = name
		this.#direction = direction
		this.#settings = settings
		this.#core = core
		this.#lookout = lookout
	}

	/** How long a statement of the next try may wait for a lock; 0 for any length. */
	get lockTimeoutMs(): number {
		return this.#unlimited ? 0 : lockStep(this.#tried + 1, this.#settings.lockTimeoutMs).lockTimeoutMs
	}

	/** For what cannot be tried step by step. */
	get longestTimeoutMs(): number {
		return this.#unlimited ? 0 : this.#settings.lockTimeoutMs
	}

	/** A statement goes out that may wait for a lock. Returns what is to be called when it was answered. */
	watch(connection: Connection): () => void {
		const { wakeUps, clock } = this.#core.policy.scheduler
		const limitMs = Math.max(this.lockTimeoutMs || this.#settings.lockTimeoutMs, this.#lookout.server.leastLockTimeoutMs)
		const looks = lookAfter.map((part) =>
			wakeUps.at(clock.now() + Math.max(firstLookMs, limitMs * part), () => {
				const before = this.#looking
				this.#looking = this.#lookout.blockersOf(connection).then(async (blockers) => {
					// Also where the answer comes after the wait: the server saw us wait, or named nobody.
					if (blockers.length > 0) this.#blockers = blockers
					await before
				})
			}),
		)
		return () => {
			for (const look of looks) wakeUps.cancel(look)
		}
	}

	/** A try, or a statement after those that are in force (`applied`), has failed for a lock. Returns when the next may begin. @throws MigrationBlockedError when there is none. */
	async failed(error: unknown, applied: readonly string[]): Promise<void> {
		const { attempts = lockTries, blocked, tell } = this.#settings
		this.#tried += 1
		// On a busy server the answer to who is in our way comes late, and a try without it would be one in vain.
		await this.#atMost(longestAnswerMs, this.#looking)
		for (;;) {
			this.#failed += 1
			if (this.#failed >= attempts) {
				if (blocked === 'fail') throw this.#blockedError(error, applied)
				this.#unlimited = true
				return
			}
			tell({ type: 'blocked', name: this.#name, tryNumber: this.#failed, blockers: this.#blockers })
			const pauseMs = this.#pauseMs()
			const areGone = await this.#pause(pauseMs)
			// A try while they are there would fail again, and hold up everybody in the meantime: the step counts as one that failed.
			if (areGone || pauseMs >= certainPauseMs) return
		}
	}

	/** Waits for the answer, for so long at most. */
	async #atMost(limitMs: number, answer: Promise<void>): Promise<void> {
		const { scheduler, ending } = this.#core.policy
		const signals = this.#settings.signal === undefined ? [] : [this.#settings.signal]
		await Promise.race([answer, scheduler.wait(limitMs, signals, ending)])
	}

	#blockedError(cause: unknown, applied: readonly string[]): MigrationBlockedError {
		return new MigrationBlockedError({
			migration: this.#name,
			direction: this.#direction,
			tries: this.#failed,
			blockers: this.#blockers,
			applied,
			cause,
		})
	}

	/** Where tries are long by nature, pauses are longer: others are held up for a quarter of the time at most. */
	#pauseMs(): number {
		const { leastLockTimeoutMs } = this.#lookout.server
		const { pauseMs } = lockStep(this.#failed, this.#settings.lockTimeoutMs)
		return leastLockTimeoutMs < 100 ? pauseMs : Math.max(pauseMs, 3 * leastLockTimeoutMs)
	}

	/** Waits the pause out; where we know whom we wait for, only until they have gone. False where they are still there. */
	async #pause(pauseMs: number): Promise<boolean> {
		const { scheduler, ending } = this.#core.policy
		const signals = this.#settings.signal === undefined ? [] : [this.#settings.signal]
		const endsAtMs = scheduler.clock.now() + pauseMs
		const knew = this.#lookout.server.knowsBlockers && this.#blockers.length > 0
		for (;;) {
			const leftMs = endsAtMs - scheduler.clock.now()
			if (leftMs <= 0) return !knew
			await scheduler.wait(knew ? Math.min(this.#lookMs, leftMs) : leftMs, signals, ending)
			if (!knew) return true
			const remaining = await this.#lookout.remaining(this.#blockers)
			if (remaining.length === 0) {
				this.#lookMs = shortestLookMs
				return true
			}
			this.#blockers = remaining
			this.#lookMs = Math.min(this.#lookMs * 1.2, longestLookMs)
		}
	}
}
