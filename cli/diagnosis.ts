/** What does an error while connecting say of the database? By the kind of the fault, and where that says too little, by the code. */
import { classify, type Fault } from '../src/index.ts'
import { type State, stateOfKind } from './states.ts'

/** What was found, and what it was concluded from. */
export interface Diagnosis {
	readonly state: State
	readonly fault: Fault
	/** The driver's or the server's own words. */
	readonly message: string
}

interface Sign {
	readonly state: State
	/** A code, or how it begins (`ERR_TLS_…`). */
	readonly code?: RegExp
	/** A part of the text. */
	readonly says?: RegExp
	readonly source: string
}

// In this order: the first that fits. All its parts must fit.
const signs: readonly Sign[] = [
	{ state: 'tls', code: /^28000$/, says: /no encryption|SSL (on|off)/, source: 'PostgreSQL source, ClientAuthentication in auth.c' },
	{ state: 'tls', code: /^(ERR_SSL_|ERR_TLS_|CERT_|EPROTO$)/, source: 'Node.js manual, "Node.js error codes"' },
	{
		state: 'tls',
		code: /SELF_SIGNED|UNABLE_TO_(GET|VERIFY)|HOSTNAME_MISMATCH|INVALID_CA|INVALID_PURPOSE/,
		source: 'Node.js manual, "tls: X509 certificate error codes"',
	},
	{ state: 'tls', code: /^HANDSHAKE_(NO_SSL_SUPPORT|SSL_ERROR)$/, source: 'mysql2 3.24, lib/commands/client_handshake.js' },
	{ state: 'tls', code: /^ER_SECURE_TRANSPORT_REQUIRED$/, source: 'MySQL manual, require_secure_transport' },
	{
		state: 'tls',
		says: /does not support SSL|SSL connection|before secure TLS connection|certificate/i,
		source: 'pg 8.23, lib/connection.js',
	},
	{
		state: 'credentials',
		code: /^28(P01|000)$/,
		says: /password|role|authentication/i,
		source: 'PostgreSQL source, auth_failed in auth.c',
	},
	{ state: 'credentials', code: /^28P01$/, source: 'PostgreSQL manual, appendix A' },
	{ state: 'credentials', code: /^ER_ACCESS_DENIED(_NO_PASSWORD)?_ERROR$/, source: 'MySQL manual, "Server Error Message Reference"' },
	{ state: 'credentials', code: /^AUTH_SWITCH_PLUGIN_ERROR$/, source: 'mysql2 3.24, lib/commands/auth_switch.js' },
	{ state: 'credentials', says: /^SASL: /, source: 'pg 8.23, lib/crypto/sasl.js' },
	{ state: 'unknown database', code: /^(3D000|ER_BAD_DB_ERROR)$/, source: 'PostgreSQL manual, appendix A; MySQL manual' },
	{ state: 'unknown database', code: /^08P01$/, says: /no such database/, source: 'PgBouncer source, client.c' },
]

/** Says what the error means for the database. */
export function diagnose(error: unknown): Diagnosis {
	const fault = classify(error, { phase: 'connect' })
	const message = messageOf(error)
	const found = signs.find(({ code, says }) => (code?.test(fault.code ?? '') ?? true) && (says?.test(message) ?? true))
	return { state: found?.state ?? stateOfKind[fault.kind] ?? 'refused', fault, message }
}

/** Its own text. An AggregateError (one error for each address of a name) has none of its own. */
function messageOf(error: unknown): string {
	if (!(error instanceof Error)) return String(error)
	const several = error instanceof AggregateError ? error.errors.map(messageOf).join('; ') : ''
	return error.message || several || error.name
}
