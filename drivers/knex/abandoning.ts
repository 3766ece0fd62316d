/** How is a statement given up that has exceeded its `timeout`? By a signal of its own, which the user's signal aborts as well. */

export class Abandoning {
	readonly #controller = new AbortController()
	readonly #user: AbortSignal | undefined
	readonly #follow = () => this.abort(this.#user?.reason)

	constructor(user: AbortSignal | undefined) {
		this.#user = user
		if (user?.aborted) this.#follow()
		else user?.addEventListener('abort', this.#follow, { once: true })
	}

	get signal(): AbortSignal {
		return this.#controller.signal
	}

	abort(error: unknown): void {
		this.#controller.abort(error)
	}

	/** The statement is over: a signal that lives on must not remember it. */
	end(): void {
		this.#user?.removeEventListener('abort', this.#follow)
	}
}
