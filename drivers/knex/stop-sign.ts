/** How does a transaction that is under way keep itself from being run again? By a signal that costs less than one of Node's. */

/**
 * What the core uses of an AbortSignal. Nobody waits while it is put up: it is looked at before the next attempt. Measured on Node.js 20, an
 * AbortController for each transaction costs a fifth of a short one's processor time, most of it in the garbage collector.
 */
export class StopSign {
	#reason: { readonly error: unknown } | undefined

	get aborted(): boolean {
		return this.#reason !== undefined
	}

	get reason(): unknown {
		return this.#reason?.error
	}

	abort(error: unknown): void {
		this.#reason ??= { error }
	}

	throwIfAborted(): void {
		if (this.#reason !== undefined) throw this.#reason.error
	}

	addEventListener(): void {}

	removeEventListener(): void {}
}
