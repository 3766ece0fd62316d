/** Can a borrower's session be replaced by a new one without his missing anything? By what he has sent; looked at only where it matters. */
import type { Dialect } from '../sql/scan.ts'
import { asksForNothing, leavesNoTrace } from '../sql/traces.ts'

// A borrower who sends more keeps his connection: its texts are kept for as long as it is borrowed.
const mostTexts = 100
const longestText = 10_000

/** What has been sent in one session since it was borrowed. */
export class Traces {
	readonly #dialect: Dialect
	/** Whether a text can be believed that does not say what its functions do. */
	readonly #readsAreSafe: boolean
	#texts: string[] | undefined = []
	/** How many statements were noted. */
	count = 0

	constructor(dialect: Dialect, readsAreSafe: boolean) {
		this.#dialect = dialect
		this.#readsAreSafe = readsAreSafe
	}

	/** A statement is sent. Anything but a text may do whatever it likes. */
	note(text: unknown): void {
		this.count += 1
		if (this.#texts === undefined) return
		if (typeof text === 'string' && text.length <= longestText && this.#texts.length < mostTexts) this.#texts.push(text)
		else this.#texts = undefined
	}

	/** Whether it is worth looking: false once something was sent that cannot be judged. */
	get mayBeNone(): boolean {
		return this.#texts !== undefined
	}

	/** Whether nothing that was sent has left anything in the session; `but`: the last so many are left out, which have had no effect. */
	areNone(but = 0): boolean {
		if (this.#texts === undefined) return false
		const at = this.#texts.length - but
		const [texts, last] = [this.#texts.slice(0, at), this.#texts.slice(at)]
		if (texts.length === 0) return true
		const isNone = texts.every((text) => leavesNoTrace(text, this.#dialect))
		return this.#readsAreSafe && isNone && last.every((text) => asksForNothing(text, this.#dialect))
	}
}
