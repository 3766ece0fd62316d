/** Has somebody further in retried this already? Then nobody further out does: attempts never multiply. */
import { wrappedBy } from '../classify/unwrap.ts'

// Counts instead of a clock: only which came first matters.
let errorsSpent = 0
const spent = new WeakMap<object, number>()
const claimed = new WeakSet<object>()

/** How many errors there were so far. Taken before an attempt. */
export const spentSoFar = (): number => errorsSpent

/** The retries for this error are used up. */
export function spend(error: unknown): void {
	if (typeof error !== 'object' || error === null) return
	claimed.delete(error)
	errorsSpent += 1
	spent.set(error, errorsSpent)
}

/** They are the business of somebody further out, who will `spend` or `disclaim` them. */
export function claim(error: unknown): void {
	if (typeof error !== 'object' || error === null) return
	spend(error)
	claimed.add(error)
}

/** Whoever claimed them has made none. What others have spent stays spent. */
export function disclaim(error: unknown): void {
	if (typeof error === 'object' && error !== null && claimed.delete(error)) spent.delete(error)
}

// Errors wrap each other a few levels deep. Beyond that it is an attack.
const mostErrors = 64

/**
 * Whether that was so within the attempt, of the error or of one that it wraps: an error object that is thrown again and again tells nothing
 * of the next one. Those in `except` do not count.
 */
export function wasSpentSince(before: number, error: unknown, except?: ReadonlySet<unknown>): boolean {
	// A Set also goes through what is added on the way.
	const chain = new Set([error])
	for (const each of chain) {
		if (typeof each !== 'object' || each === null || except?.has(each) === true) continue
		if ((spent.get(each) ?? 0) > before) return true
		if (chain.size < mostErrors) for (const inner of wrappedBy(each)) chain.add(inner)
	}
	return false
}
