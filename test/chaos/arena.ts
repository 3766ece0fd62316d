/** Where does a chaos run take place? A real server, a proxy in front of it, and the record of what was done to both. */
import { setTimeout as sleep } from 'node:timers/promises'
import type { FinalState } from '../history/history.ts'
import { type PostgresServer, startPostgres } from '../support/postgres.ts'
import { type FaultProxy, startProxy } from '../support/proxy.ts'
import { until } from '../support/until.ts'
import { type FaultKind, faultKinds } from './plan.ts'
import { schema, startAgain } from './sql.ts'

/** A fault that has struck. */
export interface Struck {
	readonly kind: FaultKind
	readonly fromMs: number
	readonly toMs: number
}

export interface ArenaOptions {
	/** Milliseconds by which the server's replies are late: so many commits are durable and not answered yet. */
	readonly replyMs: number
	readonly fsync: boolean
}

const applicationName = 'chaos'
// Deadlocks are looked for soon, for there are many. Without sequential scans a transaction locks the rows that it reads and not the
// whole table (PostgreSQL manual, "Serializable Isolation Level").
const settings = { deadlock_timeout: '30ms', enable_seqscan: 'off', enable_bitmapscan: 'off' }

export class Arena {
	readonly server: PostgresServer
	readonly proxy: FaultProxy
	readonly replyMs: number
	/** Whether the server is meant to be there. */
	up = true
	/** Whether the workers are sent to the same two lists. */
	crossing = false
	readonly struck: Struck[] = []
	#door: Promise<void> = Promise.resolve()
	readonly counts = new Map<FaultKind, number>(faultKinds.map(({ kind }) => [kind, 0]))

	private constructor(server: PostgresServer, proxy: FaultProxy, replyMs: number) {
		this.server = server
		this.proxy = proxy
		this.replyMs = replyMs
	}

	static async open({ replyMs, fsync }: ArenaOptions): Promise<Arena> {
		const server = await startPostgres({ major: 18, settings: { ...settings, fsync: fsync ? 'on' : 'off' } })
		try {
			await server.query(schema)
			const arena = new Arena(server, await startProxy({ target: server }), replyMs)
			arena.heal()
			return arena
		} catch (error) {
			await server.dispose()
			throw error
		}
	}

	/** How a client reaches the server: through the proxy. */
	get config() {
		return { ...this.server.config(), host: this.proxy.host, port: this.proxy.port, application_name: applicationName }
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
		await this.server.query(startAgain)
		this.struck.length = 0
	}

	/** What stands there once every backend of the workers is gone: nothing can be added after this. */
	async finalState(): Promise<FinalState> {
		const mine = `from pg_stat_activity where application_name = '${applicationName}'`
		await until(
			async () => {
				const left = await this.server.query(`select pg_terminate_backend(pid) ${mine}`)
				return left.length === 0
			},
			{ what: 'the backends of the workers to be gone', timeoutMs: 20_000, everyMs: 20 },
		)
		const lists = await this.server.query<{ id: number; elements: number[] }>('select id, elements from list')
		const accounts = await this.server.query<{ id: number; cents: number }>('select id, cents from account')
		return {
			lists: new Map(lists.map(({ id, elements }) => [id, elements])),
			accounts: new Map(accounts.map(({ id, cents }) => [id, cents])),
		}
	}

	/** The process id of some session of the workers, busy ones first. */
	async somebody(nth: number): Promise<number | undefined> {
		const rows = await this.server.query<{ pid: number }>(
			`select pid from pg_stat_activity where application_name = '${applicationName}' order by state = 'idle', query_start`,
		)
		return rows[nth % Math.max(1, rows.length)]?.pid
	}

	async close(): Promise<void> {
		// Node.js never tells that a socket is closed whose reset came while it was shutting down: the proxy may wait for it in vain.
		await Promise.race([this.proxy.close(), sleep(2_000)])
		await this.server.dispose()
	}
}
