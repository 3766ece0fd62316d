/** Who is in our way while we wait for a lock? Seen from a second session, for the first one waits. */
import type { Connections } from './connections.ts'
import type { Blocker } from './errors.ts'
import type { Server } from './server.ts'
import type { Connection } from './shape.ts'

/** A second session that looks at locks while the first one waits. It is opened once, and done without where it cannot be had. */
export class Lookout {
	readonly #connections: Connections
	readonly #server: () => Server
	#session: Promise<Connection | undefined> | undefined
	#busy = false

	constructor(connections: Connections, server: () => Server) {
		this.#connections = connections
		this.#server = server
	}

	get server(): Server {
		return this.#server()
	}

	/** Opens the session ahead of need. Resolves when it is there, or cannot be had. */
	async prepare(): Promise<void> {
		this.#session ??= this.#connections.session().catch(() => undefined)
		await this.#session
	}

	async blockersOf(waiting: Connection): Promise<readonly Blocker[]> {
		// The server answers late where it is busy; questions must not pile up.
		if (this.#busy) return []
		this.#busy = true
		try {
			return await this.#asked((session) => this.#server().blockersOf(session, waiting), [])
		} finally {
			this.#busy = false
		}
	}

	remaining(blockers: readonly Blocker[]): Promise<readonly Blocker[]> {
		return this.#asked((session) => this.#server().remaining(session, blockers), [])
	}

	async #asked<T>(question: (session: Connection) => Promise<T>, unknown: T): Promise<T> {
		await this.prepare()
		const session = await this.#session
		if (session === undefined) return unknown
		try {
			return await question(session)
		} catch {
			// A lost session, or a role that may not look. The run goes on by the schedule alone.
			if (!this.#connections.isAlive(session)) this.close()
			return unknown
		}
	}

	close(): void {
		this.#session?.then((session) => session && this.#connections.close(session))
		this.#session = undefined
	}
}
