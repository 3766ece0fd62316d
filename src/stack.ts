/** Where does the stack of an error point? At the caller, as with the bare drivers, instead of the socket that the error came from. */

/** Points the stack at whoever awaits; the object stays the same. For `promise.catch`. */
export function rewriteStack(error: unknown): never {
	if (error instanceof Error && Object.isExtensible(error)) Error.captureStackTrace(error, rewriteStack)
	throw error
}

/**
 * To resolve a caller's promise with, so that it rejects. It is rejected a turn later: by then the caller's promise hangs on this one, which
 * is how the way from here to whoever awaits it is found. A promise that succeeds is spared the `catch`.
 */
export function rejection(error: unknown): Promise<never> {
	return new Promise<never>((_, reject) => queueMicrotask(() => reject(error))).catch(rewriteStack)
}
