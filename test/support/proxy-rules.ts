/** What can a test order the fault proxy to do with the bytes and messages that pass, and what is counted? */
import type { Message } from './protocol.ts'

export type Direction = 'toServer' | 'toClient'

/** `reset` sends RST (the peer sees ECONNRESET), `close` sends FIN. */
export type Cut = 'reset' | 'close'

/** A fault at a message. */
export interface InterceptRule {
	/** Who sends the message. */
	readonly from: 'client' | 'server'
	readonly match: (message: Message) => boolean
	/**
	 * `cut before`: the message is lost and the link is cut on both sides.
	 * `cut after`: the message is forwarded, then the link is cut; the server gets FIN so that it still reads a client's message.
	 * `swallow`: this message vanishes, the next ones pass. `black hole`: it vanishes, and so does all that follows on that link in that direction.
	 * `pass`: nothing, for the sake of `onHit`.
	 */
	readonly action: 'cut before' | 'cut after' | 'swallow' | 'black hole' | 'pass'
	/** What the client sees of a cut. Default `reset`. */
	readonly how?: Cut
	/** How many messages it hits. Default 1. */
	readonly times?: number
	/** Runs at the hit; the message and all behind it wait for its promise. `onHit: () => server.kill()` kills at exactly that message. */
	readonly onHit?: (message: Message) => void | Promise<void>
}

/** A rule in force. */
export interface Intercept {
	/** How many messages it has hit. */
	readonly hits: number
	/** Takes it back. */
	remove(): void
}

/** What passed through the proxy, without what was lost. */
export interface Seen {
	/** Statements that the server was told to run: the SQL text and how often. */
	readonly statements: ReadonlyMap<string, number>
	/** Command tags that reached the client, and how often. */
	readonly tags: ReadonlyMap<string, number>
	/** Bytes that vanished in a black hole or behind one. */
	readonly lostBytes: Readonly<Record<Direction, number>>
	/** How many statements the server was told to run whose text begins with `prefix` (case and leading blanks do not matter). */
	statementsLike(prefix: string): number
}

/** The rules and switches that all links of one proxy look at. */
export class Orders {
	/** Which directions are black holes now. */
	readonly swallowing = { toServer: false, toClient: false }
	/** Milliseconds that bytes take, by direction. */
	readonly delayMs = { toServer: 0, toClient: 0 }
	/** Cuts by bytes for links to come, first come first served. */
	readonly byteCuts: { direction: Direction; bytes: number; how: Cut }[] = []
	readonly #rules = new Set<{ rule: InterceptRule; hits: number }>()
	readonly statements = new Map<string, number>()
	readonly tags = new Map<string, number>()
	readonly lostBytes = { toServer: 0, toClient: 0 }

	add(rule: InterceptRule): Intercept {
		const entry = { rule, hits: 0 }
		this.#rules.add(entry)
		return {
			get hits() {
				return entry.hits
			},
			remove: () => void this.#rules.delete(entry),
		}
	}

	/** The first rule in force that the message hits; the hit is counted. */
	hit(from: InterceptRule['from'], message: Message): InterceptRule | undefined {
		for (const entry of this.#rules) {
			if (entry.rule.from !== from || entry.hits >= (entry.rule.times ?? 1) || !entry.rule.match(message)) continue
			entry.hits++
			return entry.rule
		}
		return undefined
	}

	forgetCounts(): void {
		this.statements.clear()
		this.tags.clear()
		this.lostBytes.toServer = 0
		this.lostBytes.toClient = 0
	}

	get seen(): Seen {
		const { statements, tags, lostBytes } = this
		return {
			statements,
			tags,
			lostBytes,
			statementsLike(prefix) {
				const wanted = prefix.toLowerCase()
				let count = 0
				for (const [text, times] of statements) if (text.trimStart().toLowerCase().startsWith(wanted)) count += times
				return count
			},
		}
	}
}

export const countOne = (counts: Map<string, number>, key: string) => counts.set(key, (counts.get(key) ?? 0) + 1)
