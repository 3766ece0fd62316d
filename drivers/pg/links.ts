/** Which links under a pg pool's connections are dead? What the client knows of each, and what PostgreSQL says of its backend. */
import { type Host, KeepAlive, type Links, type Looking, type Presence, type Sight, type Sights } from '../../src/driver.ts'
import { cut } from './client.ts'
import { aim } from './hosts.ts'
import type { PgClient, PgPool } from './shape.ts'
import { activeQuery, isAlive, isBusy } from './state.ts'

/** The part of a socket that tells of the link. */
interface Socket {
	readonly bytesRead?: number
	readonly remoteAddress?: string
	isPaused?(): boolean
	setKeepAlive?(enable: boolean, initialDelayMs: number): unknown
}

/** pg's own options. */
interface KeepAliveOptions {
	readonly keepAlive?: boolean
	readonly keepAliveInitialDelayMillis?: number
}

const hasSession = ({ processID }: PgClient): boolean => processID !== null && processID !== undefined

const socketOf = (client: PgClient): Socket => (client.connection?.stream ?? {}) as Socket

export class PgLinks implements Links<PgClient> {
	readonly #pool: PgPool
	readonly #keepAlive = new KeepAlive<PgClient>()

	constructor(pool: PgPool) {
		this.#pool = pool
	}

	/** Not those of pg-native, whose sockets are out of reach. */
	connections(): PgClient[] {
		return this.#pool._clients.filter((client) => client.connection !== undefined && isAlive(client))
	}

	hostOf(client: PgClient): Host {
		const { host, port } = client.connectionParameters as Host
		return { host, port }
	}

	awaited(client: PgClient): object | undefined {
		if (!hasSession(client) || !isBusy(client) || socketOf(client).isPaused?.() === true) return undefined
		const query = activeQuery(client)
		const state = query?.cursor?.state ?? (query?.read === undefined ? undefined : query.state)
		// A cursor waits for its reader.
		if (state === 'idle' || state === 'initialized') return undefined
		return query ?? client
	}

	bytesRead(client: PgClient): number {
		return socketOf(client).bytesRead ?? 0
	}

	keepAlive(client: PgClient, on: boolean): void {
		const { keepAlive: enabled, keepAliveInitialDelayMillis: delayMs } = this.#pool.options as KeepAliveOptions
		this.#keepAlive.set(client, socketOf(client), on, { enabled, delayMs })
	}

	cut(client: PgClient, error: Error): void {
		cut(client, error)
	}

	look(all: readonly PgClient[], on: Looking<PgClient>): () => void {
		const clients = all.filter(hasSession)
		let client: PgClient | undefined
		let isOver = false
		const over = (error: unknown, sights: Sights<PgClient> | undefined) => {
			if (isOver) return
			isOver = true
			if (client !== undefined) close(client)
			on.done(error, sights)
		}
		try {
			client = new this.#pool.Client(this.#pool.options)
			const asking = client
			const [one] = clients
			// The name may lead elsewhere by now.
			const address = one && socketOf(one).remoteAddress
			if (one !== undefined && address !== undefined) aim(asking, { ...this.hostOf(one), address })
			asking.on('error', (error) => over(error, undefined))
			asking.connect((error) => {
				if (isOver) return
				if (error) return over(error, undefined)
				on.connected()
				asking.query(questionAfter(clients), undefined, (failed, result) => {
					if (failed !== null && failed !== undefined) over(failed, undefined)
					else over(undefined, sightsOf(asking, clients, (result as { rows: Row[] }).rows))
				})
			})
		} catch (error) {
			process.nextTick(over, error, undefined)
		}
		return () => {
			// A server that takes its time with a new connection is there.
			if (client !== undefined && this.bytesRead(client) > 0) over(undefined, undefined)
			// As pg words its own time limit.
			else over(new Error('timeout expired'), undefined)
		}
	}
}

/** Politely where that is possible: a cut would be a line in the server's log. */
function close(client: PgClient): void {
	if (client._queryable && !isBusy(client)) client.end(() => {})
	else cut(client)
}

/** As text, whatever the user has pg make of types. */
interface Row {
	readonly me: string
	readonly server: string
	readonly pid: string | null
	readonly state: string | null
	readonly event: string | null
	readonly quiet_ms: string | null
	readonly age_ms: string | null
}

// What is only just idle may have an answer under way.
const quietMs = 500

const questionAfter = (clients: readonly PgClient[]): string => `SELECT pg_backend_pid()::text AS me,
	concat_ws(' ', inet_server_addr(), inet_server_port(), pg_postmaster_start_time()) AS server,
	pid::text, state, wait_event AS event,
	(extract(epoch FROM clock_timestamp() - state_change) * 1000)::bigint::text AS quiet_ms,
	(extract(epoch FROM clock_timestamp() - backend_start) * 1000)::bigint::text AS age_ms
	FROM (SELECT 1) one LEFT JOIN pg_stat_activity ON pid IN (${clients.map(({ processID }) => Number(processID)).join(', ')})`

function sightsOf(asking: PgClient, clients: readonly PgClient[], rows: readonly Row[]): Sights<PgClient> | undefined {
	const [first] = rows
	// A pooler tells pids of its own in its handshakes.
	if (first === undefined || first.me !== String(asking.processID)) return undefined
	const rowOf = new Map(rows.map((row) => [row.pid, row]))
	const of = new Map<PgClient, Sight>()
	for (const client of clients) {
		// Those of a name with several addresses, or of before it was given to another machine.
		if (socketOf(client).remoteAddress !== socketOf(asking).remoteAddress) continue
		const row = rowOf.get(String(client.processID))
		if (row === undefined) of.set(client, { presence: 'missing' })
		else of.set(client, { presence: presenceIn(row), ...(row.age_ms !== null && { ageMs: Number(row.age_ms) }) })
	}
	return { server: first.server, of }
}

function presenceIn({ state, event, quiet_ms }: Row): Presence {
	const quiet = Number(quiet_ms ?? 0) >= quietMs
	if (state === 'active') return event === 'ClientWrite' && quiet ? 'blocked' : 'working'
	// With `track_activities` off the state is 'disabled'; that of another role's backend is not shown.
	return state?.startsWith('idle') && quiet ? 'idle' : 'hidden'
}
