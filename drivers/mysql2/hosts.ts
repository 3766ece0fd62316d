/** How does a mysql2 pool open a connection at one of several hosts, and hear what the server is before anybody gets to see it? */
import type { HostAddress, ServerRole } from '../../src/driver.ts'
import { errnoOf } from './begin.ts'
import { execute } from './client.ts'
import { isOn, takesNoWrites, type Variables, variablesText } from './read-only.ts'
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

/**
 * Does something with a connection when the handshake is done, before the pool's own events and hooks. Where that rejects, `refuse` is all
 * that is told.
 */
export function beforehand(connection: Mysql2Connection, refuse: (error: unknown) => void, ask: () => Promise<void>): void {
	const listeners = connection.listeners('connect')
	connection.removeAllListeners('connect')
	connection.once('connect', (...handshake: unknown[]) => {
		ask().then(() => {
			for (const listener of listeners) listener.apply(connection, handshake)
		}, refuse)
	})
}

// ER_PARSE_ERROR: what only speaks the protocol; MySQL before 8.0.22 and MariaDB before 10.5, which have the old word only.
// ER_SPECIFIC_ACCESS_DENIED_ERROR: without the right to monitor replication.
const parseError = 1064
const denied = 1227

/**
 * Asks a connection what its server is. Rejects where the server cannot be used now. `isNew`: nobody has had it, so its session is as the
 * server made it, which counts; in an older one the settings of the session may be somebody's wish.
 */
export async function askRole(connection: Mysql2Connection, isNew: boolean): Promise<ServerRole> {
	const settings = await settingsOf(connection, isNew ? 'SESSION' : 'GLOBAL')
	if (isOn(settings.get('wsrep_on'))) {
		const [galera] = await rowsOf(connection, "SHOW GLOBAL STATUS LIKE 'wsrep_local_state'")
		if (galera !== undefined && Number(galera.Value) !== synced) throw notSynced(galera.Value)
	}
	if (!takesNoWrites(settings)) return 'primary'
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

async function settingsOf(connection: Mysql2Connection, whose: 'SESSION' | 'GLOBAL'): Promise<Variables> {
	const rows = await rowsOf(connection, variablesText(whose)).catch((error: unknown) => {
		if (errnoOf(error) === parseError) return []
		throw error
	})
	return new Map(rows.map(({ Variable_name: name, Value: value }) => [String(name), value]))
}

async function rowsOf(connection: Mysql2Connection, text: string): Promise<ReadonlyArray<Record<string, unknown>>> {
	return (await execute(connection, text)) as ReadonlyArray<Record<string, unknown>>
}
