/** How does a pg pool open a connection at one of several hosts, and hear what the server is before anybody gets to see it? */
import type { HostAddress, ServerRole } from '../../src/driver.ts'
import { cut, send } from './client.ts'
import type { PgClient, PgClientClass, PgPool, QueryCallback } from './shape.ts'
import { sqlstateOf } from './witness.ts'

/** Says no to a server that is not wanted. */
type Suits = (role: ServerRole) => boolean

// Who connects read-only by the pool's own settings, or those of its role, has asked for it: to them a server that takes writes is a primary.
const roleText = `SELECT CASE WHEN pg_is_in_recovery() THEN 'replica'
	WHEN current_setting('transaction_read_only') = 'on' AND (SELECT source FROM pg_catalog.pg_settings
		WHERE name = 'default_transaction_read_only') NOT IN ('client', 'user', 'database user', 'session') THEN 'read-only'
	ELSE 'primary' END, current_setting('transaction_read_only')`

/** Has `make` open its connection there (at the pool's own address where that is undefined). The pool hears of it once the server suits. */
export function openThere(pool: PgPool, at: HostAddress | undefined, suits: Suits, make: () => void): void {
	const { Client } = pool
	// The pool makes its clients by `new this.Client(options)`, at once: nobody else meets the stand-in.
	const standIn = function standIn(options: unknown): PgClient {
		const client = new Client(options)
		if (at !== undefined) aim(client, at)
		askBeforehand(client, suits)
		return client
	}
	const own = pool as { Client: PgClientClass }
	own.Client = standIn as unknown as PgClientClass
	try {
		make()
	} finally {
		own.Client = Client
	}
}

/** The rest of what the pool was made with (user, password, TLS) stays as it is. */
export function aim(client: PgClient, { host, port, address }: HostAddress): void {
	const isPath = host.startsWith('/')
	Object.assign(client, { host: address ?? host, port })
	// A password function is told these, and pg-native takes them from here.
	Object.assign(client.connectionParameters ?? {}, { host, port, isDomainSocket: isPath })
	const { connection } = client
	const ssl = connection?.ssl
	if (address === undefined || !connection || !ssl) return
	// The certificate is for the name. The key cannot be enumerated, so that it is in no log.
	const fields = ssl === true ? {} : Object.getOwnPropertyDescriptors(ssl)
	connection.ssl = Object.defineProperties({ servername: host }, fields)
}

/** Asks the server what it is when the handshake is done, before the pool's own events and hooks. */
function askBeforehand(client: PgClient, suits: Suits): void {
	const { connect } = client
	const asking: PgClient['connect'] = (callback) => {
		const refuse = (error: unknown) => {
			client.end(() => {})
			cut(client)
			callback(error)
		}
		connect.call(client, (error) => {
			if (error) return callback(error)
			askRole(client, (failed, role) => {
				if (role === undefined) refuse(failed)
				else if (suits(role)) callback()
				else refuse(new Error(`The server is not what is wanted: ${role}`))
			})
		})
	}
	Object.defineProperty(client, 'connect', { value: asking, configurable: true, writable: true })
}

/** Asks a connection what its server is. `writes`: what the session begins now may write, whatever was refused before. */
export function askRole(client: PgClient, done: (error: unknown, role: ServerRole | undefined, writes?: boolean) => void): void {
	const answered: QueryCallback = (error, result) => {
		// undefined_function: a server that only speaks the protocol has no replicas of this kind.
		if (sqlstateOf(error) === '42883') return done(undefined, 'primary')
		if (error !== null && error !== undefined) return done(error, undefined)
		const [[role, isReadOnly]] = (result as { rows: [[ServerRole, string]] }).rows
		done(undefined, role, isReadOnly === 'off')
	}
	send(client, { text: roleText, rowMode: 'array', types: asText }, undefined, answered)
}

// A pool may have parsers of its own for every type.
const asText = { getTypeParser: () => (value: unknown) => value }
