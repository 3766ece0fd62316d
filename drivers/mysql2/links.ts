/** Which links under a mysql2 pool's connections are dead? What the connection knows of each, and what the server says of its thread. */
import { type Host, KeepAlive, type Links, type Looking, type Presence, type Sight, type Sights } from '../../src/driver.ts'
import { cut, execute } from './client.ts'
import type { ConnectionConfig, Mysql2Connection, Mysql2Pool } from './shape.ts'
import { isAlive } from './state.ts'

/** The part of a socket that tells of the link. */
interface Socket {
	readonly bytesRead?: number
	readonly remoteAddress?: string
	setKeepAlive?(enable: boolean, initialDelayMs: number): unknown
}

/** A connection outside the pool. */
interface OwnConnection extends Mysql2Connection {
	connect(callback: (error?: unknown) => void): void
	end(): void
}

type ConnectionClass = new (options: { config: ConnectionConfig }) => OwnConnection

/** mysql2's own options. */
interface KeepAliveOptions {
	readonly enableKeepAlive?: boolean
	readonly keepAliveInitialDelay?: number
}

const hasSession = (connection: Mysql2Connection): boolean => (connection as { authorized?: boolean }).authorized === true

const socketOf = (connection: Mysql2Connection): Socket => connection.stream as Socket

export class Mysql2Links implements Links<Mysql2Connection> {
	readonly #pool: Mysql2Pool
	readonly #keepAlive = new KeepAlive<Mysql2Connection>()

	constructor(pool: Mysql2Pool) {
		this.#pool = pool
	}

	connections(): Mysql2Connection[] {
		const all = this.#pool._allConnections
		const found: Mysql2Connection[] = []
		for (let at = 0; at < all.length; at++) {
			const connection = all.get(at)
			if (connection !== undefined && isAlive(connection)) found.push(connection)
		}
		return found
	}

	hostOf({ config: { host, port } }: Mysql2Connection): Host {
		return { host, port }
	}

	/** A stream that is not read fast enough has paused its connection. */
	awaited(connection: Mysql2Connection): object | undefined {
		return connection._paused || !hasSession(connection) ? undefined : (connection._command ?? undefined)
	}

	bytesRead(connection: Mysql2Connection): number {
		return socketOf(connection).bytesRead ?? 0
	}

	keepAlive(connection: Mysql2Connection, on: boolean): void {
		const { enableKeepAlive: enabled, keepAliveInitialDelay: delayMs } = connection.config as KeepAliveOptions
		this.#keepAlive.set(connection, socketOf(connection), on, { enabled, delayMs })
	}

	cut(connection: Mysql2Connection, error: Error): void {
		cut(connection, error)
	}

	look(all: readonly Mysql2Connection[], on: Looking<Mysql2Connection>): () => void {
		const connections = all.filter(hasSession)
		let connection: OwnConnection | undefined
		let isOver = false
		const over = (error: unknown, sights: Sights<Mysql2Connection> | undefined) => {
			if (isOver) return
			isOver = true
			if (connection !== undefined) close(connection, error !== undefined)
			on.done(error, sights)
		}
		try {
			const asking = connectLike(connections[0] as Mysql2Connection)
			connection = asking
			asking.on('error', (error) => over(error, undefined))
			asking.connect((error) => {
				if (isOver) return
				if (error) return over(error, undefined)
				on.connected()
				ask(asking, connections).then(
					(sights) => over(undefined, sights),
					(failed: unknown) => over(failed, undefined),
				)
			})
		} catch (error) {
			process.nextTick(over, error, undefined)
		}
		return () => {
			// A server that takes its time with a new connection is there.
			if (connection !== undefined && this.bytesRead(connection) > 0) over(undefined, undefined)
			// As mysql2 words its own time limit.
			else over(Object.assign(new Error('connect ETIMEDOUT'), { code: 'ETIMEDOUT', syscall: 'connect' }), undefined)
		}
	}
}

/** Opens a connection to the very address that this one leads to: the name may lead elsewhere by now. */
function connectLike(one: Mysql2Connection): OwnConnection {
	// The class of mysql2's plain connections, which is the one above that of a pool's connections.
	const Connection = Object.getPrototypeOf(one.constructor) as ConnectionClass
	const { remoteAddress } = socketOf(one)
	if (remoteAddress === undefined) return new Connection({ config: one.config })
	const config = Object.create(one.config, { host: { value: remoteAddress, writable: true } })
	const connection = new Connection({ config })
	// The certificate is for the name, and TLS begins later.
	config.host = one.config.host
	return connection
}

/** Politely where that is possible: an aborted connection is a line in the server's log. */
function close(connection: OwnConnection, failed: boolean): void {
	if (failed || connection._command) connection.stream.destroy()
	else connection.end()
}

interface ThreadRow {
	readonly me: unknown
	readonly server: string
	readonly id: unknown
	readonly command: string | null
	readonly seconds: unknown
}

async function ask(asking: OwnConnection, connections: readonly Mysql2Connection[]): Promise<Sights<Mysql2Connection> | undefined> {
	const ids = connections.map(({ threadId }) => Number(threadId)).join(', ')
	const rows = (await execute(
		asking,
		`SELECT CONNECTION_ID() AS me, CONCAT_WS(' ', @@hostname, @@port, @@server_id) AS server, ID AS id, COMMAND AS command, TIME AS seconds
			FROM (SELECT 1) one LEFT JOIN information_schema.PROCESSLIST ON ID IN (${ids})`,
	)) as ThreadRow[]
	const [first] = rows
	// A proxy tells ids of its own in its handshakes.
	if (first === undefined || String(first.me) !== String(asking.threadId)) return undefined
	const [uptime] = (await execute(asking, "SHOW GLOBAL STATUS LIKE 'Uptime'")) as Array<{ Value: unknown }>
	// Whole seconds, and no connection is older than its server.
	const ageMs = uptime === undefined ? undefined : (Number(uptime.Value) + 1) * 1_000
	const rowOf = new Map(rows.map((row) => [String(row.id), row]))
	const of = new Map<Mysql2Connection, Sight>()
	for (const connection of connections) {
		// Those of a name with several addresses, or of before it was given to another machine.
		if (socketOf(connection).remoteAddress !== socketOf(asking).remoteAddress) continue
		const row = rowOf.get(String(connection.threadId))
		// A user without the PROCESS privilege sees its own threads only, and `changeUser` has made this one another's.
		if (row === undefined && connection.config.user !== asking.config.user) continue
		of.set(connection, row === undefined ? { presence: 'missing' } : { presence: presenceIn(row), ageMs })
	}
	return { server: first.server, of }
}

// Where it has only just begun to wait, an answer may be under way.
const presenceIn = ({ command, seconds }: ThreadRow): Presence =>
	command !== 'Sleep' ? 'working' : Number(seconds) >= 1 ? 'idle' : 'hidden'
