/** Which error is it, when people have only its text? What servers say, and the code that goes with it. */

/** A text and its code. */
export interface ServerText {
	readonly text: RegExp
	readonly code: string
	readonly source: string
}

const postgres = 'PostgreSQL source, '
const mysql = 'MySQL manual, "Server Error Message Reference"'

/** English texts only: servers translate them, and a program must go by the code. */
export const serverTexts: readonly ServerText[] = [
	{ text: /could not serialize access/i, code: '40001', source: `${postgres}heapam and predicate.c` },
	{ text: /deadlock detected/i, code: '40P01', source: `${postgres}deadlock.c` },
	{ text: /due to lock timeout/i, code: '55P03', source: `${postgres}ProcessInterrupts in postgres.c` },
	{ text: /could not obtain lock on/i, code: '55P03', source: `${postgres}lmgr` },
	{ text: /due to statement timeout|due to user request/i, code: '57014', source: `${postgres}ProcessInterrupts in postgres.c` },
	{ text: /terminating connection due to administrator command/i, code: '57P01', source: `${postgres}ProcessInterrupts in postgres.c` },
	{ text: /due to idle-in-transaction timeout/i, code: '25P03', source: `${postgres}ProcessInterrupts in postgres.c` },
	{ text: /due to idle-session timeout/i, code: '57P05', source: `${postgres}ProcessInterrupts in postgres.c` },
	{ text: /because of crash of another server process/i, code: '57P02', source: `${postgres}quickdie in postgres.c` },
	{
		text: /the database system is (starting up|shutting down|in recovery mode|not (yet )?accepting connections)/i,
		code: '57P03',
		source: `${postgres}backend_startup.c`,
	},
	{
		text: /too many clients already|remaining connection slots are reserved|too many connections for (role|database)/i,
		code: '53300',
		source: `${postgres}proc.c and postinit.c`,
	},
	{ text: /(password|SCRAM) authentication failed/i, code: '28P01', source: `${postgres}auth.c` },
	{ text: /no pg_hba\.conf entry/i, code: '28000', source: `${postgres}auth.c` },
	{ text: /role ".*" does not exist/i, code: '28000', source: `${postgres}miscinit.c` },
	{ text: /database ".*" does not exist/i, code: '3D000', source: `${postgres}postinit.c` },
	{ text: /in a read-only transaction/i, code: '25006', source: `${postgres}PreventCommandIfReadOnly in utility.c` },
	{ text: /current transaction is aborted/i, code: '25P02', source: `${postgres}postgres.c` },
	{ text: /prepared statement ".*" does not exist/i, code: '26000', source: `${postgres}prepare.c` },
	{ text: /cached plan must not change result type/i, code: '0A000', source: `${postgres}plancache.c` },
	{ text: /duplicate key value violates unique constraint/i, code: '23505', source: `${postgres}nbtinsert.c` },
	{ text: /deadlock found when trying to get lock/i, code: '1213', source: mysql },
	{ text: /lock wait timeout exceeded/i, code: '1205', source: mysql },
	{ text: /^too many connections$/i, code: '1040', source: mysql },
	{ text: /more than 'max_user_connections' active connections/i, code: '1203', source: mysql },
	{ text: /access denied for user .* to database/i, code: '1044', source: mysql },
	{ text: /access denied for user/i, code: '1045', source: mysql },
	{ text: /unknown database/i, code: '1049', source: mysql },
	{ text: /(server|mysql) has gone away/i, code: '2006', source: 'MySQL manual, "Client Error Message Reference"' },
	{ text: /lost connection to (mysql )?server during query/i, code: '2013', source: 'MySQL manual, "Client Error Message Reference"' },
	{ text: /is blocked because of many connection errors/i, code: '1129', source: mysql },
	{ text: /is not allowed to connect to this/i, code: '1130', source: mysql },
	{ text: /query execution was interrupted, maximum statement execution time exceeded/i, code: '3024', source: mysql },
	{ text: /running with the --(super-)?read-only option/i, code: '1290', source: mysql },
	{ text: /server shutdown in progress/i, code: '1053', source: mysql },
]
