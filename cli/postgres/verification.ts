/** When the answer to a COMMIT is lost, what can this role find out about it on this PostgreSQL? */
import { commitLedger } from '../../src/index.ts'
import type { Session } from '../product.ts'
import type { Finding, Level } from '../report.ts'

const finding = (name: string, level: Level, value: string, says = ''): Finding => ({ name, level, value, says })

/** The answers, in the order in which they are needed. */
export async function verification(session: Session, server: { standby: boolean; epoch: string | undefined }): Promise<Finding[]> {
	if (server.standby)
		return [finding('commit: verify', 'note', 'not here', 'a standby gives out no transactions to verify; ask again where writes go')]
	const rows = await session.ask(
		`SELECT proname AS name, bool_or(has_function_privilege(oid, 'EXECUTE')) AS allowed FROM pg_proc
			WHERE pronamespace = 'pg_catalog'::regnamespace AND proname = ANY($1) GROUP BY proname`,
		[['pg_xact_status', 'pg_current_xact_id', 'txid_status', 'txid_current', 'pg_terminate_backend']],
	)
	const may = (name: string) => rows.some((row) => row.name === name && row.allowed === true)
	// PostgreSQL 13 renamed the functions.
	const status = (may('pg_xact_status') && may('pg_current_xact_id')) || (may('txid_status') && may('txid_current'))
	const fence = may('pg_terminate_backend')
	const [sees] = await session.ask("SELECT pg_has_role(current_user, 'pg_read_all_stats', 'USAGE') AS everybody")
	return [
		status && server.epoch !== undefined && fence
			? finding('commit: verify', 'ok', 'possible')
			: finding('commit: verify', 'warning', 'not possible', 'a commit whose answer is lost stays in doubt; a commit ledger can tell'),
		status
			? finding('transaction status', 'ok', 'may be asked for')
			: finding('transaction status', 'warning', 'not available', 'pg_xact_status is missing or not granted'),
		fence
			? finding('pg_terminate_backend', 'ok', "may be used on this role's own sessions")
			: finding('pg_terminate_backend', 'warning', 'not granted', 'what is left of a transaction cannot be ended'),
		sees?.everybody === true
			? finding('pg_stat_activity', 'ok', 'shows all sessions')
			: finding('pg_stat_activity', 'ok', "shows this role's own sessions, which is enough where a pool has one role"),
		await ledger(session),
	]
}

const table = 'holdfast_commits'

async function ledger(session: Session): Promise<Finding> {
	const name = commitLedger().name('postgres')
	const [row] = await session.ask(
		`SELECT to_regclass($1) IS NOT NULL AS there,
			CASE WHEN to_regclass($1) IS NOT NULL THEN has_table_privilege(to_regclass($1), 'SELECT') AND has_table_privilege(to_regclass($1), 'INSERT')
				AND has_table_privilege(to_regclass($1), 'UPDATE') AND has_table_privilege(to_regclass($1), 'DELETE') END AS usable,
			coalesce(has_schema_privilege(current_schema(), 'CREATE'), false) AS creatable`,
		[name],
	)
	if (row?.there !== true) {
		return row?.creatable === true
			? finding('commit ledger', 'ok', 'not there; this role may create it')
			: finding('commit ledger', 'note', 'not there', `this role may not create the table ${table}; a migration can`)
	}
	return row.usable === true
		? finding('commit ledger', 'ok', 'there and usable')
		: finding('commit ledger', 'warning', 'there', `this role needs SELECT, INSERT, UPDATE and DELETE on ${table}`)
}
