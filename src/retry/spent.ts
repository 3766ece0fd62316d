/** Has somebody further in retried this already? Then nobody further out does: attempts never multiply. */

// Counts instead of a clock: only which came first matters.
let errorsSpent = 0
const spent = new WeakMap<object, number>()

/** How many errors there were so far. Taken before an attempt. */
export const spentSoFar = (): number => errorsSpent

/** The retries for this error are used up, or are the business of somebody else. */
export function spend(error: unknown): void {
	if (typeof error !== 'object' || error === null) return
	errorsSpent += 1
	spent.set(error, errorsSpent)
}

/** They are not: whoever is further out may try again. */
export function unspend(error: unknown): void {
	if (typeof error === 'object' && error !== null) spent.delete(error)
}

/** Whether that was so within the attempt: an error object that is thrown again and again tells nothing of the next one. */
export function wasSpentSince(before: number, error: unknown): boolean {
	return typeof error === 'object' && error !== null && (spent.get(error) ?? 0) > before
}
