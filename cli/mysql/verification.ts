/** When the answer to a COMMIT is lost, what can this account find out about it on this server? */
import { commitLedger } from '../../src/index.ts'
import type { Session } from '../product.ts'
import type { Finding } from '../report.ts'

const table = commitLedger().table
const needed = ['SELECT', 'INSERT', 'UPDATE', 'DELETE']

/** The answers, in the order in which they are needed. */
export async function verification(session: Session): Promise<Finding[]> {
	return [
		{
			name: 'commit: verify',
			level: 'note',
			value: 'not possible',
			says: 'MySQL and MariaDB keep no record of transactions that could be asked; only a commit ledger can tell',
		},
		{ name: 'KILL', level: 'ok', value: "may be used on this account's own sessions", says: '' },
		await ledger(session),
	]
}

// Grants that come through a role are not listed there.
const granted = `SELECT privilege_type AS privilege FROM information_schema.user_privileges
	UNION SELECT privilege_type FROM information_schema.schema_privileges WHERE DATABASE() LIKE table_schema
	UNION SELECT privilege_type FROM information_schema.table_privileges WHERE table_schema = DATABASE() AND table_name = '${table}'`

async function ledger(session: Session): Promise<Finding> {
	const finding = (level: Finding['level'], value: string, says = ''): Finding => ({ name: 'commit ledger', level, value, says })
	const [place] = await session.ask(
		`SELECT DATABASE() AS name, (SELECT COUNT(*) FROM information_schema.tables
			WHERE table_schema = DATABASE() AND table_name = '${table}') AS tables`,
	)
	if (place?.name === null) return finding('note', 'not looked for', 'the URL names no database')
	const privileges = new Set((await session.ask(granted)).map((row) => String(row.privilege)))
	if (Number(place?.tables) === 0) {
		return privileges.has('CREATE')
			? finding('ok', 'not there; this account may create it')
			: finding('note', 'not there', `no grant of its own lets this account create the table ${table}; a migration can`)
	}
	return needed.every((privilege) => privileges.has(privilege))
		? finding('ok', 'there and usable')
		: finding('warning', 'there', `this account needs SELECT, INSERT, UPDATE and DELETE on ${table}`)
}
