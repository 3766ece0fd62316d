/** What must a driver tell about the links under its pool's connections, so that the core can find out which of them are dead? */
import type { Host } from '../hosts/host.ts'

/** What the server says of one connection. */
export type Presence =
	/** It has no such connection. */
	| 'missing'
	/** It works on a command that came over it. */
	| 'working'
	/** It waits for a command: whatever was sent has not arrived, or its answer has left already. */
	| 'idle'
	/** It waits until its answer is taken off its hands. */
	| 'blocked'
	/** It does not tell. */
	| 'hidden'

export interface Sight {
	readonly presence: Presence
	/** How long the server has had the connection of this name at most; undefined where it does not tell. After a restart names are used again. */
	readonly ageMs?: number | undefined
}

/** What a server says of connections, asked over another one. */
export interface Sights<C extends object> {
	/** Tells servers apart that answer at the same address. */
	readonly server: string
	/** Those that it says nothing of, because they lead elsewhere, are left out. */
	readonly of: ReadonlyMap<C, Sight>
}

/** Who hears of a look. */
export interface Looking<C extends object> {
	/** There is a session: the server can be reached. */
	connected(): void
	/**
	 * Called once. Without an error and without sights the server answers, but does not tell of our connections: it takes its time, or a
	 * pooler stands in between.
	 */
	done(error: unknown, sights: Sights<C> | undefined): void
}

/** The links of one pool. */
export interface Links<C extends object> {
	/** The pool's connections, those that are being made included. */
	connections(): Iterable<C>
	/** The server that it was made to, by the name that the user has given. */
	hostOf(connection: C): Host
	/**
	 * The command whose answer the connection waits for, the same object as long as it is the same command; undefined where it waits for none,
	 * and while it has no session yet.
	 */
	awaited(connection: C): object | undefined
	/** Bytes that have come over it so far. */
	bytesRead(connection: C): number
	/** Has the system ask the other side whether it still knows the link, or leaves it at what the user has set. May be called again and again. */
	keepAlive(connection: C, on: boolean): void
	/** Asks the server of these connections, one or more, after those with a session, over a new one that is closed again. Returns the function that gives it up: `done` follows. */
	look(connections: readonly C[], on: Looking<C>): () => void
	/** Cuts the link at once; whatever runs on it fails with the error. */
	cut(connection: C, error: Error): void
}
