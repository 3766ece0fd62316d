/** How does a PostgreSQL run as a child of this process: start, stop, kill -9, freeze, remove? */
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { closeSync, openSync, readFileSync, rmSync } from 'node:fs'
import { appendFile, mkdtemp, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { cleanUpAtExit, watchdog } from './cleanup.ts'
import { freePort } from './free-port.ts'
import type { PostgresBackend } from './postgres-backend.ts'
import type { PostgresBinaries } from './postgres-binaries.ts'
import { freshDataFolder } from './postgres-template.ts'
import { childrenOf, gone, signalQuietly } from './processes.ts'
import { giveTo, identity, type RunAs, reachableTmpdir } from './run-as.ts'

/** SIGINT and SIGQUIT are the postmaster's fast and immediate shutdown (PostgreSQL manual, "Shutting Down the Server"). */
const stopSignals = { fast: 'SIGINT', immediate: 'SIGQUIT' } as const

/** One whose files are at hand. */
export interface LocalPostgres extends PostgresBackend {
	readonly dataFolder: string
}

/** Lays out a new cluster in a temporary folder; it does not run yet. `fill` makes its data folder, which does not exist yet. */
export async function localPostgres(
	binaries: PostgresBinaries,
	user: RunAs | undefined,
	settings: Readonly<Record<string, string>>,
	fill: (dataFolder: string) => Promise<void> = (dataFolder) => freshDataFolder(binaries, dataFolder, user),
): Promise<LocalPostgres> {
	const folder = await mkdtemp(join(await reachableTmpdir(user), `holdfast-pg${binaries.major}-`))
	const guard = watchdog(folder)
	const takeBack = cleanUpAtExit(() => {
		killAll()
		rmSync(folder, { recursive: true, force: true, maxRetries: 3 })
	})
	const dataFolder = join(folder, 'data')
	const remove = async () => {
		takeBack()
		await rm(folder, { recursive: true, force: true, maxRetries: 3 })
		guard?.stdin?.end()
	}
	try {
		await giveTo(user, folder)
		await fill(dataFolder)
		const lines = Object.entries(settings).map(([name, value]) => `${name} = '${value.replaceAll("'", "''")}'\n`)
		await appendFile(join(dataFolder, 'postgresql.auto.conf'), lines.join(''))
	} catch (error) {
		await remove()
		throw error
	}
	const port = await freePort()
	const logFile = join(folder, 'log')
	let postmaster: ChildProcess | undefined
	let frozen: number[] = []

	const running = () => (postmaster && postmaster.exitCode === null && postmaster.signalCode === null ? postmaster : undefined)

	/** The postmaster first, so that it forks no more children while they are listed. */
	function freeze(): number[] {
		const pid = running()?.pid
		if (pid === undefined) return []
		signalQuietly(pid, 'SIGSTOP')
		return [pid, ...childrenOf(pid)]
	}

	function killAll(): number[] {
		const all = freeze()
		for (const one of all) signalQuietly(one, 'SIGKILL')
		return all
	}

	function thaw(): void {
		for (const one of frozen) signalQuietly(one, 'SIGCONT')
		frozen = []
	}

	async function exited(child: ChildProcess): Promise<void> {
		if (child.exitCode !== null || child.signalCode !== null) return
		child.ref()
		await once(child, 'exit')
	}

	async function kill(): Promise<void> {
		const child = running()
		if (!child) return
		const pids = killAll()
		frozen = []
		await exited(child)
		await gone(pids, `PostgreSQL ${binaries.major}`)
	}

	let disposed: Promise<void> | undefined
	return {
		source: binaries.source,
		dataFolder,
		major: binaries.major,
		connection: { host: '127.0.0.1', port, user: 'postgres' },
		async start() {
			if (disposed) throw new Error('this PostgreSQL was disposed of')
			if (running()) throw new Error('this PostgreSQL is already running')
			const log = openSync(logFile, 'a')
			const args = ['-D', dataFolder, '-p', String(port), '-c', 'listen_addresses=127.0.0.1', '-c', 'unix_socket_directories=']
			// A session of its own: Ctrl-C in the terminal is for this process, which then decides what becomes of the server.
			const child = spawn(join(binaries.bin, 'postgres'), args, {
				...identity(user),
				cwd: '/',
				detached: true,
				stdio: ['ignore', log, log],
			})
			closeSync(log)
			await once(child, 'spawn')
			child.unref()
			postmaster = child
		},
		failure() {
			if (running()) return undefined
			const log = readFileSync(logFile, 'utf8').trimEnd().split('\n').slice(-12).join('\n')
			return `PostgreSQL ${binaries.major} is not running (exit code ${postmaster?.exitCode ?? 'none'}); its log ends:\n${log}`
		},
		async stop(mode) {
			const child = running()
			if (!child?.pid) return
			thaw()
			const children = childrenOf(child.pid)
			signalQuietly(child.pid, stopSignals[mode])
			await exited(child)
			await gone(children, `the backends of PostgreSQL ${binaries.major}`)
		},
		kill,
		async pause() {
			frozen = freeze()
			if (frozen.length === 0) throw new Error('cannot pause: this PostgreSQL is not running')
			for (const one of frozen) signalQuietly(one, 'SIGSTOP')
		},
		async resume() {
			thaw()
		},
		async killBackend(pid) {
			const parent = running()?.pid
			// A wrong number must not shoot a stranger.
			if (parent === undefined || !childrenOf(parent).includes(pid)) throw new Error(`process ${pid} is no backend of this PostgreSQL`)
			signalQuietly(pid, 'SIGKILL')
		},
		dispose() {
			disposed ??= (async () => {
				await kill()
				await remove()
			})()
			return disposed
		},
	}
}
