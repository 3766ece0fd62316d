/** In which form does a borrower hear of his statement? In that in which he asked: with a callback, or as a promise. */
import { rewriteStack } from '../../src/driver.ts'
import type { QueryCallback } from './shape.ts'

/** Tells the callback that was given in any of the places where pg takes one; returns the promise where none was. */
export function tell(promise: Promise<unknown>, config: unknown, values: unknown, callback: QueryCallback | undefined): unknown {
	const own = (config as { callback?: QueryCallback } | null)?.callback
	const done = typeof values === 'function' ? (values as QueryCallback) : (callback ?? own)
	if (done === undefined) return promise.catch(rewriteStack)
	// Out of the promise: what the borrower's callback throws is an uncaught exception, as it is with pg's own client.
	promise.then(
		(result) => process.nextTick(done, null, result),
		(error) => process.nextTick(done, error),
	)
	return undefined
}
