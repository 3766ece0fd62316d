/** How does a mysql2 pool open a connection at one of several hosts, and hear what the server is before anybody gets to see it? */
import type { HostAddress, ServerRole } from '../../src/driver.ts'
import { errnoOf } from './begin.ts'
import { execute } from './client.ts'
import { isReadOnly, type ReadOnlyRow, readOnlyColumns } from './read-only.ts'
import type { ConnectionConfig, Mysql2Connection, Mysql2Pool } from './shape.ts'

/** Has `make` open its connection there. The rest of what the pool was made with (user, password, TLS) stays as it is. */
export function openThere(pool: Mysql2Pool, { host, port, address }: HostAddress, make: () => void): void {
	const config = pool.config as { connectionConfig: ConnectionConfig }
	const own = config.connectionConfig
	const isPath = host.startsWith('/')
	const there = {
		host: { value: address ?? host },
		port: { value: port },
		socketPath: { value: isPath ? host : undefined },
	}
	for (const field of Object.values(there)) Object.assign(field, { writable: true, enumerable: true, configurable: true })
	config.connectionConfig = Object.create(Object.getPrototypeOf(own), { ...Object.getOwnPropertyDescriptors(own), ...there })
	try {
		make()
	} finally {
		config.connectionConfig = own
	}
}

/** The certificate is for the name, and TLS begins later. */
export function nameAgain(connection: Mysql2Connection, { host, address }: HostAddress): void {
	if (address !== undefined) (connection.config as { host: string }).host = host
}

/** Asks the server what it is when the handshake is done, before the pool's own events and hooks; `refused` is then all that is told. */
export function askBeforehand(connection: Mysql2Connection, suits: (role: ServerRole) => boolean, refused: (error: unknown) => void): void {
	const listeners = connection.listeners('connect')
	connection.removeAllListeners('connect')
	connection.once('connect', (...handshake: unknown[]) => {
		askRole(connection).then(
			(role) => {
				if (!suits(role)) return refused(new Error(`The server is not what is wanted: ${role}`))
				for (const listener of listeners) listener.apply(connection, handshake)
			},
			(error: unknown) => refused(error),
		)
	})
}

// ER_UNKNOWN_SYSTEM_VARIABLE: what only speaks the protocol. ER_PARSE_ERROR: MySQL before 8.0.22 and MariaDB before 10.5 have the old word only.
// ER_SPECIFIC_ACCESS_DENIED_ERROR: without the right to monitor replication.
const unknownVariable = 1193
const parseError = 1064
const denied = 1227

/** Asks a connection what its server is. Rejects where the server cannot be used now. */
export async function askRole(connection: Mysql2Connection): Promise<ServerRole> {
	const readOnly = await rowsOf(connection, `SELECT ${readOnlyColumns}`).catch((error: unknown) => {
		if (errnoOf(error) === unknownVariable) return []
		throw error
	})
	const [galera] = await rowsOf(connection, "SHOW GLOBAL STATUS LIKE 'wsrep_local_state'")
	if (galera !== undefined && Number(galera.Value) !== synced) throw notSynced(galera.Value)
	if (!isReadOnly(readOnly[0] as ReadOnlyRow | undefined)) return 'primary'
	return (await follows(connection)) ? 'replica' : 'read-only'
}

/** Whether it follows another server. Where the user may not know, it is taken for what a server that takes no writes usually is. */
async function follows(connection: Mysql2Connection): Promise<boolean> {
	for (const word of ['REPLICA', 'SLAVE']) {
		try {
			return (await rowsOf(connection, `SHOW ${word} STATUS`)).length > 0
		} catch (error) {
			if (errnoOf(error) === denied) return true
			if (errnoOf(error) !== parseError) throw error
		}
	}
	return true
}

// "Node States" in Galera's documentation: the others are joining, or give their state to one that is.
const synced = 4

/** A node that is joining takes statements, or blocks them, as it comes: like one that refuses them it is passed over. */
function notSynced(state: unknown): Error {
	const message = `WSREP has not yet prepared node for application use: its state is ${String(state)}`
	return Object.assign(new Error(message), { code: 'ER_UNKNOWN_COM_ERROR', errno: 1047 })
}

async function rowsOf(connection: Mysql2Connection, text: string): Promise<ReadonlyArray<Record<string, unknown>>> {
	return (await execute(connection, text)) as ReadonlyArray<Record<string, unknown>>
}
