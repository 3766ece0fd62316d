/** How does user code ask for another attempt by itself? */

// Symbol.for, so that the check holds across two copies of the package in one process.
const brand = Symbol.for('holdfast.try-again')

/**
 * Throw it inside the function given to `retry` to ask for another attempt, whatever `when` says; `stop`, `deadlineMs` and `signal` still hold.
 * Give what happened as `cause`. Tenacity: `TryAgain`.
 */
export class TryAgain extends Error {
	constructor(message = 'another attempt was asked for', options?: ErrorOptions) {
		super(message, options)
		this.name = 'TryAgain'
		Object.defineProperty(this, brand, { value: true })
	}

	/** True for a TryAgain of any copy of Holdfast in the process. */
	static is(error: unknown): error is TryAgain {
		return typeof error === 'object' && error !== null && brand in error
	}
}
