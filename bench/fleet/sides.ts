/** Who is compared? Every way to deal with failures, the least possible first, Holdfast last. */
import type { Kind } from './client.ts'
import { holdfast } from './holdfast.ts'
import { postgresJsLike } from './postgres-js.ts'
import { retrying } from './retrying.ts'
import type { Scenario } from './run.ts'
import { told } from './told.ts'

export const ours: Kind = holdfast('Holdfast', 'the scheduler of this repository with its defaults, one for each process')

/** For those who would rather notice a recovery later than come all at once. */
export const patient: Kind = holdfast('Holdfast, patient', 'the same with `createScheduler({ probeMaxDelayMs: 2_000 })`', {
	probeMaxDelayMs: 2_000,
})

/** Theirs, in the order of the plots. */
export const theirs: readonly Kind[] = [...retrying, postgresJsLike]

export const leastPossible = ({ capacity, fate }: Scenario): Kind =>
	told(
		capacity.connectsPerSecond,
		fate.crashesAtMs ?? Number.POSITIVE_INFINITY,
		fate.crashesAtMs === undefined ? Number.POSITIVE_INFINITY : fate.readyAtMs,
	)
