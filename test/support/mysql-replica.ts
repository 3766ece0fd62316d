/** How do a MySQL or MariaDB source and its replica run on one machine, and how does the replica take over? By GTID, as operators do it. */
import { type Flavour, type MysqlServer, startMysql } from './mysql.ts'
import { until } from './until.ts'

export interface MysqlPair {
	readonly source: MysqlServer
	readonly replica: MysqlServer
	/** Resolves when the replica has all that the source had when this was called. */
	caughtUp(): Promise<void>
	/** The replica stops replicating and takes writes. */
	promote(): Promise<void>
	/** No more writes on the source, as a tool for failovers orders it before it promotes the replica. */
	demote(): Promise<void>
	/** The replica applies nothing more, and stays as it is. */
	stopApplying(): Promise<void>
	startApplying(): Promise<void>
	dispose(): Promise<void>
}

/** What the two products call the same thing. */
const words = {
	mysql: {
		settings: { gtid_mode: 'ON', enforce_gtid_consistency: 'ON', super_read_only: 'OFF' },
		follow: (port: number) =>
			`CHANGE REPLICATION SOURCE TO SOURCE_HOST = '127.0.0.1', SOURCE_PORT = ${port}, SOURCE_USER = 'root', SOURCE_AUTO_POSITION = 1,
			SOURCE_CONNECT_RETRY = 1, GET_SOURCE_PUBLIC_KEY = 1; START REPLICA`,
		stop: 'STOP REPLICA',
		stopApplying: 'STOP REPLICA SQL_THREAD',
		startApplying: 'START REPLICA SQL_THREAD',
		readOnly: 'SET GLOBAL super_read_only = 1',
		writable: 'SET GLOBAL super_read_only = 0, GLOBAL read_only = 0',
		position: 'SELECT @@global.gtid_executed AS gtid',
		wait: (gtid: string) => `SELECT WAIT_FOR_EXECUTED_GTID_SET('${gtid}', 20) = 0 AS done`,
	},
	mariadb: {
		settings: { log_slave_updates: 'ON' },
		follow: (port: number) =>
			`CHANGE MASTER TO MASTER_HOST = '127.0.0.1', MASTER_PORT = ${port}, MASTER_USER = 'root', MASTER_USE_GTID = slave_pos,
			MASTER_CONNECT_RETRY = 1; START SLAVE`,
		stop: 'STOP SLAVE',
		stopApplying: 'STOP SLAVE SQL_THREAD',
		startApplying: 'START SLAVE SQL_THREAD',
		readOnly: 'SET GLOBAL read_only = 1',
		writable: 'SET GLOBAL read_only = 0',
		position: 'SELECT @@global.gtid_binlog_pos AS gtid',
		wait: (gtid: string) => `SELECT MASTER_GTID_WAIT('${gtid}', 20) = 0 AS done`,
	},
} as const

/** Starts both; the replica is read-only and follows. */
export async function startMysqlPair(flavour: Flavour, settings: Readonly<Record<string, string>> = {}): Promise<MysqlPair> {
	const say = words[flavour]
	const start = (id: string) =>
		startMysql({ flavour, local: true, settings: { log_bin: 'binlog', server_id: id, ...say.settings, ...settings } })
	const [source, replica] = await Promise.all([start('1'), start('2')])
	const pair: MysqlPair = {
		source,
		replica,
		async caughtUp() {
			const [row] = await source.query<{ gtid: string }>(say.position)
			const gtid = String(row?.gtid).replaceAll('\n', '')
			await until(async () => Number((await replica.query<{ done: number }>(say.wait(gtid)))[0]?.done) === 1, {
				what: 'the replica to catch up',
				timeoutMs: 30_000,
			})
		},
		promote: async () => void (await replica.query(`${say.stop}; ${say.writable}`)),
		demote: async () => void (await source.query(say.readOnly)),
		stopApplying: async () => void (await replica.query(say.stopApplying)),
		startApplying: async () => void (await replica.query(say.startApplying)),
		dispose: async () => void (await Promise.all([source.dispose(), replica.dispose()])),
	}
	try {
		// By the settings both may be read-only, as servers are that come back after a crash.
		await source.query(say.writable)
		await replica.query(`${say.follow(source.port)}; ${say.readOnly}`)
		await source.query('CREATE TABLE IF NOT EXISTS replicated (id int PRIMARY KEY)')
		await pair.caughtUp()
	} catch (error) {
		await pair.dispose()
		throw error
	}
	return pair
}
