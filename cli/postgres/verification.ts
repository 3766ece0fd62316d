/** When the answer to a COMMIT is lost, what can this role find out about it on this PostgreSQL? */
import { commitLedger } from '../../src/index.ts'
import type { Session } from '../product.ts'
import type { Finding, Level } from '../report.ts'

const finding = (name: string, level: Level, value: string, says = ''): Finding => ({ name, level, value, says })

/** The answers, in the order in which they are needed. */
export async function verification(session: Session, server: { standby: boolean; epoch: string | undefined }): Promise<Finding[]> {
	if (server.standby)
		return [finding('commit: verify', 'note', 'not here', 'a standby gives out no transactions to verify; ask again where writes go')]
	const [may] = await session.ask(`SELECT
		coalesce(has_function_privilege(to_regprocedure('pg_xact_status(xid8)'), 'EXECUTE'),
			has_function_privilege(to_regprocedure('txid_status(bigint)'), 'EXECUTE')) AS status,
		coalesce(has_function_privilege(to_regprocedure('pg_current_xact_id()'), 'EXECUTE'),
			has_function_privilege(to_regprocedure('txid_current()'), 'EXECUTE')) AS id,
		has_function_privilege(to_regprocedure('pg_terminate_backend(integer, bigint)'), 'EXECUTE') AS fence_modern,
		has_function_privilege(to_regprocedure('pg_terminate_backend(integer)'), 'EXECUTE') AS fence_old,
		pg_has_role(current_user, 'pg_read_all_stats', 'USAGE') AS all_sessions`)
	const status = may?.status === true && may.id === true
	const fence = may?.fence_modern === true || may?.fence_old === true
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
		may?.all_sessions === true
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
