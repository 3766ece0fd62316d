/** How does a stream of bytes arrive? In any pieces. */

/** The bytes as pieces of these sizes, and what is left as one more. */
export function cutUp(bytes: Buffer, sizes: readonly number[]): Buffer[] {
	const pieces: Buffer[] = []
	let at = 0
	for (const size of sizes) {
		pieces.push(bytes.subarray(at, at + size))
		at += size
	}
	return [...pieces, bytes.subarray(at)]
}
