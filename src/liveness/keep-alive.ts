/** How is the system told to ask the other side whether it still knows a link? By TCP keep-alive, sooner than by itself. */

// Node.js has the system ask ten times, a second apart (Node.js manual, "socket.setKeepAlive").
const soonMs = 1_000

// What Linux does where nothing else was said (tcp(7), tcp_keepalive_time).
const systemsDelayMs = 7_200_000

interface Socket {
	setKeepAlive?(enable: boolean, initialDelayMs: number): unknown
}

/** What the user has set for all connections of the pool. */
export interface OwnKeepAlive {
	readonly enabled: boolean | undefined
	readonly delayMs: number | undefined
}

/** Which connections the system was told about. */
export class KeepAlive<C extends object> {
	readonly #kept = new WeakSet<C>()

	/** Has the system ask soon, or leaves it at what the user has set. May be called again and again. */
	set(connection: C, socket: Socket, on: boolean, own: OwnKeepAlive): void {
		if (this.#kept.has(connection) === on) return
		if (on) this.#kept.add(connection)
		else this.#kept.delete(connection)
		socket.setKeepAlive?.(on || own.enabled === true, on ? soonMs : own.delayMs || systemsDelayMs)
	}
}
