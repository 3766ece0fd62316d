/** How do transactions get into a deadlock for certain? Each has locked its first row before either asks for the other's. */
import { meeting } from '../support/meeting.ts'

/** Between two rows there and back: two transfers that need `met` after their first row, and then so many more that may fight as they like. */
export async function crossTransfers(
	more: number,
	transfer: (from: number, to: number, met: () => Promise<void>) => Promise<unknown>,
): Promise<void> {
	const met = meeting(2)
	await Promise.all([transfer(1, 2, met), transfer(2, 1, met)])
	await Promise.all(Array.from({ length: more }, (_, i) => (i % 2 === 0 ? transfer(1, 2, met) : transfer(2, 1, met))))
}
