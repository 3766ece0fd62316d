/** How does a test put a bad wire between a pool and its server? A TCP proxy that refuses, resets, cuts, delays and loses on order. */
import { once } from 'node:events'
import { createServer, type Server, type Socket } from 'node:net'
import { freePort } from './free-port.ts'
import { mysqlConversation } from './mysql-frames.ts'
import { postgresConversation } from './postgres-frames.ts'
import { type Conversation, rawConversation } from './protocol.ts'
import { type Link, openLink, reset } from './proxy-link.ts'
import { type Cut, type Direction, type Intercept, type InterceptRule, Orders, type Seen } from './proxy-rules.ts'

export type { Cut, Direction, Intercept, InterceptRule, Seen } from './proxy-rules.ts'

const conversations = { postgres: postgresConversation, mysql: mysqlConversation, raw: rawConversation } satisfies Record<
	string,
	() => Conversation
>

export interface ProxyOptions {
	readonly target: { readonly host: string; readonly port: number }
	/** Where it listens. Default: a free port of 127.0.0.1. */
	readonly listenAt?: { readonly host: string; readonly port?: number }
	/** How to read messages; `mysql` is MariaDB's, too. Default `postgres`. */
	readonly protocol?: keyof typeof conversations
}

/** A proxy on 127.0.0.1. Orders hold for all present and future links unless said otherwise. */
export interface FaultProxy {
	readonly host: string
	readonly port: number
	/** Connections that reached the proxy. While it refuses, the system turns them away and nobody counts. */
	readonly attempts: number
	/** Connections open on the client's side. */
	readonly openConnections: number
	/** Connections that were accepted and are neither closed nor ready for their first statement. */
	readonly inFlightAttempts: number
	readonly maxInFlightAttempts: number
	/** `performance.now()` of each attempt. */
	readonly attemptTimes: readonly number[]
	readonly seen: Seen
	/** Sets attempts, times, `seen` and the maximum (to the present number in flight) back. */
	resetCounters(): void
	/** Stops listening: ECONNREFUSED. Links live on. In force when the call returns. */
	refuse(): void
	/** Listens again on the same port and lets connections through, whatever was ordered before for new ones. */
	accept(): Promise<void>
	/** Accepts new connections, counts them and resets them at once. */
	rejectConnections(): Promise<void>
	/** Accepts new connections and never answers; they stay so. */
	hangConnections(): Promise<void>
	/** RST on both sides of all links. */
	resetAll(): void
	/** FIN on both sides of all links. */
	closeAll(): void
	/**
	 * A black hole: bytes and ends of stream vanish and the sockets stay open. A link that lost something stays a black hole in
	 * that direction after the switch is off; if an end of stream was lost, the link is reset then.
	 */
	swallow(direction: Direction | 'both', on: boolean): void
	/** Bytes take that much longer from now on; 0 is off. */
	delay(direction: Direction | 'both', ms: number): void
	/** The next `links` (default 1) new links are cut after exactly `bytes` bytes in that direction. */
	cutAfterBytes(direction: Direction, bytes: number, how: Cut, links?: number): void
	/** Acts on messages; see `InterceptRule`. The first rule that matches wins. */
	intercept(rule: InterceptRule): Intercept
	/** Where new links lead from now on. */
	pointAt(target: ProxyOptions['target']): void
	/** Stops listening and drops all links. Safe to call twice. */
	close(): Promise<void>
}

/** Starts a proxy on a free port of 127.0.0.1. When the target refuses a connection, the client's is reset. */
export async function startProxy(options: ProxyOptions): Promise<FaultProxy> {
	const proxy = new TcpProxy(options, options.listenAt?.port ?? (await freePort()))
	await proxy.accept()
	return proxy
}

const hearsWithinMs = 20

class TcpProxy implements FaultProxy {
	readonly host: string
	attempts = 0
	openConnections = 0
	inFlightAttempts = 0
	maxInFlightAttempts = 0
	attemptTimes: number[] = []
	#listener: Server | undefined
	#mode: 'forward' | 'reject' | 'hang' = 'forward'
	#target: ProxyOptions['target']
	readonly #converse: () => Conversation
	readonly #orders = new Orders()
	readonly #links = new Set<Link>()

