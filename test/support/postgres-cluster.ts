/** How does a cluster of PostgreSQL servers run, with streaming replicas, promotion, and an old primary that comes back as a replica? */
import { execFile } from 'node:child_process'
import { appendFile, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { promisify } from 'node:util'
import pg from 'pg'
import { type PostgresServer, serverOf } from './postgres.ts'
import { embeddedBinaries, installedBinaries } from './postgres-binaries.ts'
import { type LocalPostgres, localPostgres } from './postgres-local.ts'
import { giveTo, type RunAs, runAs } from './run-as.ts'
import { until } from './until.ts'

const run = promisify(execFile)

/** A few real servers; the first is the primary at the beginning. */
export interface PostgresCluster {
	readonly nodes: readonly PostgresServer[]
	/** Makes a replica the primary; resolves when it takes writes. */
	promote(node: PostgresServer): Promise<void>
	/** Makes the node a replica of the leader, from a fresh copy of that; resolves when it streams. A node that runs is stopped first. */
	follow(node: PostgresServer, leader: PostgresServer): Promise<void>
	/** From now on each commit on the leader waits for a replica; resolves when there is one that counts. */
	waitForReplicas(leader: PostgresServer): Promise<void>
	/** The replica gets nothing more of what its leader writes; resolves when that is so. `follow` mends it. */
	cutOff(replica: PostgresServer): Promise<void>
	/** Resolves when the replica has applied all that the leader has written so far. */
	caughtUp(replica: PostgresServer, leader: PostgresServer): Promise<void>
	dispose(): Promise<void>
}

export interface ClusterOptions {
	/** Default 1. */
	readonly replicas?: number
	/** Default 18. */
	readonly major?: 14 | 16 | 18
	/** Settings of all nodes beside those that replication needs. */
	readonly settings?: Readonly<Record<string, string>>
	/**
	 * Replicas are made from a copy of the primary at rest, statistics included, and not from one that runs. So they have its crash epoch,
	 * but for the timeline.
	 */
	readonly coldCopy?: boolean
}

const replicates = {
	fsync: 'off',
	wal_level: 'replica',
	hot_standby: 'on',
	max_wal_senders: '8',
	wal_keep_size: '128MB',
	wal_receiver_status_interval: '1s',
	wal_retrieve_retry_interval: '100ms',
}

/** Starts a cluster of local processes: from npm's binaries, or those installed on this machine. */
export async function startPostgresCluster({
	replicas = 1,
	major = 18,
	settings = {},
	coldCopy = false,
}: ClusterOptions = {}): Promise<PostgresCluster> {
	const user = await runAs()
	const binaries = await embeddedBinaries(major, user).catch(async (error: unknown) => {
		const installed = await installedBinaries(major)
		if (installed === undefined) throw error
		return installed
	})
	const all = { ...replicates, ...settings }
	const backends = new Map<PostgresServer, LocalPostgres>()
	const add = async (fill?: (folder: string) => Promise<void>): Promise<PostgresServer> => {
		const backend = await localPostgres(binaries, user, all, fill)
		const server = serverOf(backend)
		backends.set(server, backend)
		return server
	}
	const of = (server: PostgresServer): LocalPostgres => {
		const backend = backends.get(server)
		if (backend === undefined) throw new Error('this server is not of the cluster')
		return backend
	}
	const dispose = async () => {
		await Promise.all([...backends.keys()].map((server) => server.dispose()))
	}
	const startReplica = async (server: PostgresServer, leader: PostgresServer) => {
		await writeReplicaSettings(of(server).dataFolder, leader, `node-${server.port}`, user)
		await server.start()
		await streams(server, leader)
	}
	try {
		const primary = await add()
		await primary.start()
		const nodes = [primary]
		if (coldCopy) await primary.stop()
		for (let made = 0; made < replicas; made++) {
			nodes.push(
				await add((folder) => (coldCopy ? copyTree(of(primary).dataFolder, folder) : copyLive(primary, of(primary), folder, user))),
			)
		}
		if (coldCopy) await primary.start()
		for (const replica of nodes.slice(1)) await startReplica(replica, primary)
		return {
			nodes,
			async promote(node) {
				await node.query('SELECT pg_promote(true, 20)')
				await until(async () => (await node.query<{ w: boolean }>('SELECT NOT pg_is_in_recovery() AS w'))[0]?.w === true, {
					what: 'the promoted replica to take writes',
				})
			},
			async follow(node, leader) {
				await node.kill()
				const { dataFolder } = of(node)
				await rm(dataFolder, { recursive: true, force: true, maxRetries: 3 })
				await copyLive(leader, of(leader), dataFolder, user)
				await startReplica(node, leader)
			},
			async waitForReplicas(leader) {
				await leader.applySettings({ synchronous_standby_names: '*' })
				const text = "SELECT count(*)::int AS n FROM pg_stat_replication WHERE sync_state IN ('sync', 'quorum')"
				await until(async () => ((await leader.query<{ n: number }>(text))[0]?.n ?? 0) > 0, { what: 'a replica to be synchronous' })
			},
			async cutOff(replica) {
				await replica.applySettings({ primary_conninfo: 'host=127.0.0.1 port=1' })
				await until(async () => (await replica.query('SELECT 1 FROM pg_stat_wal_receiver')).length === 0, {
					what: 'the replica to get nothing more',
				})
			},
			async caughtUp(replica, leader) {
				const [at] = await leader.query<{ lsn: string }>('SELECT pg_current_wal_flush_lsn()::text AS lsn')
				const text = `SELECT pg_last_wal_replay_lsn() >= '${at?.lsn}'::pg_lsn AS done`
				await until(async () => (await replica.query<{ done: boolean }>(text))[0]?.done === true, { what: 'the replica to catch up' })
			},
			dispose,
		}
	} catch (error) {
		await dispose()
		throw error
	}
}

async function copyTree(from: string, to: string): Promise<void> {
	await run('cp', ['-Rp', from, to]).catch((error: unknown) => {
		// Files that the server removes in the meantime are not part of the backup (PostgreSQL manual, "Making a Base Backup").
		if (!/No such file|cannot stat/.test(String(error))) throw error
	})
	for (const file of ['postmaster.pid', 'postmaster.opts', 'standby.signal', 'backup_label']) await rm(join(to, file), { force: true })
}

/** A base backup by hand: `pg_basebackup` is not among npm's binaries (PostgreSQL manual, "Making a Base Backup Using the Low Level API"). */
async function copyLive(leader: PostgresServer, { dataFolder }: LocalPostgres, to: string, user: RunAs | undefined): Promise<void> {
	const [begin, end] =
		leader.major < 15
			? ["SELECT pg_start_backup('copy', true, false)", 'SELECT labelfile FROM pg_stop_backup(false, false)']
			: ["SELECT pg_backup_start('copy', true)", 'SELECT labelfile FROM pg_backup_stop(false)']
	const session = new pg.Client(leader.config())
	await session.connect()
	try {
		await session.query(begin)
		await copyTree(dataFolder, to)
		const { rows } = await session.query<{ labelfile: string }>(end)
		const label = join(to, 'backup_label')
		await writeFile(label, rows[0]?.labelfile ?? '')
		await giveTo(user, label)
	} finally {
		await session.end()
	}
}

async function writeReplicaSettings(folder: string, leader: PostgresServer, name: string, user: RunAs | undefined): Promise<void> {
	const signal = join(folder, 'standby.signal')
	await writeFile(signal, '')
	await giveTo(user, signal)
	const conninfo = `host=${leader.host} port=${leader.port} user=postgres application_name=${name}`
	// Once it is promoted itself it must not wait for replicas that it does not have.
	await appendFile(join(folder, 'postgresql.auto.conf'), `primary_conninfo = '${conninfo}'\nsynchronous_standby_names = ''\n`)
}

async function streams(replica: PostgresServer, leader: PostgresServer): Promise<void> {
	const text = `SELECT count(*)::int AS n FROM pg_stat_replication WHERE application_name = 'node-${replica.port}' AND state = 'streaming'`
	await until(async () => (await leader.query<{ n: number }>(text))[0]?.n === 1, { what: 'the replica to stream', timeoutMs: 20_000 })
}
