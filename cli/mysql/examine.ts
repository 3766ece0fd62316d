/** What is this MySQL or MariaDB, and how well will it get over a bad day? Everything that one session can find out. */
import { askEach } from '../ask-each.ts'
import type { Session } from '../product.ts'
import { type Finding, headroom, judgeSettings, type Report } from '../report.ts'
import { settingRows } from './settings.ts'
import { verification } from './verification.ts'

const alsoAsked = [
	...['read_only', 'super_read_only', 'innodb_read_only', 'transaction_read_only', 'tx_read_only', 'log_bin'],
	...['max_connections', 'max_user_connections', 'aurora_version', 'wsrep_on'],
]

/** Asks for all of it. Rejects where the connection dies in between. */
export async function examine(session: Session): Promise<Report> {
	const [server] = await session.ask('SELECT VERSION() AS version, @@version_comment AS comment, CONNECTION_ID() AS id')
	const names = [...settingRows.map(({ name }) => name), ...alsoAsked].map((name) => `'${name}'`).join(', ')
	const variables = pairs(await session.ask(`SHOW GLOBAL VARIABLES WHERE Variable_name IN (${names})`))
	const status = pairs(
		await session.ask("SHOW GLOBAL STATUS WHERE Variable_name IN ('Threads_connected', 'wsrep_cluster_status', 'wsrep_ready')"),
	)
	const version = String(server?.version)
	return {
		flavour: flavourOf(version, String(server?.comment), variables),
		version,
		readOnly: readOnly(variables),
		crashEpoch: undefined,
		verification: await askEach({ 'commit: verify': () => verification(session) }),
		settings: [
			...between(session, Number(server?.id), String(server?.comment)),
			...cluster(variables, status),
			...room(variables, status),
			...judgeSettings(withoutBinlog(variables), variables),
		],
	}
}

const pairs = (rows: Awaited<ReturnType<Session['ask']>>): Map<string, string> =>
	new Map(rows.map((row) => [String(row.Variable_name), String(row.Value)]))

function flavourOf(version: string, comment: string, variables: ReadonlyMap<string, string>): string {
	if (/mariadb/i.test(version + comment)) return variables.get('wsrep_on') === 'ON' ? 'MariaDB Galera Cluster' : 'MariaDB'
	if (/tidb/i.test(version)) return 'TiDB'
	if (/percona/i.test(comment)) return 'Percona Server'
	return variables.has('aurora_version') ? 'Aurora MySQL' : 'MySQL'
}

const reasons = {
	super_read_only: 'super_read_only is on',
	read_only: 'read_only is on: it is a replica, or was demoted',
	innodb_read_only: 'innodb_read_only is on',
	transaction_read_only: 'transaction_read_only is on',
	tx_read_only: 'tx_read_only is on',
} as const

function readOnly(variables: ReadonlyMap<string, string>): string | undefined {
	// MariaDB 12 has more values than ON and OFF.
	const isOn = (name: string) => !/^(off|0)$/i.test(variables.get(name) ?? 'OFF')
	const name = (Object.keys(reasons) as (keyof typeof reasons)[]).find(isOn)
	return name && reasons[name]
}

function between(session: Session, id: number, comment: string): Finding[] {
	const link = { name: 'TLS', level: 'ok', value: session.encrypted ? 'on' : 'off', says: '' } as const
	const pooled = (session.greetedAs !== undefined && session.greetedAs !== id) || /proxysql/i.test(comment)
	if (!pooled) return [link]
	const says = 'a proxy stands in between: session settings, GET_LOCK and prepared statements may be lost with the connection behind it'
	return [link, { name: 'proxy', level: 'note', value: 'yes', says }]
}

function cluster(variables: ReadonlyMap<string, string>, status: ReadonlyMap<string, string>): Finding[] {
	if (variables.get('wsrep_on') !== 'ON') return []
	const value = status.get('wsrep_cluster_status') ?? 'unknown'
	const well = value === 'Primary' && status.get('wsrep_ready') === 'ON'
	const says = well ? '' : 'the node is not part of a quorum and refuses work with 1047'
	return [{ name: 'Galera', level: well ? 'ok' : 'warning', value, says }]
}

function room(variables: ReadonlyMap<string, string>, status: ReadonlyMap<string, string>): Finding[] {
	const ofUser = Number(variables.get('max_user_connections') ?? 0)
	const limit: Finding[] =
		ofUser === 0
			? []
			: [{ name: 'max_user_connections', level: 'note', value: String(ofUser), says: 'one user may have no more connections than these' }]
	return [headroom(Number(status.get('Threads_connected')), Number(variables.get('max_connections'))), ...limit]
}

/** Without a binary log there is nothing to keep in step with it. */
const withoutBinlog = (variables: ReadonlyMap<string, string>) =>
	variables.get('log_bin') === 'ON' ? settingRows : settingRows.filter(({ name }) => name !== 'sync_binlog')
