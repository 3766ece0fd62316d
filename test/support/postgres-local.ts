/** How does a PostgreSQL run as a child of this process? */
import { spawnSync } from 'node:child_process'
import { existsSync, readFileSync } from 'node:fs'
import { appendFile } from 'node:fs/promises'
import { join } from 'node:path'
import { localServer } from './local-server.ts'
import type { PostgresBackend } from './postgres-backend.ts'
import type { PostgresBinaries } from './postgres-binaries.ts'
import { freshDataFolder } from './postgres-template.ts'
import { signalQuietly } from './processes.ts'
import { type RunAs, reachableTmpdir } from './run-as.ts'

/** SIGINT and SIGQUIT are the postmaster's fast and immediate shutdown (PostgreSQL manual, "Shutting Down the Server"). */
const stopSignals = { fast: 'SIGINT', immediate: 'SIGQUIT' } as const

/**
 * A server that was killed leaves shared memory behind, of which the system has but so much (SHMMNI, on Linux 4,096 pieces), and its lock file,
 * whose seventh line tells key and number (miscadmin.h, LOCK_FILE_LINE_SHMEM_KEY).
 */
function forgetSharedMemory(dataFolder: string): void {
	const file = join(dataFolder, 'postmaster.pid')
	if (!existsSync(file)) return
	const number = readFileSync(file, 'utf8').split('\n')[6]?.trim().split(/\s+/)[1]
	if (number !== undefined) spawnSync('ipcrm', ['-m', number], { stdio: 'ignore' })
}

/** One whose files are at hand. */
export interface LocalPostgres extends PostgresBackend {
	readonly dataFolder: string
}

/** Lays out a new cluster; it does not run yet. `fill` makes its data folder, which does not exist yet. */
export async function localPostgres(
	binaries: PostgresBinaries,
	user: RunAs | undefined,
	settings: Readonly<Record<string, string>>,
	fill: (dataFolder: string) => Promise<void> = (dataFolder) => freshDataFolder(binaries, dataFolder, user),
): Promise<LocalPostgres> {
	const { source, major, bin } = binaries
	const { end, children, port, ...server } = await localServer({
		what: `PostgreSQL ${major}`,
		within: await reachableTmpdir(user),
		prefix: `holdfast-pg${major}-`,
		user,
		async fill(dataFolder) {
			await fill(dataFolder)
			// Dynamic shared memory in the data folder goes with it.
			const lines = Object.entries({ dynamic_shared_memory_type: 'mmap', ...settings }).map(
				([name, value]) => `${name} = '${value.replaceAll("'", "''")}'\n`,
			)
			await appendFile(join(dataFolder, 'postgresql.auto.conf'), lines.join(''))
		},
		forget: forgetSharedMemory,
		command: ({ dataFolder, port }) => [
			...[join(bin, 'postgres'), '-D', dataFolder, '-p', String(port)],
			...['-c', 'listen_addresses=127.0.0.1', '-c', 'unix_socket_directories='],
		],
	})
	return {
		...server,
		source,
		major,
		connection: { host: '127.0.0.1', port, user: 'postgres' },
		stop: (mode) => end(stopSignals[mode]),
		kill: () => end('SIGKILL'),
		async killBackend(pid) {
			// A wrong number must not shoot a stranger.
			if (!children().includes(pid)) throw new Error(`process ${pid} is no backend of this PostgreSQL`)
			signalQuietly(pid, 'SIGKILL')
		},
	}
}
