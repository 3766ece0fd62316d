/** How is one connection listened on? LISTEN, checks that it still lives, and the moment at which it is lost. */
import { HoldfastError } from '../../src/driver.ts'
import { cut, send } from './client.ts'
import type { PgCore } from './core.ts'
import { settle } from './query.ts'
import type { PgClient } from './shape.ts'
import { isAlive } from './state.ts'

/** A notification, as pg hands it over. */
export interface Notification {
	/** As given to `listen`. */
	readonly channel: string
	/** The text given to NOTIFY; empty where none was given. */
	readonly payload?: string | undefined
	/** The pid of the backend that sent it. */
	readonly processId: number
}

/** Who hears of what comes over the link. */
export interface LinkEvents {
	notified(notification: Notification): void
	lost(error: unknown): void
}

type Done = (error?: unknown) => void
type WakeUp = ReturnType<PgCore['policy']['scheduler']['wakeUps']['at']>

/** In quotes an identifier is taken as it is (PostgreSQL manual, "Identifiers"). */
const quoted = (channel: string) => `"${channel.replaceAll('"', '""')}"`

/** The check of a link. */
export const whoAmI = 'SELECT pg_backend_pid() AS pid'

/** What a pooler that gives each transaction another session does to LISTEN. */
export function poolerError(): HoldfastError {
	return new HoldfastError(
		'HOLDFAST_POOLER',
		'listen: the connection leads through a pooler in transaction mode (such as PgBouncer with pool_mode = transaction), where LISTEN is taken and no notification ever arrives. Connect to PostgreSQL itself, or to a pool with pool_mode = session.',
	)
}

/** Closes a connection that is well. */
export function drop(core: PgCore, client: PgClient): void {
	client.release(true)
	// `release` asks the server politely; one that does not answer would keep the socket, and the process, for minutes.
	cut(client)
	core.returned()
}

export class Link {
	/** What was sent up to then has arrived, or will: the last question that was answered was put then. On the scheduler's clock. */
	heardUpToMs: number
	/** Whether it has outlived its first check. */
	proven = false
	/** Whether the channels are listened to. */
	listens = false
	/** The backend at the other end; undefined before it was asked. */
	backend: unknown
	readonly client: PgClient
	readonly #core: PgCore
	readonly #checkMs: number
	readonly #on: LinkEvents
	#check: WakeUp | undefined
	/** For the answer that is waited for. */
	#limit: WakeUp | undefined
	#over = false
	/** The question that is under way, and those that wait. */
	readonly #line: (() => void)[] = []

	constructor(core: PgCore, client: PgClient, checkMs: number, on: LinkEvents) {
		this.client = client
		this.#core = core
		this.#checkMs = checkMs
		this.#on = on
		this.heardUpToMs = this.#now()
		client.on('notification', this.#notified)
		client.on('error', this.giveUp)
		client.on('end', this.giveUp)
	}

	/** Whether the backend is not the one of the handshake: then somebody stands in between. */
	get leadsElsewhere(): boolean {
		return typeof this.client.processID === 'number' && Number(this.backend) !== this.client.processID
	}

	/** Listens to these channels, and learns whose session it is. An error of the server leaves the link as it was. */
	listen(channels: readonly string[], done: Done): void {
		this.#ask([...channels.map((channel) => `LISTEN ${quoted(channel)}`), whoAmI].join('; '), done)
	}

	/** Calls back when the server has taken note, or the link is gone. */
	unlisten(channel: string, done: Done): void {
		this.#ask(`UNLISTEN ${quoted(channel)}`, done)
	}

	/** Ends it, and closes its connection. */
	close(): void {
		if (this.#over) return
		this.#end()
		drop(this.#core, this.client)
	}

	/** One question after the other: pg takes but one at a time. */
	#ask(text: string, done: Done): void {
		this.#line.push(() =>
			this.#askNow(text, (error) => {
				this.#line.shift()
				done(error)
				this.#line[0]?.()
			}),
		)
		if (this.#line.length === 1) this.#line[0]?.()
	}

	/** Its answer comes within the time that a probe may take: a link without an answer is cut. */
	#askNow(text: string, done: Done): void {
		const { wakeUps } = this.#core.policy.scheduler
		const askedAtMs = this.#now()
		if (!this.#over) this.#limit = wakeUps.at(askedAtMs + this.#core.policy.endpoint.probeTimeoutMs, () => cut(this.client))
		send(this.client, text, undefined, (error, result) => {
			wakeUps.cancel(this.#limit)
			if (error !== null && error !== undefined) return done(error)
			this.heardUpToMs = askedAtMs
			const last = (Array.isArray(result) ? result.at(-1) : result) as { rows: { pid?: unknown }[] }
			const pid = last.rows[0]?.pid
			const moved = this.backend !== undefined && pid !== undefined && pid !== this.backend
			this.backend ??= pid
			if (moved) done(poolerError())
			else done()
			if (!this.#over) this.#checkLater()
		})
	}

	/** A link that is only listened to has nothing under way whose missing answer would show that it is silent. */
	#checkLater(): void {
		const { wakeUps } = this.#core.policy.scheduler
		wakeUps.cancel(this.#check)
		this.#check = wakeUps.at(this.heardUpToMs + this.#checkMs, () => {
			this.#ask(whoAmI, (error) => {
				if (error === undefined) this.proven = true
				else this.giveUp(error)
			})
		})
	}

	readonly #notified = (notification: Notification): void => this.#on.notified(notification)

	/** It is of no use any more: its connection is closed, and whoever keeps it told. */
	readonly giveUp = (error?: unknown): void => {
		if (this.#over) return
		this.#end()
		// As pg words it: a link that ends by itself says nothing.
		const cause = error ?? new Error('Connection terminated unexpectedly')
		if (!isAlive(this.client) || this.#core.breaks(cause)) settle(this.#core, this.client, cause, true)
		else drop(this.#core, this.client)
		this.#on.lost(cause)
	}

	#end(): void {
		this.#over = true
		const { wakeUps } = this.#core.policy.scheduler
		wakeUps.cancel(this.#check)
		// Its connection is closed, which is an answer as well.
		wakeUps.cancel(this.#limit)
		this.client.removeListener('notification', this.#notified)
		this.client.removeListener('error', this.giveUp)
		this.client.removeListener('end', this.giveUp)
	}

	#now(): number {
		return this.#core.policy.scheduler.clock.now()
	}
}
