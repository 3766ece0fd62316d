/** How long is "90", "90s", "500ms" or "2m"? */
import { UsageError } from './usage-error.ts'

const unitsMs: Readonly<Record<string, number>> = { ms: 1, s: 1_000, m: 60_000, h: 3_600_000 }

/** Milliseconds; a number without a unit is seconds, and 0 is for ever. Throws a UsageError. */
export function readDuration(option: string, text: string): number {
	const found = /^(\d+(?:\.\d+)?)(ms|s|m|h)?$/.exec(text)
	if (found === null)
		throw new UsageError(`${option} must be a time such as 30, 30s, 500ms or 2m (0 for no limit), got ${JSON.stringify(text)}`)
	const ms = Number(found[1]) * (unitsMs[found[2] ?? 's'] as number)
	return ms === 0 ? Number.POSITIVE_INFINITY : ms
}

/** A time for people. */
export function sayDuration(ms: number): string {
	if (ms < 1_000) return `${Math.round(ms)} ms`
	return ms < 60_000 ? `${(ms / 1_000).toFixed(1)} s` : `${Math.floor(ms / 60_000)} min ${Math.round((ms % 60_000) / 1_000)} s`
}
