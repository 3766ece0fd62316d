/** Where does chance come from in the demo? A seeded generator, so that a run can be repeated. */

/** Numbers in [0, 1), the same for the same seed and stream: the generator known as mulberry32. */
export function seededRandom(seed: number, stream: number): () => number {
	// An odd factor spreads neighbouring streams over the whole range.
	let state = (seed + Math.imul(stream, 0x9e3779b1)) | 0
	return () => {
		state = (state + 0x6d2b79f5) | 0
		let mixed = Math.imul(state ^ (state >>> 15), state | 1)
		mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61)
		return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32
	}
}
