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

// Somebody is to be heard again soon, and a server in trouble not asked more than once in a while.
const afterRefusalMs = 500

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
	/** Those whose channels the link has been told, while it is not known yet whether it is of any use. */
	#toConfirm: Subscription[] = []
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
				// A link that was lost is replaced, and every channel listened to again.
				if (link !== this.#link) return
				if (error === undefined && link.listens) subscription.confirmed(undefined)
				else if (error === undefined) this.#toConfirm.push(subscription)
				else if (this.#core.breaks(error)) link.giveUp(error)
				else subscription.fail(error)
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
			for (let call = begin(); !stop.signal.aborted; ) {
				try {
					call = await this.#goOn(core, call, begin)
				} catch (error) {
					if (!core.policy.budget.wasRefused(error)) throw error
					// The budget bounds how often, not for how long.
					await call.pause(afterRefusalMs)
				}
			}
		} catch (error) {
			if (this.#stop !== stop) return
			const all = this.#all()
			this.#channels.clear()
			this.#disconnect()
			for (const subscription of all) subscription.fail(error)
		}
	}

	/** Listens until the connection is lost. Resolves with the call of the next one, as soon as that may be asked for. */
	async #goOn(core: PgCore, before: Call, begin: () => Call): Promise<Call> {
		let call = before
		const error = await this.#untilLost(core, call, () => {
			// One that was lost before it had proven itself counts with those before it: the waits grow.
			call = begin()
		})
		if (call.signal?.aborted) return call
		const fault = call.classify(error, 'statement')
		// Where it listened before, a server that is read-only is one that was not promoted yet.
		const returns = fault.retryable || (fault.kind === 'read_only' && this.#lostAtMs !== undefined)
		await call.next(error, { ...fault, retryable: returns }, 'statement', harmless)
		return call
	}

	/** Resolves with the error that ended the connection. Rejects where there was none to be had. */
	async #untilLost(core: PgCore, call: Call, proven: () => void): Promise<unknown> {
		const client = await core.acquire(call)
		return new Promise((resolve) => {
			// What arrives before the gap is told waits for that.
			const early: Notification[] = []
			const link: Link = new Link(core, client, this.#checkMs, {
				notified: (notification) => {
					if (link.listens) this.#notify(notification)
					else early.push(notification)
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
			this.#toConfirm = this.#all()
			const confirm = () => {
				if (this.#link !== link) return
				this.#confirm(link)
				for (const notification of early.splice(0)) this.#notify(notification)
			}
			link.listen(channels, (error) => {
				if (error !== undefined) link.giveUp(error)
				else if (!link.leadsElsewhere) confirm()
				else sharesBackend(core, link).then((isShared) => (isShared ? link.giveUp(poolerError()) : confirm()))
			})
		})
	}

	#confirm(link: Link): void {
		const { clock } = this.#core.policy.scheduler
		const gap = this.#lostAtMs === undefined ? undefined : { lostAt: dateOf(clock, this.#lostAtMs), resumedAt: dateOf(clock, clock.now()) }
		this.#lostAtMs = undefined
		link.listens = true
		for (const subscription of this.#toConfirm.splice(0)) subscription.confirmed(gap)
	}

	#notify(notification: Notification): void {
		for (const subscription of this.#channels.get(notification.channel) ?? []) subscription.notify(notification)
	}

	#all(): Subscription[] {
		return [...this.#channels.values()].flatMap((known) => [...known])
	}
}
