/** What is one call of `pool.listen`? A channel, its handler, and what is to be told of gaps and of the end. */
import { abortSignal, checkOptions, fn, type OptionRules, positiveMsOrInfinity, show } from '../../src/driver.ts'
import type { Notification } from './listen-link.ts'

/** Notifications may have been missed. */
export interface Gap {
	readonly channel: string
	/** When the lost connection was last asked and answered. What was sent before has arrived. */
	readonly lostAt: Date
	/** When the server was listened to again. What was sent after has arrived or will. */
	readonly resumedAt: Date
}

/** Options of `pool.listen`. */
export interface ListenOptions {
	/** Called when the connection was lost and the channel is listened to again. Look then for what you may have missed. */
	onGap?: ((gap: Gap) => unknown) | undefined
	/**
	 * Called when the subscription has ended by an error that waiting does not mend, such as a password that was changed. Default: a warning of
	 * the process.
	 */
	onError?: ((error: unknown) => unknown) | undefined
	/** Ends the subscription, or the wait for it to begin. */
	signal?: AbortSignal | undefined
	/** How long the subscription may take to begin, in milliseconds; after that it waits for the server as long as it takes. Default: the pool's. */
	deadlineMs?: number | undefined
}

const rules: OptionRules<ListenOptions> = { onGap: fn, onError: fn, signal: abortSignal, deadlineMs: positiveMsOrInfinity }

// NAMEDATALEN - 1 (PostgreSQL manual, "Identifiers"): LISTEN would cut the name, and its notifications would come by another one.
const longestChannel = 63

/** Checks the arguments of `pool.listen`. Throws a TypeError or RangeError. */
export function checkListen(channel: unknown, handler: unknown, options: unknown): asserts options is ListenOptions {
	if (typeof channel !== 'string' || channel === '' || channel.includes('\0'))
		throw new TypeError(`listen: channel must be a string that is not empty, got ${show(channel)}`)
	const bytes = Buffer.byteLength(channel)
	if (bytes > longestChannel)
		throw new RangeError(`listen: channel must be a name of ${longestChannel} bytes or less, which PostgreSQL keeps, got ${bytes} bytes`)
	if (!fn.accepts(handler)) throw new TypeError(`listen: handler must be a function, got ${show(handler)}`)
	checkOptions<ListenOptions>('listen', options, rules)
}

/** A handler's channel, from the call of `listen` to its end. */
export class Subscription {
	readonly channel: string
	readonly begun: Promise<void>
	/** Called once it is over, for whatever reason. */
	onOver: () => void = () => {}
	readonly #handler: (notification: Notification) => unknown
	readonly #options: ListenOptions
	#state: 'waiting' | 'listening' | 'over' = 'waiting'
	#resolve: () => void = () => {}
	#reject: (error: unknown) => void = () => {}

	constructor(channel: string, handler: (notification: Notification) => unknown, options: ListenOptions) {
		this.channel = channel
		this.#handler = handler
		this.#options = options
		this.begun = new Promise((resolve, reject) => {
			this.#resolve = resolve
			this.#reject = reject
		})
	}

	/** The server listens for it. `gap`, where a connection was lost since it last did. */
	confirmed(gap: Omit<Gap, 'channel'> | undefined): void {
		if (this.#state === 'over') return
		const { onGap } = this.#options
		if (this.#state === 'listening' && gap !== undefined && onGap !== undefined) this.#later(onGap, { channel: this.channel, ...gap })
		this.#state = 'listening'
		this.#resolve()
	}

	/** A tick of its own for each: what one handler throws is an uncaught exception, as with bare pg, and keeps nothing from the others. */
	notify(notification: Notification): void {
		if (this.#state === 'listening') this.#later(this.#handler, notification)
	}

	/** It is over because its user said so, by `signal` or the end of the pool: `reason` is for one that has not begun. */
	end(reason: unknown): void {
		this.#state = 'over'
		this.#reject(reason)
		this.onOver()
	}

	/** It is over because the server says so. */
	fail(error: unknown): void {
		const had = this.#state === 'listening'
		this.end(error)
		if (!had) return
		const { onError } = this.#options
		if (onError !== undefined) return void process.nextTick(onError, error)
		const detail = error instanceof Error ? error.message : String(error)
		process.emitWarning(`listen: the subscription to ${this.channel} has ended.`, { type: 'HoldfastWarning', detail })
	}

	#later<T>(callback: (argument: T) => unknown, argument: T): void {
		process.nextTick(() => {
			if (this.#state === 'listening') callback(argument)
		})
	}
}
