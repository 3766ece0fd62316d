/** Is it over, and who must be told? The end of a pool or a scheduler, which ends every wait on it. */
import type { HoldfastError } from '../errors.ts'

export class Ending {
	#error: HoldfastError | undefined
	readonly #reactions = new Set<(error: HoldfastError) => void>()

	/** Why it is over; undefined while it is not. */
	get error(): HoldfastError | undefined {
		return this.#error
	}

	/** Calls `react` once when it is over. Returns the function that takes this back. */
	onEnd(react: (error: HoldfastError) => void): () => void {
		this.#reactions.add(react)
		return () => this.#reactions.delete(react)
	}

	end(error: HoldfastError): void {
		if (this.#error !== undefined) return
		this.#error = error
		// A reaction may take back others: a Set leaves those out.
		for (const react of this.#reactions) react(error)
		this.#reactions.clear()
	}
}
