/** Which functions make a SELECT more than a read? Rows of names that are known to act, or that answer from the session that was lost. */

/** One function, or a family by its beginning. */
export interface SideEffect {
	readonly name?: string
	readonly prefix?: string
	readonly reason: string
}

const sequences = 'takes or sets a value of a sequence'
const locks = 'takes or frees a lock that outlives the statement'
const session = 'answers from the state of the session that was lost'
const settings = 'changes a setting'
const signals = 'acts on other sessions'
const server = 'acts on the server'
const replication = 'acts on replication'
const files = 'writes large objects or files'
const remote = 'runs any statement on another connection'

/** Sources: PostgreSQL manual, chapter 9 and appendix F; MySQL manual, "Locking Functions", "Information Functions", "Replication Functions". */
export const sideEffects: readonly SideEffect[] = [
	{ name: 'nextval', reason: sequences },
	{ name: 'setval', reason: sequences },
	{ name: 'currval', reason: session },
	{ name: 'lastval', reason: session },
	{ prefix: 'pg_advisory_', reason: locks },
	{ prefix: 'pg_try_advisory_', reason: locks },
	{ name: 'pg_notify', reason: signals },
	{ name: 'pg_terminate_backend', reason: signals },
	{ name: 'pg_cancel_backend', reason: signals },
	{ name: 'pg_log_backend_memory_contexts', reason: signals },
	{ name: 'pg_reload_conf', reason: server },
	{ name: 'pg_rotate_logfile', reason: server },
	{ prefix: 'pg_switch_', reason: server },
	{ prefix: 'pg_create_', reason: server },
	{ prefix: 'pg_drop_', reason: replication },
	{ prefix: 'pg_copy_', reason: replication },
	{ prefix: 'pg_sync_', reason: replication },
	{ prefix: 'pg_backup_', reason: server },
	{ prefix: 'pg_start_', reason: server },
	{ prefix: 'pg_stop_', reason: server },
	{ prefix: 'pg_wal_replay_', reason: replication },
	{ prefix: 'pg_replication_', reason: replication },
	{ prefix: 'pg_logical_', reason: replication },
	{ name: 'pg_promote', reason: server },
	{ prefix: 'pg_stat_reset', reason: server },
	{ name: 'pg_stat_statements_reset', reason: server },
	{ prefix: 'pg_export_', reason: session },
	{ prefix: 'pg_import_', reason: server },
	{ prefix: 'pg_restore_', reason: server },
	{ prefix: 'pg_clear_', reason: server },
	{ prefix: 'pg_file_', reason: files },
	{ prefix: 'brin_', reason: 'changes an index' },
	{ name: 'gin_clean_pending_list', reason: 'changes an index' },
	{ prefix: 'lo_', reason: files },
	{ name: 'lowrite', reason: files },
	{ prefix: 'dblink', reason: remote },
	{ prefix: 'postgres_fdw_', reason: remote },
	{ name: 'query_to_xml', reason: 'runs a statement that is given as text' },
	{ name: 'query_to_xml_and_xmlschema', reason: 'runs a statement that is given as text' },
	{ name: 'cursor_to_xml', reason: session },
	{ name: 'set_config', reason: settings },
	{ name: 'set_limit', reason: settings },
	{ name: 'setseed', reason: settings },
	{ name: 'get_lock', reason: locks },
	{ name: 'release_lock', reason: locks },
	{ name: 'release_all_locks', reason: locks },
	{ prefix: 'service_get_', reason: locks },
	{ prefix: 'service_release_', reason: locks },
	{ name: 'last_insert_id', reason: session },
	{ name: 'row_count', reason: session },
	{ name: 'found_rows', reason: session },
	{ name: 'master_pos_wait', reason: replication },
	{ prefix: 'group_replication_', reason: replication },
	{ prefix: 'asynchronous_connection_failover_', reason: replication },
	{ prefix: 'sys_exec', reason: server },
	{ prefix: 'sys_eval', reason: server },
]

const names = new Set(sideEffects.map((row) => row.name).filter((name) => name !== undefined))
const prefixes = sideEffects.map((row) => row.prefix).filter((prefix) => prefix !== undefined)

// MariaDB also reads sequences as `name.nextval`.
const uncalled = new Set(['nextval', 'currval', 'lastval'])

const asking = new Set(sideEffects.filter(({ reason }) => reason === session).map(({ name }) => name))

/** Whether a name is that of a function that answers from what earlier statements have left in the session. */
export function asksSession(name: string, called: boolean): boolean {
	const lower = name.toLowerCase()
	return asking.has(lower) && (called || uncalled.has(lower))
}

/** Whether a name is that of a function that acts. `called`: a parenthesis follows. */
export function acts(name: string, called: boolean): boolean {
	const lower = name.toLowerCase()
	if (!called) return uncalled.has(lower)
	return names.has(lower) || prefixes.some((prefix) => lower.startsWith(prefix))
}
