/** How long until the next connection attempt to a server that is down, and how many at once when it is back? Pure. */
import type { FaultKind } from '../fault.ts'

/** The prober's pace. All times in milliseconds. */
export interface Probing {
	/** The wait before the second probe; the first is made at once. */
	readonly firstDelayMs: number
	/** Bounds how late a recovery is noticed. */
	readonly maxDelayMs: number
	/** How long one connection attempt may take. */
	readonly timeoutMs: number
}

export const defaultProbing: Probing = { firstDelayMs: 25, maxDelayMs: 500, timeoutMs: 5_000 }

// A full server is not down: each attempt costs it a fork to say no, so asking is slower (the AWS SDKs back off from
// throttling five times as long as from other faults; Npgsql treats 53300 as transient without any wait).
const overloadFactor = 4

/**
 * The wait after `failures` failed probes in a row (from 1): doubled each time up to the cap, then spread over the upper quarter
 * below it. The jitter comes after the cap, so that capped probers of many processes do not fall into step;
 * it is small, because it is the mean that decides how often a server that is down gets asked.
 */
export function probeDelayMs(failures: number, kind: FaultKind, probing: Probing, random: () => number): number {
	const factor = kind === 'too_many_connections' ? overloadFactor : 1
	const capped = Math.min(probing.firstDelayMs * 2 ** Math.min(failures - 1, 30), probing.maxDelayMs) * factor
	// Attempts that the same event has cut off run out of time at the same moment: they are spread wider.
	return capped * (kind === 'connect_timeout' ? random() : 0.75 + 0.25 * random())
}

/** Connection attempts allowed at a time: one, and after each success twice as many as before, until nobody needs one any more. */
export const firstWindow = 1
export const widerWindow = (window: number): number => window * 2
