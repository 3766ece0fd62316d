/** How does a pool get all its connections? By that many borrowers at once. */

/** Borrows so many connections at the same time and gives them back. */
export async function fill(count: number, borrow: () => Promise<{ release(): void }>): Promise<void> {
	const borrowed = await Promise.all(Array.from({ length: count }, borrow))
	for (const connection of borrowed) connection.release()
}
