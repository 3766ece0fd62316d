/** How does a MariaDB Galera cluster run on one machine? Nodes with the same data from the beginning, so that none needs a state transfer. */
import { randomUUID } from 'node:crypto'
import { access } from 'node:fs/promises'
import { join } from 'node:path'
import { freePort } from './free-port.ts'
import { type MysqlServer, startMysql } from './mysql.ts'
import { unpackedTree } from './mysql-debian.ts'
import { until } from './until.ts'

export interface GaleraCluster {
	/** Each is a server like any other. One that was killed does not come back. */
	readonly nodes: readonly MysqlServer[]
	/** What `hosts` of a wrapped pool takes. */
	readonly hosts: ReadonlyArray<{ readonly host: string; readonly port: number }>
	/** Resolves when these nodes (default: all) take statements and see a cluster of so many. */
	formed(nodes?: readonly MysqlServer[]): Promise<void>
	dispose(): Promise<void>
}

/** Starts a cluster whose nodes all take statements when this resolves. Throws where Galera's library cannot be had. */
export async function startGalera(size = 3, settings: Readonly<Record<string, string>> = {}): Promise<GaleraCluster> {
	const provider = await findProvider()
	const state = randomUUID()
	// In order: the first one speaks for the view.
	const ids = Array.from({ length: size }, () => randomUUID()).sort()
	const members = await Promise.all(ids.map(async (id) => ({ id, group: await freePort(), ist: await freePort() })))
	const address = `gcomm://${members.map(({ group }) => `127.0.0.1:${group}`).join(',')}`
	const nodes = await Promise.all(
		members.map(({ id, group, ist }) =>
			startMysql({
				flavour: 'mariadb',
				local: true,
				autostart: false,
				settings: {
					binlog_format: 'ROW',
					innodb_autoinc_lock_mode: '2',
					wsrep_on: 'ON',
					wsrep_provider: provider,
					// The state tells clusters apart; a name has 32 letters at most.
					wsrep_cluster_name: 'holdfast',
					wsrep_cluster_address: address,
					wsrep_node_address: `127.0.0.1:${group}`,
					// Nothing is ever transferred.
					wsrep_sst_method: 'skip',
					wsrep_provider_options: providerOptions(group, ist),
					...settings,
				},
				files: { 'grastate.dat': savedState(state), 'gvwstate.dat': savedView(id, members) },
			}),
		),
	)
	const cluster: GaleraCluster = {
		nodes,
		hosts: nodes.map(({ host, port }) => ({ host, port })),
		async formed(expected = nodes) {
			const says = "SELECT VARIABLE_VALUE AS said FROM information_schema.GLOBAL_STATUS WHERE VARIABLE_NAME = 'wsrep_cluster_size'"
			for (const node of expected) {
				await until(async () => Number((await node.query<{ said: string }>(says))[0]?.said) === expected.length, {
					what: `a Galera cluster of ${expected.length}`,
					timeoutMs: 30_000,
					everyMs: 20,
				})
			}
		},
		dispose: async () => void (await Promise.all(nodes.map((node) => node.dispose()))),
	}
	try {
		// Together: each waits for the others.
		await Promise.all(nodes.map((node) => node.start()))
		await cluster.formed()
	} catch (error) {
		await cluster.dispose()
		throw error
	}
	return cluster
}

/** A node that died is given up after about 2.5 seconds. */
function providerOptions(group: number, ist: number): string {
	const options = {
		'gmcast.listen_addr': `tcp://127.0.0.1:${group}`,
		'ist.recv_addr': `127.0.0.1:${ist}`,
		'gcache.size': '16M',
		'evs.keepalive_period': 'PT0.3S',
		'evs.suspect_timeout': 'PT1.5S',
		'evs.inactive_check_period': 'PT0.3S',
		'evs.inactive_timeout': 'PT3S',
	}
	return Object.entries(options)
		.map(([name, value]) => `${name}=${value}`)
		.join(';')
}

/** What a node leaves behind at its end (Galera manual, "Restarting the Cluster"): all are at the same place, so none has anything to get. */
const savedState = (state: string): string => `# GALERA saved state
version: 2.1
uuid:    ${state}
seqno:   0
safe_to_bootstrap: 0
`

/** The cluster as it was before a crash of all of it ("Primary Component Recovery"): once all members are there it forms by itself. */
function savedView(own: string, members: ReadonlyArray<{ readonly id: string }>): string {
	const lines = members.map(({ id }) => `member: ${id} 0`)
	return ['my_uuid: '.concat(own), '#vwbeg', `view_id: 3 ${members[0]?.id} 1`, 'bootstrap: 0', ...lines, '#vwend', ''].join('\n')
}

/** Galera's library: the one of this machine, else that of Debian's packages. */
async function findProvider(): Promise<string> {
	const installed = ['/usr/lib/galera/libgalera_smm.so', '/usr/lib64/galera-4/libgalera_smm.so']
	for (const path of installed) if (await there(path)) return path
	const { root } = await unpackedTree({ suite: 'bookworm', name: 'galera-4' })
	return join(root, 'usr/lib/galera/libgalera_smm.so')
}

const there = (path: string): Promise<boolean> =>
	access(path).then(
		() => true,
		() => false,
	)
