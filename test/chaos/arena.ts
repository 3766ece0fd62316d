/** Where does a chaos run take place? A real server, a proxy in front of it, and the record of what was done to both. */
import { setTimeout as sleep } from 'node:timers/promises'
import type { FinalState } from '../history/history.ts'
import { type FaultProxy, startProxy } from '../support/proxy.ts'
import { until } from '../support/until.ts'
import { type ChaosServer, type Database, openDatabase, type ServerName } from './database.ts'
import { type FaultKind, faultKinds } from './plan.ts'

/** A fault that has struck. */
export interface Struck {
	readonly kind: FaultKind
	readonly fromMs: number
	readonly toMs: number
}

export interface ArenaOptions {
	readonly server: ServerName
	/** Milliseconds by which the server's replies are late: so many commits are durable and not answered yet. */
	readonly replyMs: number
	readonly fsync: boolean
}

export class Arena {
	readonly database: Database
	readonly server: ChaosServer
	readonly proxy: FaultProxy
	readonly replyMs: number
	/** Whether the server is meant to be there. */
	up = true
	/** Whether the workers are sent to the same two lists. */
	crossing = false
	readonly struck: Struck[] = []
	#door: Promise<void> = Promise.resolve()
	readonly counts = new Map<FaultKind, number>(faultKinds.map(({ kind }) => [kind, 0]))

	private constructor(database: Database, proxy: FaultProxy, replyMs: number) {
		this.database = database
		this.server = database.server
		this.proxy = proxy
		this.replyMs = replyMs
	}

	static async open({ server, replyMs, fsync }: ArenaOptions): Promise<Arena> {
		const database = await openDatabase(server, fsync)
		try {
			await database.layOut()
			const { protocol, server: target } = database
			const arena = new Arena(database, await startProxy({ target, protocol }), replyMs)
			arena.heal()
			return arena
		} catch (error) {
			await database.server.dispose()
			throw error
		}
	}

	record(kind: FaultKind, fromMs: number): void {
		this.counts.set(kind, (this.counts.get(kind) ?? 0) + 1)
		this.struck.push({ kind, fromMs, toMs: performance.now() })
	}

	/**
	 * Lets connections in, or turns them away. One after the other: a listener that is closed while it is only about to listen would
	 * neither say so nor stay closed.
	 */
	openDoor(open: boolean): Promise<void> {
		this.#door = this.#door.then(() => (open ? this.proxy.accept() : this.proxy.refuse()))
		return this.#door
	}

	/** Back to a link that is only a little slow. */
	heal(): void {
		this.proxy.swallow('both', false)
		this.proxy.delay('toServer', 0)
		this.proxy.delay('toClient', this.replyMs)
	}

	/** Empties the lists and gives every account the same again. */
	async startAgain(): Promise<void> {
		await this.database.startAgain()
		this.struck.length = 0
	}

	/** What stands there once every session of the workers is gone: nothing can be added after this. */
	async finalState(): Promise<FinalState> {
		await until(
			async () => {
				const left = await this.database.sessions()
				for (const session of left) await this.database.end(session, 'session')
				return left.length === 0
			},
			{ what: 'the sessions of the workers to be gone', timeoutMs: 20_000, everyMs: 20 },
		)
		return this.database.finalState()
	}

	/** Some session of the workers, busy ones first. */
	async somebody(nth: number): Promise<number | undefined> {
		const sessions = await this.database.sessions()
		return sessions[nth % Math.max(1, sessions.length)]
	}

	async close(): Promise<void> {
		// Node.js never tells that a socket is closed whose reset came while it was shutting down: the proxy may wait for it in vain.
		await Promise.race([this.proxy.close(), sleep(2_000)])
		await this.server.dispose()
	}
}
