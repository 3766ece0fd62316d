/** Is there a crowd before the server's door after an outage? Each process tells by how long the server needs to answer. */
import type { Clock } from '../clock.ts'
import type { FaultKind } from '../fault.ts'

// A fleet of ten thousand cannot see itself, but each of it sees how long its attempt stood in line. Whoever comes again three times as
// long after leaves a quarter of the crowd in line, however large the crowd and however fast the server: what the server takes is what comes.
const patience = 3
/** Bounds how late a process notices that the crowd has gone. */
const longestMs = 5_000
// A server that answers within that has no crowd, also one that is far away; nor one that takes twice as long as it once did, with nobody there.
const promptMs = 100
const promptFactor = 2
// One prompt answer does not mean that everybody has gone; without a memory the fleet swings between rush and silence.
const remembered = 0.8
// Crowds gather in an outage, and are gone after so long. At other times a slow answer is a lost packet, and nobody waits for it.
const gatheredForMs = 60_000
/** The kinds of failure that the server itself tells. A refusal by the kernel takes no time, and says nothing of others. */
const answers: ReadonlySet<FaultKind> = new Set(['starting_up', 'shutting_down', 'too_many_connections'])

/** What one process knows of all the others that want to connect to the same server. All times in milliseconds. */
export class Crowd {
	readonly #clock: Clock
	#goneAtMs = Number.NEGATIVE_INFINITY
	#excessMs = 0
	#fastestMs = Number.POSITIVE_INFINITY

	constructor(clock: Clock) {
		this.#clock = clock
	}

	/** The server let somebody in after so long. */
	answered(tookMs: number): void {
		this.#fastestMs = Math.min(this.#fastestMs, tookMs)
		this.#stoodInLine(tookMs)
	}

	/** Nobody gets in now. */
	failed(kind: FaultKind, tookMs: number): void {
		const nowMs = this.#clock.now()
		if (nowMs >= this.#goneAtMs) this.#excessMs = 0
		this.#goneAtMs = nowMs + gatheredForMs
		if (answers.has(kind)) this.#stoodInLine(tookMs)
	}

	/** Those who were let in get no answer within so long: they stand in line inside. */
	overloaded(afterMs: number): void {
		this.#goneAtMs = this.#clock.now() + gatheredForMs
		this.#stoodInLine(afterMs)
	}

	#stoodInLine(tookMs: number): void {
		// Who was never let in before does not know what is slow here.
		const usualMs = this.#fastestMs === Number.POSITIVE_INFINITY ? tookMs : this.#fastestMs
		const excessMs = tookMs - Math.max(promptMs, promptFactor * usualMs)
		this.#excessMs = this.#clock.now() < this.#goneAtMs ? Math.max(excessMs, this.#excessMs * remembered) : 0
	}

	/** Whether several attempts at a time would only make the others wait. */
	get isThere(): boolean {
		return this.#excessMs > promptMs
	}

	/** How long the next attempt waits, with jitter of one half: those who were answered together do not come again together. */
	delayMs(): number {
		return this.#excessMs < 1 ? 0 : Math.min(patience * this.#excessMs, longestMs) * (0.5 + this.#clock.random())
	}
}
