/** Which error does a call end with? */

/** An error as drivers and servers throw it. */
export interface Caught extends Error {
	readonly code?: string
	readonly errno?: number
	readonly cause?: Caught
}

/** The error that a call is rejected with; undefined where it is fulfilled. */
export const caught = (call: PromiseLike<unknown>): Promise<Caught | undefined> =>
	Promise.resolve(call).then(
		() => undefined,
		(error: unknown) => error as Caught,
	)
