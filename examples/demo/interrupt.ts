/** What happens on Ctrl-C? The server goes, its folder goes, and then the process, with the exit code that shells expect. */

const exitCodes = { SIGINT: 130, SIGTERM: 143, SIGHUP: 129 } as const

// npm and tsx pass a signal on that the terminal has sent already: the second one is no second wish.
const sameSignalMs = 1_000

/** Runs `cleanUp` at the first signal and ends the process; a signal long after it ends the process at once. Aborts at the first. */
export function endOnSignals(cleanUp: () => Promise<void>): AbortSignal {
	const interruption = new AbortController()
	let firstAtMs: number | undefined
	for (const [signal, exitCode] of Object.entries(exitCodes)) {
		process.on(signal, () => {
			if (firstAtMs !== undefined) {
				// What is still there goes in the 'exit' handlers of the servers.
				if (performance.now() - firstAtMs > sameSignalMs) process.exit(exitCode)
				return
			}
			firstAtMs = performance.now()
			interruption.abort()
			cleanUp().finally(() => process.exit(exitCode))
		})
	}
	return interruption.signal
}
