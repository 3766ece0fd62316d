/** What do the error numbers of MySQL and MariaDB mean? Rows by number and name, as errors carry both; a number without a row is permanent. */
import type { ClassificationRow, Verdict } from './table.ts'
import {
	cancelled,
	conflict,
	connectTimeout,
	deadlock,
	doubtful,
	ended,
	exhausted,
	full,
	lockTimeout,
	lost,
	permanent,
	refused,
	rejected,
	stalePlan,
	starting,
	stopping,
	unresolved,
} from './verdicts.ts'

const server = 'MySQL manual, "Server Error Message Reference"'
const client = 'MySQL manual, "Client Error Message Reference"'
const innodb = 'MySQL manual, "InnoDB Error Handling"'
const mariadb = 'MariaDB documentation, "MariaDB Error Code Reference"'
const galera = 'Galera documentation, "Recovering the Primary Component"'
const replication = 'MySQL manual, "Group Replication"'
const xaManual = 'MySQL manual, "XA Transaction States" and "XA Transaction SQL Statements"'

const transactional: Verdict = { ...permanent, scope: 'transaction' }
// The server rolls back what it may not commit: ha_commit_trans in MySQL's handler.cc.
const readOnlyServer: Verdict = { kind: 'read_only', scope: 'connection', outcome: 'rolled_back', commit: 'rolled_back', retryable: true }
const preparedBySql = 'the session has no statement prepared under the name that the SQL text gives'
const readOnly = 'the server takes no writes: it is a replica, or was demoted'

function row(errno: number, name: string, verdict: Verdict, reason: string, source = server): ClassificationRow {
	return { code: String(errno), also: [name], ...verdict, reason, source }
}

