/** What do the errors of Node's sockets, resolver and TLS mean? Rows by the name that Node gives in `code`. */
import type { ClassificationRow } from './table.ts'
import { connectTimeout, lost, refused, rejected, unresolved } from './verdicts.ts'

const errnos = 'Node.js manual, "Common system errors"; errno(3)'
const resolver = 'Node.js manual, "dns: Error codes"; getaddrinfo(3)'
const tls = 'Node.js manual, "tls: X509 certificate error codes"'
const internal = 'Node.js manual, "Node.js error codes"'
const noResource = { kind: 'resource_exhausted', scope: 'connection', outcome: 'not_sent', retryable: true } as const

const untrusted = [
	'CERT_HAS_EXPIRED',
	'CERT_NOT_YET_VALID',
	'CERT_REJECTED',
	'CERT_REVOKED',
	'CERT_SIGNATURE_FAILURE',
	'CERT_UNTRUSTED',
	'DEPTH_ZERO_SELF_SIGNED_CERT',
	'HOSTNAME_MISMATCH',
	'INVALID_CA',
	'INVALID_PURPOSE',
	'SELF_SIGNED_CERT_IN_CHAIN',
	'UNABLE_TO_GET_ISSUER_CERT',
	'UNABLE_TO_GET_ISSUER_CERT_LOCALLY',
	'UNABLE_TO_VERIFY_LEAF_SIGNATURE',
]

/** Rows for errors that come from Node itself. None of these codes is ever taken for a SQLSTATE, although EPIPE looks like one. */
export const nodeRows: readonly ClassificationRow[] = [
	{ code: 'ECONNREFUSED', ...refused, reason: 'nothing listens at the address', source: errnos },
	{
		code: 'ENOENT',
		phase: 'connect',
		...refused,
		reason: 'the socket file does not exist: no server runs there',
		source: 'connect(2), unix(7)',
	},
	{ code: 'ECONNRESET', ...lost, reason: 'the other side reset the connection', source: errnos },
	{
		code: 'ECONNRESET',
		also: ['HANDSHAKE_SSL_ERROR'], // what mysql2 makes of every error during the TLS handshake
		says: 'before secure TLS connection was established',
		...refused,
		kind: 'connection_lost',
		reason: 'the connection was closed during the TLS handshake',
		source: 'Node.js source, lib/_tls_wrap.js',
	},
	{ code: 'ECONNABORTED', ...lost, reason: 'the connection was aborted', source: errnos },
	{ code: 'EPIPE', ...lost, reason: 'the other side had closed the connection; earlier bytes may have arrived', source: errnos },
	{ code: 'ENOTCONN', ...lost, reason: 'the socket is no longer connected', source: errnos },
	{ code: 'ENETRESET', ...lost, reason: 'the network dropped the connection', source: errnos },
	{ code: 'ESHUTDOWN', ...lost, reason: 'the socket was shut down', source: errnos },
	{ code: 'ETIMEDOUT', ...lost, reason: 'the other side stopped answering on an established connection', source: errnos },
	{ code: 'ETIMEDOUT', phase: 'connect', ...connectTimeout, reason: 'no answer to the attempt to connect', source: errnos },
	{ code: 'EHOSTUNREACH', ...lost, reason: 'the host became unreachable', source: errnos },
	{ code: 'EHOSTUNREACH', phase: 'connect', ...connectTimeout, reason: 'the host cannot be reached', source: errnos },
	{ code: 'EHOSTDOWN', ...lost, reason: 'the host went down', source: errnos },
	{ code: 'EHOSTDOWN', phase: 'connect', ...connectTimeout, reason: 'the host is down', source: errnos },
	{ code: 'ENETUNREACH', ...lost, reason: 'the network became unreachable', source: errnos },
	{ code: 'ENETUNREACH', phase: 'connect', ...connectTimeout, reason: 'the network cannot be reached', source: errnos },
	{ code: 'ENETDOWN', ...lost, reason: 'the network went down', source: errnos },
	{ code: 'ENETDOWN', phase: 'connect', ...connectTimeout, reason: 'the network is down', source: errnos },
	{ code: 'ERR_SOCKET_CONNECTION_TIMEOUT', ...connectTimeout, reason: 'no address of the host answered in time', source: internal },
	{ code: 'ERR_STREAM_DESTROYED', ...lost, reason: 'the socket had been destroyed; earlier bytes may have arrived', source: internal },
	{ code: 'ERR_STREAM_WRITE_AFTER_END', ...lost, reason: 'the socket had been closed; earlier bytes may have arrived', source: internal },
	{ code: 'ERR_STREAM_PREMATURE_CLOSE', ...lost, reason: 'the stream was closed before its end', source: internal },
	{ code: 'ERR_SOCKET_CLOSED', ...lost, reason: 'the socket had been closed', source: internal },
	{ code: 'EADDRNOTAVAIL', ...noResource, reason: 'no local port is free for one more connection', source: errnos },
	{ code: 'EMFILE', ...noResource, reason: 'this process has too many files and sockets open', source: errnos },
	{ code: 'ENFILE', ...noResource, reason: 'this machine has too many files and sockets open', source: errnos },
	{ code: 'ENOBUFS', ...noResource, outcome: 'unknown', reason: 'this machine has no buffer space left', source: errnos },
	{ code: 'EACCES', phase: 'connect', ...rejected, reason: 'this process may not connect there', source: errnos },
	{ code: 'EPERM', phase: 'connect', ...rejected, reason: 'a local rule forbids this connection', source: errnos },
	{ code: 'ENOTFOUND', ...unresolved, reason: 'the name of the host does not resolve', source: resolver },
	{ code: 'EAI_AGAIN', ...unresolved, reason: 'the name server has no answer for now', source: resolver },
	{ code: 'EAI_NODATA', ...unresolved, reason: 'the name has no address', source: resolver },
	{ code: 'EAI_FAIL', ...unresolved, reason: 'the name server failed', source: resolver },
	{ code: 'ENODATA', ...unresolved, reason: 'the name has no address', source: resolver },
	{ code: 'ESERVFAIL', ...unresolved, reason: 'the name server failed', source: resolver },
	{ code: 'ETIMEOUT', ...unresolved, reason: 'the name server did not answer in time', source: resolver },
	{ code: 'EREFUSED', ...unresolved, reason: 'the name server refused to answer', source: resolver },
	{ prefix: 'ERR_SSL_', ...rejected, reason: 'the TLS handshake failed', source: internal },
	{ prefix: 'ERR_TLS_', ...rejected, reason: 'the TLS settings or the certificate do not fit', source: internal },
	...untrusted.map((code) => ({ code, ...rejected, reason: 'the certificate of the server is not trusted', source: tls })),
]
