/** What do tests of a total black hole share? Fifty calls, a third of them writes, of which each must be told or served. */

/** How one call has ended. */
export interface Ended {
	readonly writes: boolean
	readonly error: unknown
	/** The time from its beginning to its end, in milliseconds. */
	readonly tookMs: number
}

const calls = 50

/** Begins fifty calls at once; `write` gets the number of its row. */
export function fiftyCalls(read: () => Promise<unknown>, write: (id: number) => Promise<unknown>): Promise<Ended[]> {
	return Promise.all(
		Array.from({ length: calls }, async (_, number): Promise<Ended> => {
			const writes = number % 3 === 0
			const beganAtMs = performance.now()
			const end = (error: unknown) => ({ writes, error, tookMs: performance.now() - beganAtMs })
			return (writes ? write(number) : read()).then(() => end(undefined), end)
		}),
	)
}
