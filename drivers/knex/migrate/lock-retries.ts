/** How long may a migration wait for a lock, how long does it pause before it asks again, and how often? */

/** One try: the longest that its statements may wait for a lock, and the pause after it failed. */
export interface LockStep {
	readonly lockTimeoutMs: number
	readonly pauseMs: number
}

// A statement that waits for a lock makes everybody wait who comes after it, so tries are short and pauses grow.
// Source: GitLab, lib/gitlab/database/with_lock_retries.rb, whose steps these are; ours begin with three that are shorter still, because
// the first try is how we learn whom we wait for. The pauses end early when those who held the lock have gone.
const rows: readonly (readonly [lockTimeoutMs: number, pauseMs: number, times?: number])[] = [
	[10, 40],
	[20, 40],
	[40, 50],
	[100, 50, 2],
	[200, 50],
	[300, 100],
	[400, 150],
	[500, 2_000, 4],
	[1_000, 5_000],
	[1_000, 60_000],
	[100, 50],
	[200, 150],
	[3_000, 180_000],
	[100, 50],
	[200, 150],
	[5_000, 120_000],
	[500, 500, 2],
	[7_000, 300_000],
	[500, 500, 2],
	[7_000, 300_000],
	[500, 500, 2],
	[7_000, 300_000],
	[100, 50],
	[200, 150],
	[10_000, 600_000],
	[100, 50],
	[500, 2_000],
	[10_000, 600_000],
]

const steps: readonly LockStep[] = rows.flatMap(([lockTimeoutMs, pauseMs, times = 1]) =>
	Array.from({ length: times }, () => ({ lockTimeoutMs, pauseMs })),
)

/** How many tries there are where nothing else is said. */
export const lockTries = steps.length

/** The step of a try, from 1; the last one holds for all after it. No try waits longer than `longestMs`. */
export function lockStep(tryNumber: number, longestMs: number): LockStep {
	const step = steps[Math.min(tryNumber, steps.length) - 1] as LockStep
	return { ...step, lockTimeoutMs: Math.min(step.lockTimeoutMs, longestMs) }
}
