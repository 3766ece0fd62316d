/** When does a condition hold? Asks again and again, and says what it waited for when it never did. */
import { setTimeout as sleep } from 'node:timers/promises'

/** What `until` waits for and how long. */
export interface UntilOptions {
	/** What is waited for, as the end of the sentence "waited for …". */
	readonly what: string
	/** Real milliseconds after which it throws. Default 10,000. */
	readonly timeoutMs?: number
	/** Real milliseconds between two looks. Default 5. */
	readonly everyMs?: number
}

/**
 * Resolves with the first value of `condition` that is neither false, null nor undefined.
 * Throws an Error that says what was waited for, how long, and the last value or error seen. An error of `condition` counts as "not yet".
 */
export async function until<T>(
	condition: () => T | Promise<T>,
	{ what, timeoutMs = 10_000, everyMs = 5 }: UntilOptions,
): Promise<Exclude<T, false | null | undefined>> {
	const startedAt = performance.now()
	for (;;) {
		let last: { value: T } | { error: unknown }
		try {
			last = { value: await condition() }
			if (last.value !== false && last.value !== null && last.value !== undefined) {
				return last.value as Exclude<T, false | null | undefined>
			}
		} catch (error) {
			last = { error }
		}
		const elapsedMs = performance.now() - startedAt
		if (elapsedMs >= timeoutMs) {
			const seen = 'error' in last ? `it last threw: ${String(last.error)}` : `it was last ${String(last.value)}`
			throw new Error(`waited ${Math.round(elapsedMs)} ms for ${what}; ${seen}`, 'error' in last ? { cause: last.error } : undefined)
		}
		await sleep(everyMs)
	}
}