/** Rows by error number. The name beside it is the one that mysql2 puts into `code`; some numbers of MariaDB have none there. */
export const mysqlRows: readonly ClassificationRow[] = [
	row(
		1020,
		'ER_CHECKREAD',
		conflict,
		'the row changed since the snapshot: roll back and rerun all',
		`${mariadb}; innodb_snapshot_isolation`,
	),
	row(1021, 'ER_DISK_FULL', exhausted, 'the disk of the server is full'),
	row(1037, 'ER_OUTOFMEMORY', exhausted, 'the server is out of memory'),
	row(1040, 'ER_CON_COUNT_ERROR', full, 'all connections of the server are taken'),
	row(1041, 'ER_OUT_OF_RESOURCES', exhausted, 'the server is out of memory'),
	row(1042, 'ER_BAD_HOST_ERROR', { ...unresolved, scope: 'connection' }, 'the server could not resolve the name of this host'),
	row(1043, 'ER_HANDSHAKE_ERROR', { ...lost, outcome: 'not_sent' }, 'the handshake was cut short'),
	row(1044, 'ER_DBACCESS_DENIED_ERROR', permanent, 'this user may not use the database'),
	row(1045, 'ER_ACCESS_DENIED_ERROR', permanent, 'the server refuses these credentials'),
	row(1047, 'ER_UNKNOWN_COM_ERROR', permanent, 'the server does not know the command'),
	{
		code: '1047',
		also: ['ER_UNKNOWN_COM_ERROR'],
		says: 'WSREP',
		...starting,
		// Refused before it was run. For a COMMIT nothing is claimed: the node may have lost its quorum in the middle of it.
		outcome: 'rolled_back',
		commit: 'unknown',
		reason: 'the Galera node is not part of a quorum and refuses all work',
		source: galera,
	},
	row(1049, 'ER_BAD_DB_ERROR', permanent, 'the database does not exist'),
	row(1053, 'ER_SERVER_SHUTDOWN', { ...ended, scope: 'endpoint' }, 'the server is stopping and ended the statement'),
	row(1077, 'ER_NORMAL_SHUTDOWN', { ...stopping, outcome: 'unknown' }, 'the server is stopping'),
	row(1078, 'ER_GOT_SIGNAL', { ...stopping, outcome: 'unknown' }, 'the server got a signal and is stopping'),
	row(1079, 'ER_SHUTDOWN_COMPLETE', { ...stopping, outcome: 'unknown' }, 'the server has stopped'),
	row(1080, 'ER_FORCING_CLOSE', lost, 'the server closed this session by force'),
	row(1114, 'ER_RECORD_FILE_FULL', exhausted, 'the table is full'),
	row(
		1129,
		'ER_HOST_IS_BLOCKED',
		rejected,
		'the server blocks this host after too many failed connections, until an administrator frees it',
	),
	row(1130, 'ER_HOST_NOT_PRIVILEGED', rejected, 'the server does not let this host in'),
	row(1135, 'ER_CANT_CREATE_THREAD', full, 'the server cannot start one more thread'),
	row(1152, 'ER_ABORTING_CONNECTION', lost, 'the server aborted the connection'),
	row(1153, 'ER_NET_PACKET_TOO_LARGE', { ...permanent, scope: 'connection' }, 'the statement is larger than max_allowed_packet'),
	row(1154, 'ER_NET_READ_ERROR_FROM_PIPE', lost, 'the server could not read from the connection pipe'),
	row(1155, 'ER_NET_FCNTL_ERROR', lost, 'the server could not set up its socket'),
	row(1156, 'ER_NET_PACKETS_OUT_OF_ORDER', lost, 'packets reached the server out of order'),
	row(1157, 'ER_NET_UNCOMPRESS_ERROR', lost, 'the server could not uncompress what it got'),
	row(1158, 'ER_NET_READ_ERROR', lost, 'the server could not read from the connection'),
	row(1159, 'ER_NET_READ_INTERRUPTED', lost, 'the server waited too long for the rest of a packet'),
	row(1160, 'ER_NET_ERROR_ON_WRITE', lost, 'the server could not write its answer'),
	row(1161, 'ER_NET_WRITE_INTERRUPTED', lost, 'the server waited too long to write its answer'),
	row(1180, 'ER_ERROR_DURING_COMMIT', doubtful, 'an error in the middle of the commit'),
	row(1184, 'ER_NEW_ABORTING_CONNECTION', lost, 'the server aborted the connection'),
	row(1203, 'ER_TOO_MANY_USER_CONNECTIONS', full, 'all connections of this user are taken'),
	row(
		1205,
		'ER_LOCK_WAIT_TIMEOUT',
		lockTimeoutOfStatement(),
		'only the statement was rolled back: roll back and rerun the whole transaction',
		innodb,
	),
	row(
		1206,
		'ER_LOCK_TABLE_FULL',
		{ ...exhausted, scope: 'transaction' },
		'the lock table is full: the transaction was rolled back',
		innodb,
	),
	row(1213, 'ER_LOCK_DEADLOCK', deadlock, 'deadlock, or a conflict found by the cluster: the whole transaction was rolled back', innodb),
	row(1226, 'ER_USER_LIMIT_REACHED', permanent, 'this user has used up what it may do in an hour'),
	{
		code: '1226',
		also: ['ER_USER_LIMIT_REACHED'],
		says: 'max_user_connections',
		...full,
		reason: 'all connections of this user are taken',
		source: server,
	},
	row(1243, 'ER_UNKNOWN_STMT_HANDLER', stalePlan, 'the prepared statement is not in this session, as behind a pooler'),
	{ code: '1243', also: ['ER_UNKNOWN_STMT_HANDLER'], says: 'given to EXECUTE', ...permanent, reason: preparedBySql, source: server },
	{ code: '1243', also: ['ER_UNKNOWN_STMT_HANDLER'], says: 'given to DEALLOCATE', ...permanent, reason: preparedBySql, source: server },
	row(1290, 'ER_OPTION_PREVENTS_STATEMENT', permanent, 'an option of the server forbids the statement'),
	{ code: '1290', also: ['ER_OPTION_PREVENTS_STATEMENT'], says: '--read-only', ...readOnlyServer, reason: readOnly, source: server },
	{ code: '1290', also: ['ER_OPTION_PREVENTS_STATEMENT'], says: '--super-read-only', ...readOnlyServer, reason: readOnly, source: server },
	row(1317, 'ER_QUERY_INTERRUPTED', cancelled, 'somebody ended the query with KILL QUERY'),
	row(1397, 'ER_XAER_NOTA', doubtful, 'the XA transaction is not known here: it may have been ended already', xaManual),
	row(1398, 'ER_XAER_INVAL', transactional, 'the XA command is not valid', xaManual),
	row(1399, 'ER_XAER_RMFAIL', transactional, 'the XA command does not fit the state of the transaction', xaManual),
	row(1400, 'ER_XAER_OUTSIDE', transactional, 'there is work outside the XA transaction', xaManual),
	row(1401, 'ER_XAER_RMERR', doubtful, 'a grave error in the XA transaction: the data must be looked at', xaManual),
	row(
		1402,
		'ER_XA_RBROLLBACK',
		{ ...transactional, commit: 'rolled_back' },
		'the XA transaction was rolled back for a reason not said',
		xaManual,
	),
	row(1440, 'ER_XAER_DUPID', transactional, 'the name of the XA transaction is taken', xaManual),
	row(
		1613,
		'ER_XA_RBTIMEOUT',
		{ ...transactional, commit: 'rolled_back' },
		'the XA transaction took too long and was rolled back',
		xaManual,
	),
	row(1614, 'ER_XA_RBDEADLOCK', deadlock, 'the XA transaction was rolled back because of a deadlock', xaManual),
	row(1615, 'ER_NEED_REPREPARE', { ...stalePlan, scope: 'transaction' }, 'the table of a prepared statement changed'),
	row(1637, 'ER_TOO_MANY_CONCURRENT_TRXS', exhausted, 'too many transactions at the same time'),
	row(1792, 'ER_CANT_EXECUTE_IN_READ_ONLY_TRANSACTION', { ...transactional, kind: 'read_only' }, 'the transaction was declared read-only'),
	row(1836, 'ER_READ_ONLY_MODE', readOnlyServer, readOnly),
	row(1927, 'ER_CONNECTION_KILLED', ended, 'KILL, or the end of the server, ended this session', mariadb),
	row(1969, 'ER_STATEMENT_TIMEOUT', cancelled, 'max_statement_time: the statement took too long', mariadb),
	row(2002, 'CR_CONNECTION_ERROR', refused, 'nothing listens at the socket', client),
	row(2003, 'CR_CONN_HOST_ERROR', refused, 'nothing listens at the address', client),
	row(2005, 'CR_UNKNOWN_HOST', unresolved, 'the name of the host does not resolve', client),
	row(2006, 'CR_SERVER_GONE_ERROR', lost, 'the connection was closed', client),
	row(2013, 'CR_SERVER_LOST', lost, 'the connection was lost during the statement', client),
	row(2055, 'CR_SERVER_LOST_EXTENDED', lost, 'the connection was lost during the statement', client),
	{
		code: '2013',
		also: ['CR_SERVER_LOST'],
		phase: 'connect',
		...connectTimeout,
		reason: 'the connection was lost while logging in',
		source: client,
	},
	row(3024, 'ER_QUERY_TIMEOUT', cancelled, 'max_execution_time: the statement took too long'),
	row(3032, 'ER_SERVER_OFFLINE_MODE', stopping, 'the server is in offline mode'),
	row(3058, 'ER_USER_LOCK_DEADLOCK', { ...transactional, kind: 'deadlock' }, 'deadlock of GET_LOCK: such locks outlive a rollback'),
	row(3101, 'ER_TRANSACTION_ROLLBACK_DURING_COMMIT', conflict, 'the group found a conflict and rolled the transaction back', replication),
	row(3168, 'ER_SERVER_ISNT_AVAILABLE', starting, 'the server is not available yet'),
	row(3169, 'ER_SESSION_WAS_KILLED', ended, 'KILL ended this session'),
	row(3572, 'ER_LOCK_NOWAIT', permanent, 'NOWAIT: the caller did not want to wait for the lock'),
	row(
		4031,
		'ER_CLIENT_INTERACTION_TIMEOUT',
		{ ...ended, kind: 'session_timeout', commit: 'rolled_back' },
		'wait_timeout: the server had ended an idle session before it read this',
	),
]

function lockTimeoutOfStatement(): Verdict {
	// It proves nothing of a COMMIT, and MariaDB answers NOWAIT with the same number.
	const { kind, scope, outcome, retryable } = lockTimeout
	return { kind, scope, outcome, retryable }
}
