/** Where does chance come from in a chaos run? Seeded streams, so that a schedule can be drawn again. */

/** One stream of numbers, the same for the same seed and name. */
export class Draw {
	#counter: number

	constructor(seed: number, stream: number) {
		this.#counter = scramble(scramble(seed | 0) ^ scramble(stream + 0x51ed))
	}

	/** A number in [0, 1). */
	next(): number {
		this.#counter = (this.#counter + 0x9e3779b9) | 0
		return (scramble(this.#counter) >>> 0) / 2 ** 32
	}

	/** A whole number from `least` to `most`, both included. */
	whole(least: number, most: number): number {
		return least + Math.floor(this.next() * (most - least + 1))
	}

	chance(share: number): boolean {
		return this.next() < share
	}

	one<T>(choices: readonly T[]): T {
		return choices[this.whole(0, choices.length - 1)]!
	}

	/** One of the rows, as often as its weight says. */
	weighted<T extends { readonly weight: number }>(rows: readonly T[]): T {
		let left = this.next() * rows.reduce((sum, { weight }) => sum + weight, 0)
		for (const row of rows) {
			left -= row.weight
			if (left < 0) return row
		}
		return rows.at(-1)!
	}
}

/** Turns neighbouring numbers into distant ones: the last step of MurmurHash3, over a counter. */
function scramble(number: number): number {
	let mixed = number
	mixed = Math.imul(mixed ^ (mixed >>> 16), 0x85ebca6b)
	mixed = Math.imul(mixed ^ (mixed >>> 13), 0xc2b2ae35)
	return mixed ^ (mixed >>> 16)
}
