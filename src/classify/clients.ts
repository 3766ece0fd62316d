/** What do the errors mean that client libraries raise themselves? Most have no code and are known by their text alone. */
import type { ClassificationRow } from './table.ts'
import { cancelled, connectTimeout, doubtful, full, lost, lostBefore, misuse, refused, rejected, starting, stopping } from './verdicts.ts'

const pg = 'pg 8.23, lib/client.js'
const pgTls = 'pg 8.23, lib/connection.js'
const pgPool = 'pg-pool 3.14, index.js'
const mysql2 = 'mysql2 3.24, lib/base/connection.js'
const mysql2Query = 'mysql2 3.24, lib/commands/query.js'
const mysql2Pool = 'mysql2 3.24, lib/base/pool.js'
const mysql2Cluster = 'mysql2 3.24, lib/pool_cluster.js'
const mysql2Handshake = 'mysql2 3.24, lib/commands/client_handshake.js and auth_switch.js'
const libpq = 'PostgreSQL source, libpq: fe-connect.c and fe-misc.c, as pg-native passes it on'

const poolTimeout = { kind: 'pool_timeout', scope: 'statement', outcome: 'not_sent', retryable: true } as const
// The server may still be at work behind it, so the connection must not be used again.
const readTimeout = { ...cancelled, scope: 'connection', outcome: 'unknown', commit: 'unknown' } as const

/** Rows for errors that pg, pg-pool, pg-native and mysql2 raise without a word from the server. A test watches the texts. */
export const clientRows: readonly ClassificationRow[] = [
	{ message: 'Connection terminated unexpectedly', ...lost, reason: 'the server closed the connection without a word', source: pg },
	{ message: 'Connection terminated', ...lost, reason: 'the connection was ended on this side with work on it', source: pg },
	{
		message: 'Client has encountered a connection error and is not queryable',
		...lostBefore,
		reason: 'the connection was already lost, so nothing was sent',
		source: pg,
	},
	{
		message: 'Client was closed and is not queryable',
		...lostBefore,
		reason: 'the connection was already closed, so nothing was sent',
		source: pg,
	},
	{
		message: 'Query read timeout',
		...readTimeout,
		reason: 'query_timeout: no answer in time, and the server may still be at work',
		source: pg,
	},
	{ message: 'timeout expired', ...connectTimeout, reason: 'no connection came about in time', source: pg },
	{ message: 'The server does not support SSL connections', ...rejected, reason: 'TLS is demanded and the server has none', source: pgTls },
	{
		message: 'There was an error establishing an SSL connection',
		...rejected,
		reason: 'the server answered the request for TLS with an error',
		source: pgTls,
	},
	{
		message: 'Connection terminated due to connection timeout',
		...connectTimeout,
		reason: 'no connection came about in time',
		source: pgPool,
	},
	{
		message: 'timeout exceeded when trying to connect',
		...poolTimeout,
		reason: 'no connection of the pool became free in time',
		source: pgPool,
	},
	{ message: 'Cannot use a pool after calling end on the pool', ...misuse, reason: 'the pool was ended', source: pgPool },
	{ message: /^SASL: /, ...rejected, reason: 'the exchange of credentials failed', source: 'pg 8.23, lib/crypto/sasl.js' },

	{ message: /^connection to server .* failed: Connection refused/, ...refused, reason: 'nothing listens at the address', source: libpq },
	{
		message: /^connection to server .* failed: No such file or directory/,
		...refused,
		reason: 'no server runs at the socket',
		source: libpq,
	},
	{
		message: /^connection to server .* failed: timeout expired/,
		...connectTimeout,
		reason: 'no connection came about in time',
		source: libpq,
	},
	{
		message: /^connection to server .* failed: FATAL: .*the database system is shutting down/,
		...stopping,
		reason: 'the server is stopping',
		source: libpq,
	},
	{
		message: /^connection to server .* failed: FATAL: .*the database system is /,
		...starting,
		reason: 'the server is starting',
		source: libpq,
	},
	{
		message: /^connection to server .* failed: FATAL: .*(too many clients already|remaining connection slots are reserved)/,
		...full,
		reason: 'all connections of the server are taken',
		source: libpq,
	},
	{ message: /^could not translate host name /, ...refused, kind: 'dns', reason: 'the name of the host does not resolve', source: libpq },
	{
		message: /^server closed the connection unexpectedly/,
		...lost,
		reason: 'the server closed the connection without a word',
		source: libpq,
	},
	{ message: /^could not (send data to|receive data from) server/, ...lost, reason: 'the connection failed', source: libpq },

	{ code: 'PROTOCOL_CONNECTION_LOST', ...lost, reason: 'the server closed the connection without a word', source: mysql2 },
	{
		message: "Can't add new command when connection is in closed state",
		...lostBefore,
		reason: 'the connection was already closed, so nothing was sent',
		source: mysql2,
	},
	{
		message: "Can't write in closed state",
		...lost,
		reason: 'the connection was closed while a command was being written',
		source: mysql2,
	},
	{
		code: 'PROTOCOL_SEQUENCE_TIMEOUT',
		...readTimeout,
		reason: 'timeout: no answer in time, and the server may still be at work',
		source: mysql2Query,
	},
	{ code: 'PROTOCOL_ERROR', ...doubtful, reason: 'the server answered what the protocol does not allow', source: mysql2 },
	{ code: 'PROTOCOL_UNEXPECTED_PACKET', ...doubtful, reason: 'the server answered what nobody asked', source: mysql2 },
	{
		code: 'PROTOCOL_PACKETS_OUT_OF_ORDER',
		...doubtful,
		reason: 'the order of the packets was broken',
		source: 'mysqljs/mysql, lib/protocol',
	},
	{ message: 'Pool is closed.', ...misuse, reason: 'the pool was ended', source: mysql2Pool },
	{
		message: 'No connections available.',
		...poolTimeout,
		retryable: false,
		reason: 'waitForConnections: false, so the caller did not want to wait',
		source: mysql2Pool,
	},
	{
		message: 'Queue limit reached.',
		...poolTimeout,
		retryable: false,
		reason: 'queueLimit: as many callers as the user allows wait already',
		source: mysql2Pool,
	},
	{ code: 'POOL_NOEXIST', ...misuse, reason: 'no node of the cluster has this name', source: mysql2Cluster },
	{ code: 'POOL_NONEONLINE', ...refused, reason: 'no node of the cluster is online', source: mysql2Cluster },
	{ code: 'HANDSHAKE_NO_SSL_SUPPORT', ...rejected, reason: 'TLS is demanded and the server has none', source: mysql2Handshake },
	{ code: 'HANDSHAKE_SSL_ERROR', ...rejected, reason: 'the TLS handshake failed', source: mysql2Handshake },
	{
		code: 'HANDSHAKE_SSL_ERROR',
		says: 'ECONNRESET',
		...refused,
		kind: 'connection_lost',
		reason: 'reset during the TLS handshake',
		source: mysql2Handshake,
	},
	{ code: 'HANDSHAKE_UNKNOWN_ERROR', ...rejected, reason: 'the handshake went wrong', source: mysql2Handshake },
	{ code: 'AUTH_SWITCH_PLUGIN_ERROR', ...rejected, reason: 'the exchange of credentials failed', source: mysql2Handshake },
	{ code: 'MYSQL_CLEAR_PASSWORD_NOT_ENABLED', ...rejected, reason: 'the server wants the password in clear text', source: mysql2Handshake },
]
