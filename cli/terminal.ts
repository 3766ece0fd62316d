/** What does the program write, and where? Results to stdout, the rest to stderr, and never a secret. */
import type { Secrets } from './secrets.ts'

/** Where text goes; the streams of the process, and others in tests. */
export interface Streams {
	readonly out: { write(text: string): unknown }
	readonly err: { write(text: string): unknown; readonly isTTY?: boolean; readonly columns?: number }
}

export class Terminal {
	readonly #streams: Streams
	readonly #secrets: Secrets
	#live = ''

	constructor(streams: Streams, secrets: Secrets) {
		this.#streams = streams
		this.#secrets = secrets
	}

	/** Whether somebody may be looking, so that a line can be written anew. */
	get isLive(): boolean {
		return this.#streams.err.isTTY === true && process.env.TERM !== 'dumb'
	}

	get columns(): number {
		return this.#streams.err.columns ?? 80
	}

	/** A result. */
	print(text: string): void {
		this.#clear()
		this.#streams.out.write(`${this.#secrets.hide(text)}\n`)
	}

	/** A result for programs. */
	printJson(value: unknown): void {
		const hide = (_key: string, part: unknown) => (typeof part === 'string' ? this.#secrets.hide(part) : part)
		this.#clear()
		this.#streams.out.write(`${JSON.stringify(value, hide, 2)}\n`)
	}

	/** A word to whoever watches. */
	tell(text: string): void {
		this.#clear()
		this.#streams.err.write(`holdfast: ${this.#secrets.hide(text)}\n`)
	}

	/** The last line of a terminal, written anew each time; only where `isLive`. */
	update(text: string): void {
		const line = this.#secrets.hide(text).slice(0, this.columns - 1)
		if (line === this.#live) return
		this.#live = line
		this.#streams.err.write(`\r\x1b[K${line}`)
	}

	/** Text that another library made, as it is but for secrets. */
	pass(stream: 'out' | 'err', text: string): void {
		this.#clear()
		this.#streams[stream].write(this.#secrets.hide(text))
	}

	#clear(): void {
		if (this.#live !== '') this.#streams.err.write('\r\x1b[K')
		this.#live = ''
	}
}
