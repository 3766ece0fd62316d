/** How does `pool.listen` go on through restarts? One connection beside the pool for all channels, opened through the gate, and again when it is lost. */
import { type Call, dateOf, type Repeatability, tooLateError } from '../../src/driver.ts'
import type { PgCore } from './core.ts'
import { Link, type Notification, poolerError } from './listen-link.ts'
import { sharesBackend } from './listen-pooler.ts'
import { checkListen, type ListenOptions, Subscription } from './subscription.ts'

/** The wrapped pool that the connection is of: with room for one more, for the time of a look at what is in between. */
export interface ListenPool {
	readonly core: PgCore
	end(): Promise<unknown>
}

/** Ends one subscription; resolves when the server knows. */
export type Unlisten = () => Promise<void>

// What is sent here can be sent again.
const harmless: Repeatability = { idempotent: true, reads: () => true }

export class Listening {
	readonly #core: PgCore
	readonly #checkMs: number
	readonly #open: () => ListenPool
	readonly #channels = new Map<string, Set<Subscription>>()
	#pool: ListenPool | undefined
	#link: Link | undefined
	/** Ends the connection's making, while somebody listens. */
	#stop: AbortController | undefined
	#lostAtMs: number | undefined
	#ended: Promise<unknown> | undefined

	/** `core` is that of the user's pool. `open` makes the one beside it, at the first call. */
	constructor(core: PgCore, checkMs: number, open: () => ListenPool) {
		this.#core = core
		this.#checkMs = checkMs
		this.#open = open
	}

	async listen(channel: string, handler: (notification: Notification) => unknown, options: ListenOptions = {}): Promise<Unlisten> {
		checkListen(channel, handler, options)
		const { signal, deadlineMs } = options
		const { policy } = this.#core
		if (policy.ending.error !== undefined) throw policy.ending.error
		signal?.throwIfAborted()
		policy.signal?.throwIfAborted()
		const { wakeUps, clock, aborts } = policy.scheduler
		const subscription = new Subscription(channel, handler, options)
		const leave = (reason?: unknown): Promise<void> => this.#leave(subscription, reason)
		const limitMs = deadlineMs ?? policy.deadlineMs
		const limit =
			limitMs === Number.POSITIVE_INFINITY
				? undefined
				: wakeUps.at(clock.now() + limitMs, () => void leave(tooLateError(policy.endpoint, 1)))
		if (signal !== undefined) aborts.watch(signal, leave)
		subscription.onOver = () => {
			wakeUps.cancel(limit)
			if (signal !== undefined) aborts.unwatch(signal, leave)
		}
		this.#join(subscription)
		try {
			await subscription.begun
		} catch (error) {
			void leave(error)
			throw error
		}
		wakeUps.cancel(limit)
		return () => leave()
	}

	/** Ends all of it. Resolves when the connection is closed. */
	end(): Promise<unknown> {
		this.#core.end()
		const { error } = this.#core.policy.ending
		for (const subscription of this.#all()) subscription.end(error)
		this.#channels.clear()
		this.#disconnect()
		this.#ended ??= this.#pool?.end() ?? Promise.resolve()
		return this.#ended
	}

	#join(subscription: Subscription): void {
		const { channel } = subscription
		const known = this.#channels.get(channel) ?? new Set()
		this.#channels.set(channel, known.add(subscription))
		const link = this.#link
		if (this.#stop === undefined) void this.#keepListening()
		// Also where others listen to the channel: the answer tells that the server does.
		else if (link !== undefined)
			link.listen([channel], (error) => {
				if (error === undefined) subscription.confirmed(undefined)
				// A link that was lost is replaced, and every channel listened to again.
				else if (link === this.#link) subscription.fail(error)
			})
	}

	async #leave(subscription: Subscription, reason: unknown): Promise<void> {
		const { channel } = subscription
		subscription.end(reason)
		const others = this.#channels.get(channel)
		if (others === undefined || !others.delete(subscription) || others.size > 0) return
		this.#channels.delete(channel)
		const link = this.#link
		if (this.#channels.size === 0) this.#disconnect()
		else if (link !== undefined) await new Promise<void>((resolve) => link.unlisten(channel, () => resolve()))
	}

	#disconnect(): void {
		this.#stop?.abort()
		this.#stop = undefined
		this.#link?.close()
		this.#link = undefined
		this.#lostAtMs = undefined
	}

	/** Connects, and connects again, until nobody listens any more or an error says that it is no use. */
	async #keepListening(): Promise<void> {
		const stop = new AbortController()
		this.#stop = stop
		try {
			this.#pool ??= this.#open()
			const { core } = this.#pool
			const begin = () => core.call({ deadlineMs: Number.POSITIVE_INFINITY, signal: stop.signal })
			for (let call = begin(); ; ) {
				let heard = false
				const error = await this.#untilLost(core, call, () => {
					heard = true
				})
				if (stop.signal.aborted) return
				// One that was lost before it had proven itself counts with those before it: the waits grow.
				if (heard) call = begin()
				const fault = call.classify(error, 'statement')
				// Where it listened before, a server that is read-only is one that was not promoted yet.
				const returns = fault.retryable || (fault.kind === 'read_only' && this.#lostAtMs !== undefined)
				await call.next(error, { ...fault, retryable: returns }, 'statement', harmless)
			}
		} catch (error) {
			if (this.#stop !== stop) return
			const all = this.#all()
			this.#channels.clear()
			this.#disconnect()
			for (const subscription of all) subscription.fail(error)
		}
	}

	/** Resolves with the error that ended the connection. Rejects where there was none to be had. */
	async #untilLost(core: PgCore, call: Call, proven: () => void): Promise<unknown> {
		const client = await core.acquire(call)
		return new Promise((resolve) => {
			const link: Link = new Link(core, client, this.#checkMs, {
				notified: (notification) => {
					for (const subscription of this.#channels.get(notification.channel) ?? []) subscription.notify(notification)
				},
				lost: (error) => {
					if (this.#link === link) {
						if (link.listens) this.#lostAtMs ??= link.heardUpToMs
						this.#link = undefined
					}
					if (link.proven) proven()
					resolve(error)
				},
			})
			if (this.#stop === undefined || call.signal?.aborted) {
				link.close()
				return resolve(undefined)
			}
			this.#link = link
			const channels = [...this.#channels.keys()]
			const there = this.#all()
			const confirm = () => this.#link === link && this.#confirm(link, there)
			link.listen(channels, (error) => {
				if (error !== undefined) link.giveUp(error)
				else if (!link.leadsElsewhere) confirm()
				else sharesBackend(core, link).then((isShared) => (isShared ? link.giveUp(poolerError()) : confirm()))
			})
		})
	}

	#confirm(link: Link, there: readonly Subscription[]): void {
		const { clock } = this.#core.policy.scheduler
		const gap = this.#lostAtMs === undefined ? undefined : { lostAt: dateOf(clock, this.#lostAtMs), resumedAt: dateOf(clock, clock.now()) }
		this.#lostAtMs = undefined
		link.listens = true
		for (const subscription of there) subscription.confirmed(gap)
	}

	#all(): Subscription[] {
		return [...this.#channels.values()].flatMap((known) => [...known])
	}
}
