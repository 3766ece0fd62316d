/** How does a cluster of PostgreSQL run under Patroni, with etcd, on one machine? As processes of this program's, out of Debian's packages. */
import { type ChildProcess, spawn, spawnSync } from 'node:child_process'
import { chmod, mkdir, mkdtemp, readdir, readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import pg from 'pg'
import { cleanUpAtExit } from './cleanup.ts'
import { isThere, unpackedPackages } from './debian-packages.ts'
import { freePort } from './free-port.ts'
import { cacheFor, installedBinaries } from './postgres-binaries.ts'
import { childrenOf, gone, signalQuietly } from './processes.ts'
import { giveTo, identity, type RunAs, reachableTmpdir, runAs } from './run-as.ts'
import { until } from './until.ts'

/** A PostgreSQL and the Patroni that runs it. */
export interface PatroniNode {
	readonly name: string
	readonly host: string
	readonly port: number
	query<Row = Record<string, unknown>>(text: string): Promise<Row[]>
	/** kill -9 of Patroni, the server and all of its backends; resolves when they are gone. */
	kill(): Promise<void>
	/** Starts Patroni, which starts the server. */
	start(): void
}

export interface PatroniCluster {
	readonly nodes: readonly PatroniNode[]
	/** How a pg pool connects, beside host and port. */
	config(): { readonly user: string; readonly database: string }
	/** The primary, as Patroni sees it; undefined while there is none. */
	leader(): Promise<PatroniNode | undefined>
	/** Resolves when there is a leader, and these nodes (default: all) run, one of them as a synchronous standby. */
	formed(nodes?: readonly PatroniNode[]): Promise<void>
	/** Has Patroni make another node the leader, in good order; resolves when Patroni says that it is done. */
	switchOver(): Promise<void>
	dispose(): Promise<void>
}

interface Programs {
	readonly etcd: string
	readonly patroni: string
	/** The folder of `postgres` and `pg_basebackup`. */
	readonly bin: string
	readonly env: NodeJS.ProcessEnv
}

interface Member {
	readonly name: string
	readonly role: string
	readonly state: string
}

// Etcd forgets a leader that is silent for `ttl` seconds; below these Patroni gives a healthy one up, or never fails over.
const timing = { ttl: 6, loop_wait: 1, retry_timeout: 3 }

/** Starts a cluster with synchronous replication; all nodes run when this resolves. Throws with what to do where the programs cannot be had. */
export async function startPatroni(size = 3): Promise<PatroniCluster> {
	const user = await runAs()
	const programs = await findPrograms(user)
	const folder = await mkdtemp(join(await reachableTmpdir(user), 'holdfast-patroni-'))
	await giveTo(user, folder)
	const takeBack = cleanUpAtExit(() => sweep(folder))
	const watch = watchdog(folder)
	const dispose = async () => {
		takeBack()
		sweep(folder)
		watch.stdin?.end()
	}
	try {
		const etcdPort = await startEtcd(programs, folder, user)
		const nodes: PatroniNode[] = []
		const apis: string[] = []
		for (let at = 0; at < size; at++) {
			const [port, apiPort] = [await freePort(), await freePort()]
			const name = `node${at}`
			await writeSettings(join(folder, name), { name, port, apiPort, etcdPort, bin: programs.bin }, user)
			nodes.push(nodeOf(name, port, join(folder, name), programs, user))
			apis.push(`http://127.0.0.1:${apiPort}`)
		}
		const cluster = clusterOf(nodes, apis, dispose)
		for (const node of nodes) node.start()
		await cluster.formed().catch(async (error: unknown) => {
			throw new Error(await lastWords(folder), { cause: error })
		})
		return cluster
	} catch (error) {
		await dispose()
		throw error
	}
}

function clusterOf(nodes: readonly PatroniNode[], apis: readonly string[], dispose: () => Promise<void>): PatroniCluster {
	const members = async (): Promise<readonly Member[]> => {
		for (const api of apis) {
			try {
				const { members: told } = (await (await fetch(`${api}/cluster`)).json()) as { members: Member[] }
				return told
			} catch {
				// Its Patroni was killed.
			}
		}
		return []
	}
	const leaderOf = (told: readonly Member[]) =>
		nodes.find(({ name }) => told.some((member) => member.name === name && member.role === 'leader' && member.state === 'running'))
	const cluster: PatroniCluster = {
		nodes,
		config: () => ({ user: 'postgres', database: 'postgres' }),
		leader: async () => leaderOf(await members()),
		async formed(expected = nodes) {
			const runs = ({ state }: Member) => state === 'running' || state === 'streaming'
			await until(
				async () => {
					const told = (await members()).filter((member) => runs(member) && expected.some(({ name }) => name === member.name))
					return told.length === expected.length && leaderOf(told) !== undefined && told.some(({ role }) => role === 'sync_standby')
				},
				{ what: `a leader and ${expected.length - 1} replicas, one of them synchronous`, timeoutMs: 40_000, everyMs: 50 },
			)
		},
		async switchOver() {
			const from = await cluster.leader()
			const api = apis[nodes.indexOf(from!)]
			const answer = await fetch(`${api}/switchover`, { method: 'POST', body: JSON.stringify({ leader: from?.name }) })
			if (!answer.ok) throw new Error(`Patroni has refused the switchover: ${await answer.text()}`)
		},
		dispose,
	}
	return cluster
}

function nodeOf(name: string, port: number, folder: string, { patroni, env }: Programs, user: RunAs | undefined): PatroniNode {
	let child: ChildProcess | undefined
	return {
		name,
		host: '127.0.0.1',
		port,
		async query<Row>(text: string): Promise<Row[]> {
			const client = new pg.Client({ host: '127.0.0.1', port, user: 'postgres', database: 'postgres', application_name: 'observer' })
			client.on('error', () => {})
			await client.connect()
			try {
				return (await client.query(text)).rows as Row[]
			} finally {
				await client.end()
			}
		},
		async kill() {
			const server = Number((await readFile(join(folder, 'data/postmaster.pid'), 'utf8')).split('\n')[0])
			// Stopped first, so that it cannot start anything any more.
			signalQuietly(server, 'SIGSTOP')
			const pids = [child?.pid as number, ...childrenOf(server), server]
			for (const pid of pids) signalQuietly(pid, 'SIGKILL')
			await gone(pids, name)
		},
		start() {
			child = spawn('/usr/bin/python3', [patroni, join(folder, 'patroni.yml')], { ...identity(user), env, cwd: folder, stdio: 'ignore' })
		},
	}
}

async function startEtcd({ etcd, env }: Programs, folder: string, user: RunAs | undefined): Promise<number> {
	const [clients, peers] = [await freePort(), await freePort()]
	const [client, peer] = [`http://127.0.0.1:${clients}`, `http://127.0.0.1:${peers}`]
	const data = join(folder, 'etcd')
	const urls = { 'listen-client-urls': client, 'advertise-client-urls': client, 'listen-peer-urls': peer }
	const own = {
		...urls,
		'initial-advertise-peer-urls': peer,
		'initial-cluster': `default=${peer}`,
		'data-dir': data,
		'unsafe-no-fsync': '',
	}
	const args = Object.entries(own).map(([option, value]) => (value === '' ? `--${option}` : `--${option}=${value}`))
	spawn(etcd, args, { ...identity(user), env, cwd: folder, stdio: 'ignore' })
	await until(async () => (await fetch(`${client}/health`)).ok, { what: 'etcd to answer', timeoutMs: 20_000, everyMs: 20 })
	return clients
}

async function writeSettings(
	folder: string,
	{ name, port, apiPort, etcdPort, bin }: { name: string; port: number; apiPort: number; etcdPort: number; bin: string },
	user: RunAs | undefined,
): Promise<void> {
	await mkdir(folder)
	await giveTo(user, folder)
	const trust = ['all', 'replication'].map((database) => `host ${database} all 127.0.0.1/32 trust`)
	const settings = {
		scope: 'holdfast',
		name,
		log: { dir: folder },
		restapi: { listen: `127.0.0.1:${apiPort}`, connect_address: `127.0.0.1:${apiPort}` },
		etcd3: { host: `127.0.0.1:${etcdPort}` },
		bootstrap: {
			dcs: {
				...timing,
				maximum_lag_on_failover: 1_073_741_824,
				synchronous_mode: true,
				postgresql: { use_pg_rewind: true, parameters: { fsync: 'off', wal_keep_size: '128MB', max_connections: 60 } },
			},
			initdb: [{ encoding: 'UTF8' }, { auth: 'trust' }],
		},
		postgresql: {
			listen: `127.0.0.1:${port}`,
			connect_address: `127.0.0.1:${port}`,
			data_dir: join(folder, 'data'),
			bin_dir: bin,
			pgpass: join(folder, 'pgpass'),
			pg_hba: trust,
			authentication: { superuser: { username: 'postgres' }, replication: { username: 'replicator' } },
			parameters: { unix_socket_directories: folder },
		},
	}
	// What is JSON is YAML as well.
	const path = join(folder, 'patroni.yml')
	await writeFile(path, JSON.stringify(settings))
	await chmod(path, 0o644)
}

async function findPrograms(user: RunAs | undefined): Promise<Programs> {
	if (process.platform !== 'linux' || !(await isThere('/usr/bin/python3')))
		throw new Error('Patroni is run out of Debian’s packages, by the python3 of /usr/bin: apt-get install python3')
	const installed = await installedBinaries(undefined)
	const isWhole = installed !== undefined && (await isThere(join(installed.bin, 'pg_basebackup')))
	const root = await unpackedPackages(await cacheFor(user), ['patroni', 'etcd-server', ...(isWhole ? [] : ['postgresql'])])
	const find = async (path: string) => ((await isThere(join(root, path))) ? join(root, path) : join('/', path))
	const unpacked = join(root, 'usr/lib/postgresql')
	const bin = isWhole ? installed.bin : join(unpacked, (await readdir(unpacked)).sort().at(-1)!, 'bin')
	const libraries = await readdir(join(root, 'usr/lib'))
	const env = {
		PATH: `${bin}:/usr/bin:/bin`,
		LANG: 'C.UTF-8',
		PYTHONPATH: join(root, 'usr/lib/python3/dist-packages'),
		LD_LIBRARY_PATH: libraries
			.filter((entry) => entry.endsWith('-linux-gnu'))
			.map((entry) => join(root, 'usr/lib', entry))
			.join(':'),
	}
	return { etcd: await find('usr/bin/etcd'), patroni: await find('usr/bin/patroni'), bin, env }
}

async function lastWords(folder: string): Promise<string> {
	const words: string[] = []
	for (const name of (await readdir(folder)).filter((entry) => entry.startsWith('node'))) {
		const log = await readFile(join(folder, name, 'patroni.log'), 'utf8').catch(() => 'Patroni has written no log')
		words.push(`${name}: ${log.slice(-1_500)}`)
	}
	return `Patroni's cluster has not come up. ${words.join('\n')}`
}

// Those who start servers first. The command line is looked at: a number may belong to somebody else by now.
const sweepText = `
kill_all() {
	for file in "$@"; do
		for pid in $(head -n 1 "$file" 2>/dev/null); do
			case "$(tr '\\0' ' ' 2>/dev/null <"/proc/$pid/cmdline")" in *"$folder"*)
				kill -STOP "$pid"
				kill -9 "$pid" $(cat "/proc/$pid/task/$pid/children" 2>/dev/null) 2>/dev/null
			esac
		done
	done
}
folder=$1
for line in /proc/[0-9]*/cmdline; do
	case "$(tr '\\0' ' ' 2>/dev/null <"$line")" in
		*patroni*"$folder"/*|*etcd*"$folder"/*) kill -9 "$(basename "$(dirname "$line")")" 2>/dev/null
	esac
done
kill_all "$folder"/*/data/postmaster.pid
rm -rf "$folder"
`

/** Ends all that runs in the folder, and removes it. */
function sweep(folder: string): void {
	const { status, stderr } = spawnSync('sh', ['-c', sweepText, 'sweep', folder], { encoding: 'utf8' })
	if (status !== 0) throw new Error(`Patroni's cluster in ${folder} could not be swept away: ${stderr}`)
}

/** The same where this process was killed: a shell that waits for the end of its input. */
function watchdog(folder: string): ChildProcess {
	const text = `trap '' INT TERM HUP; while read -r _; do :; done\n[ -d "$1" ] || exit 0\n${sweepText}`
	const shell = spawn('sh', ['-c', text, 'watchdog', folder], { stdio: ['pipe', 'ignore', 'ignore'], detached: true, cwd: '/' })
	shell.unref()
	shell.stdin.on('error', () => {})
	;(shell.stdin as unknown as { unref(): void }).unref()
	return shell
}