	constructor(
		{ target, protocol = 'postgres', listenAt }: ProxyOptions,
		readonly port: number,
	) {
		this.host = listenAt?.host ?? '127.0.0.1'
		this.#target = target
		this.#converse = conversations[protocol]
	}

	get seen(): Seen {
		return this.#orders.seen
	}

	resetCounters(): void {
		this.attempts = 0
		this.attemptTimes = []
		this.maxInFlightAttempts = this.inFlightAttempts
		this.#orders.forgetCounts()
	}

	refuse(): void {
		this.#listener?.close()
		this.#listener = undefined
	}

	accept = () => this.#listen('forward')
	rejectConnections = () => this.#listen('reject')
	hangConnections = () => this.#listen('hang')

	async #listen(mode: 'forward' | 'reject' | 'hang'): Promise<void> {
		this.#mode = mode
		if (this.#listener) return
		const listener = createServer({ allowHalfOpen: true, noDelay: true }, (client) => this.#admit(client))
		this.#listener = listener
		listener.listen(this.port, this.host)
		await once(listener, 'listening')
	}

	#admit(client: Socket): void {
		this.attempts++
		this.attemptTimes.push(performance.now())
		this.openConnections++
		this.inFlightAttempts++
		let inFlight = true
		const count = () => {
			if (inFlight) this.maxInFlightAttempts = Math.max(this.maxInFlightAttempts, this.inFlightAttempts)
		}
		// Not at once: a busy process hears of a new connection before it hears that the one before was given up.
		setTimeout(count, hearsWithinMs).unref()
		const arrived = () => {
			count()
			if (inFlight) this.inFlightAttempts--
			inFlight = false
		}
		const givenUp = () => {
			if (inFlight) this.inFlightAttempts--
			inFlight = false
		}
		client.on('error', () => {})
		client.on('end', givenUp)
		const link: Link =
			this.#mode === 'forward'
				? openLink({
						client,
						target: this.#target,
						conversation: this.#converse(),
						orders: this.#orders,
						onReady: arrived,
						onGone: () => this.#links.delete(link),
					})
				: deadEnd(client, () => this.#links.delete(link))
		this.#links.add(link)
		client.on('close', () => {
			arrived()
			this.openConnections--
		})
		if (this.#mode === 'reject') link.cut('reset')
	}

	resetAll(): void {
		for (const link of this.#links) link.cut('reset')
	}

	closeAll(): void {
		for (const link of this.#links) link.cut('close')
	}

	swallow(direction: Direction | 'both', on: boolean): void {
		for (const one of both(direction)) this.#orders.swallowing[one] = on
		if (!on) for (const link of this.#links) link.healed()
	}

	delay(direction: Direction | 'both', ms: number): void {
		for (const one of both(direction)) this.#orders.delayMs[one] = ms
	}

	cutAfterBytes(direction: Direction, bytes: number, how: Cut, links = 1): void {
		for (let i = 0; i < links; i++) this.#orders.byteCuts.push({ direction, bytes, how })
	}

	intercept(rule: InterceptRule): Intercept {
		return this.#orders.add(rule)
	}

	pointAt(target: ProxyOptions['target']): void {
		this.#target = target
	}

	async close(): Promise<void> {
		this.refuse()
		await Promise.all([...this.#links].map((link) => link.destroy()))
	}
}

/** A link that leads nowhere. */
function deadEnd(client: Socket, onGone: () => void): Link {
	const gone = once(client, 'close').then(onGone)
	// The end of the client's stream is only noticed by somebody who reads.
	client.resume()
	client.on('end', () => client.end())
	return {
		cut: (how) => (how === 'close' ? client.end() : reset(client)),
		healed: () => {},
		async destroy() {
			client.destroy()
			await gone
		},
	}
}

const both = (direction: Direction | 'both'): Direction[] => (direction === 'both' ? ['toServer', 'toClient'] : [direction])
