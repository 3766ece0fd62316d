/** What is this PostgreSQL, and how well will it get over a bad day? Everything that one session can find out. */
import { crashEpoch } from '../../drivers/pg/xact.ts'
import { askEach, isRefusal } from '../ask-each.ts'
import type { Session } from '../product.ts'
import { type Finding, headroom, judgeSettings, type Report } from '../report.ts'
import { settingRows } from './settings.ts'
import { verification } from './verification.ts'

/** Asks for all of it. Rejects where the connection dies in between. */
export async function examine(session: Session): Promise<Report> {
	const [server] = await session.ask(`SELECT version() AS banner, current_setting('server_version') AS version,
		pg_is_in_recovery() AS standby, current_setting('transaction_read_only') AS read_only, pg_backend_pid() AS pid`)
	const standby = server?.standby === true
	const epoch = standby ? undefined : await optional(session, `SELECT ${crashEpoch} AS value`)
	const pooled = session.greetedAs !== undefined && session.greetedAs !== server?.pid
	return {
		flavour: flavourOf(String(server?.banner)),
		version: String(server?.version),
		readOnly: standby ? 'it is a standby' : server?.read_only === 'on' ? 'default_transaction_read_only is on' : undefined,
		crashEpoch: epoch,
		verification: await askEach({ 'commit: verify': () => verification(session, { standby, epoch }) }),
		settings: [...between(session, pooled), ...(await askEach({ connections: () => room(session), settings: () => settings(session) }))],
	}
}

// What the server calls itself in version().
const flavours = ['CockroachDB', 'YugabyteDB', 'Redshift', 'Greenplum', 'EnterpriseDB', 'Materialize'] as const

const flavourOf = (banner: string): string =>
	/-YB-/.test(banner) ? 'YugabyteDB' : (flavours.find((name) => banner.includes(name)) ?? 'PostgreSQL')

/** One value; undefined where this server or this role cannot say. */
async function optional(session: Session, text: string): Promise<string | undefined> {
	try {
		const [row] = await session.ask(text)
		return typeof row?.value === 'string' ? row.value : undefined
	} catch (error) {
		if (isRefusal(error)) return undefined
		throw error
	}
}

function between(session: Session, pooled: boolean): Finding[] {
	const link = { name: 'TLS', level: 'ok', value: session.encrypted ? 'on' : 'off', says: '' } as const
	if (!pooled) return [link]
	const says =
		'a pooler stands in between: with one transaction a connection, session settings, session locks, LISTEN and prepared statements may be lost'
	return [link, { name: 'pooler', level: 'note', value: 'yes', says }]
}

async function room(session: Session): Promise<Finding[]> {
	const [row] = await session.ask(`SELECT (SELECT sum(numbackends) FROM pg_stat_database)::int AS used,
		current_setting('max_connections')::int - current_setting('superuser_reserved_connections')::int
			- coalesce(current_setting('reserved_connections', true), '0')::int AS most,
		(SELECT rolconnlimit FROM pg_roles WHERE rolname = current_user) AS role_limit`)
	const limit = Number(row?.role_limit ?? -1)
	const ofRole: Finding[] =
		limit < 0 ? [] : [{ name: 'role limit', level: 'note', value: `${limit} connections`, says: 'the role may have no more than these' }]
	return [headroom(Number(row?.used), Number(row?.most)), ...ofRole]
}

async function settings(session: Session): Promise<Finding[]> {
	const rows = await session.ask('SELECT name, setting, unit FROM pg_settings WHERE name = ANY($1)', [settingRows.map(({ name }) => name)])
	const units = new Map(rows.map((row) => [String(row.name), row.unit === null ? '' : ` ${row.unit}`]))
	return judgeSettings(
		settingRows,
		new Map(rows.map((row) => [String(row.name), String(row.setting)])),
		(name, value) => `${value}${units.get(name) ?? ''}`,
	)
}
