/** What happens when somebody ends the program while it works? The work is told, and the exit code says which signal it was. */
import { signalCode } from './run-command.ts'

const signals = ['SIGINT', 'SIGTERM', 'SIGHUP'] as const

/** Ended by a signal. */
export class Interrupted extends Error {
	readonly exitCode: number

	constructor(signal: NodeJS.Signals) {
		super(`ended by ${signal}`)
		this.name = 'Interrupted'
		this.exitCode = signalCode(signal)
	}
}

/** Aborts with an `Interrupted` at the first signal, for as long as it is listened for. */
export function interruption(): { readonly signal: AbortSignal; stop(): void } {
	const controller = new AbortController()
	const onSignal = (signal: NodeJS.Signals) => controller.abort(new Interrupted(signal))
	for (const signal of signals) process.on(signal, onSignal)
	return {
		signal: controller.signal,
		stop() {
			for (const signal of signals) process.removeListener(signal, onSignal)
		},
	}
}
