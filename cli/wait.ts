/** When does the database answer a query? Waits at the gate of its endpoint, tells how it stands, and then runs the command. */
import { retry, type Stats, stop, systemClock, wait } from '../src/index.ts'
import { diagnose } from './diagnosis.ts'
import { sayDuration } from './duration.ts'
import { endings } from './exit-codes.ts'
import { interruption } from './interruption.ts'
import { placeOf } from './place.ts'
import type { WaitingPool } from './product.ts'
import { productOf } from './product-of.ts'
import { runCommand } from './run-command.ts'
import type { Secrets } from './secrets.ts'
import { stateOfKind, states } from './states.ts'
import { readTarget } from './target.ts'
import type { Terminal } from './terminal.ts'

export interface WaitOptions {
	readonly url: string | undefined
	/** What to run afterwards; empty for nothing. */
	readonly command: readonly string[]
	readonly timeoutMs: number
	readonly quiet: boolean
	/** Also wait while the server refuses us: for databases and users that are being made. */
	readonly patient: boolean
}

// Longer, and a server that swallows what it is sent would be asked too seldom; it is the core's own default.
const attemptTimeoutMs = 5_000
const lookEveryMs = 100
const refusedAgainAfterMs = { firstMs: 250, maxMs: 2_000 }

/** Resolves with the exit code. Throws a UsageError for a bad URL. */
export async function waitFor(options: WaitOptions, terminal: Terminal, secrets: Secrets): Promise<number> {
	const target = readTarget(options.url, process.env)
	const product = await productOf(target)
	const { address } = await placeOf(product, target, secrets)
	const interrupted = interruption()
	const startedAtMs = systemClock.now()
	const elapsed = () => sayDuration(systemClock.now() - startedAtMs)
	const pool = await product.pool(target, Math.min(attemptTimeoutMs, options.timeoutMs))
	const display = show(pool, address, options.quiet ? undefined : terminal, elapsed)
	const limit = timeLimit(options.timeoutMs, interrupted.signal)
	try {
		await answered(pool, options, limit.signal, display.refused)
		display.stop()
		if (!options.quiet) terminal.tell(`${address} answers after ${elapsed()}`)
	} catch (error) {
		display.stop()
		interrupted.signal.throwIfAborted()
		if (limit.signal.aborted) {
			terminal.tell(`${address} ${describe(pool.holdfast.stats(), states.silent.words)}; gave up after ${elapsed()}`)
			return endings.timeout.code
		}
		const { state, message } = diagnose(error)
		terminal.tell(`${address} ${states[state].words}: ${message}`)
		return states[state].code
	} finally {
		limit.stop()
		interrupted.stop()
		// A server that says nothing would not say good-bye either.
		pool.end().catch(() => {})
	}
	return options.command.length > 0 ? runCommand(options.command, terminal) : endings.ok.code
}

/** Resolves when the database answers a query; rejects with what waiting does not mend, or when the signal is aborted. */
async function answered(
	pool: WaitingPool,
	{ patient }: WaitOptions,
	signal: AbortSignal,
	tellRefusal: (words: string) => void,
): Promise<void> {
	const aborted = new Promise<never>((_resolve, reject) => {
		signal.addEventListener('abort', () => reject(signal.reason), { once: true })
	})
	const ready = () => pool.holdfast.ready({ deadlineMs: Number.POSITIVE_INFINITY, signal })
	const asked = patient
		? retry(ready, {
				stop: stop.never,
				when: ({ failed, error }) => {
					const again = failed && !signal.aborted
					if (again) tellRefusal(states[diagnose(error).state].words)
					return again
				},
				wait: wait.randomExponential({ multiplierMs: refusedAgainAfterMs.firstMs, maxMs: refusedAgainAfterMs.maxMs }),
				signal,
				reraise: true,
			})
		: ready()
	asked.catch(() => {})
	// A query that the server has swallowed is not cut by the signal: the wait ends all the same.
	await Promise.race([asked, aborted])
}

/** A signal that is aborted when the time is up, or with the other one. */
function timeLimit(timeoutMs: number, outer: AbortSignal): { readonly signal: AbortSignal; stop(): void } {
	const controller = new AbortController()
	const abort = () => controller.abort(outer.reason ?? new Error('the time is up'))
	const timer = timeoutMs === Number.POSITIVE_INFINITY ? undefined : systemClock.setTimer(abort, timeoutMs)
	outer.addEventListener('abort', abort, { once: true })
	return {
		signal: controller.signal,
		stop() {
			systemClock.clearTimer(timer)
			outer.removeEventListener('abort', abort)
		},
	}
}

/** Shows how the endpoint stands: a line that changes in a terminal, else a line for each change. */
function show(pool: WaitingPool, address: string, terminal: Terminal | undefined, elapsed: () => string): Display {
	if (terminal === undefined) return { refused() {}, stop() {} }
	let told = ''
	let refusal: string | undefined
	let timer: unknown
	const look = () => {
		const { endpoint } = pool.holdfast.stats()
		const now = `${address} ${describe(pool.holdfast.stats(), refusal)}`
		if (terminal.isLive) terminal.update(`holdfast: ${now} (${elapsed()})`)
		else if (now !== told && (endpoint.state === 'down' || refusal !== undefined)) {
			terminal.tell(`${now}; waiting`)
			told = now
		}
	}
	const lookAgain = () => {
		look()
		timer = systemClock.setTimer(lookAgain, lookEveryMs)
	}
	lookAgain()
	return {
		refused(words) {
			refusal = words
			look()
		},
		stop: () => systemClock.clearTimer(timer),
	}
}

interface Display {
	/** The server has let us know that it does not want us; it is asked again. */
	refused(words: string): void
	stop(): void
}

/** The endpoint in the words of `states`, or these where nothing keeps us from it. */
function describe({ endpoint }: Stats, otherwise = 'has not answered yet'): string {
	// It let us in: what it said before is over.
	const fault = endpoint.state === 'up' || endpoint.state === 'recovering' ? undefined : endpoint.lastFault
	const state = fault && stateOfKind[fault.kind]
	return state === undefined ? otherwise : states[state].words
}
