/** Who must be told when a signal is aborted? One listener a signal, however many wait on it. */

interface Watch {
	readonly reactions: Set<(reason: unknown) => void>
	readonly onAbort: () => void
}

/**
 * Waits that an AbortSignal ends. A signal is often shared by all calls of a request or of a process: Node.js warns of a leak at the
 * eleventh listener, and looks through all of them to remove one.
 */
export class Aborts {
	readonly #watches = new Map<AbortSignal, Watch>()

	/** Calls `react` with the reason when the signal is aborted. It must not be aborted yet. */
	watch(signal: AbortSignal, react: (reason: unknown) => void): void {
		let watch = this.#watches.get(signal)
		if (watch === undefined) {
			watch = this.#begin(signal)
			this.#watches.set(signal, watch)
		}
		watch.reactions.add(react)
	}

	/** Takes it back. The last one takes the listener with it. */
	unwatch(signal: AbortSignal, react: (reason: unknown) => void): void {
		const watch = this.#watches.get(signal)
		if (watch === undefined || !watch.reactions.delete(react) || watch.reactions.size > 0) return
		this.#watches.delete(signal)
		signal.removeEventListener('abort', watch.onAbort)
	}

	#begin(signal: AbortSignal): Watch {
		const reactions = new Set<(reason: unknown) => void>()
		const onAbort = () => {
			// A reaction may take back others: a Set leaves those out.
			for (const react of reactions) react(signal.reason)
			this.#watches.delete(signal)
		}
		signal.addEventListener('abort', onAbort, { once: true })
		return { reactions, onAbort }
	}
}
