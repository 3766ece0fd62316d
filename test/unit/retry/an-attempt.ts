/** What does a rule see in these tests? An attempt record with the given parts, and the run of a retry through all its timers. */
import type { Attempt } from '../../../src/retry/attempt.ts'
import type { FakeClock } from '../../support/fake-clock.ts'

export function anAttempt(parts: Partial<Attempt> = {}): Attempt {
	return {
		number: 1,
		elapsedMs: 0,
		idleForMs: 0,
		upcomingWaitMs: 0,
		failed: 'error' in parts,
		error: undefined,
		result: undefined,
		random: () => 0.5,
		...parts,
	}
}

/** Lets every timer fire until the promise has settled, and gives its outcome. */
export async function through<T>(clock: FakeClock, promise: Promise<T>): Promise<T> {
	const [result] = await Promise.all([promise, clock.runAll()])
	return result
}

/** Work that throws the given errors one after the other and then returns `result`. */
export function failing<T>(errors: readonly unknown[], result: T): (() => Promise<T>) & { calls: number } {
	const work = async () => {
		work.calls += 1
		if (work.calls <= errors.length) throw errors[work.calls - 1]
		return result
	}
	work.calls = 0
	return work
}
