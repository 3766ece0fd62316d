/** How does a MySQL or MariaDB run as a child of this process: start, stop, kill -9, freeze, remove? */
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { closeSync, openSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { cleanUpAtExit, watchdog } from './cleanup.ts'
import { freePort } from './free-port.ts'
import { applicationUser, firstDatabase, type MysqlBackend } from './mysql-backend.ts'
import type { ServerProgram } from './mysql-programs.ts'
import { serverFlags } from './mysql-settings.ts'
import { asWhom, freshMysqlFolder } from './mysql-template.ts'
import { childrenOf, gone, signalQuietly } from './processes.ts'

/** Lays out a new data folder, with these files beside the server's; it does not run yet. `settings` override ours. */
export async function localMysql(
	program: ServerProgram,
	settings: Readonly<Record<string, string>>,
	files: Readonly<Record<string, string>> = {},
): Promise<MysqlBackend> {
	const { flavour, version } = program
	const what = `${flavour} ${version}`
	const folder = await mkdtemp(join(tmpdir(), `holdfast-${flavour}-`))
	const guard = watchdog(folder, 'pid')
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
		await freshMysqlFolder(program, dataFolder)
		for (const [name, content] of Object.entries(files)) await writeFile(join(dataFolder, name), content)
	} catch (error) {
		await remove()
		throw error
	}
	const port = await freePort()
	const logFile = join(folder, 'log')
	// A socket file with a short name: the system allows about a hundred characters. It is in the data folder.
	const own = [`--datadir=${dataFolder}`, `--port=${port}`, '--bind-address=127.0.0.1', '--socket=socket', `--pid-file=${folder}/own.pid`]
	const args = ['--no-defaults', ...program.places, ...own, ...asWhom(), ...serverFlags(flavour, settings)]
	let child: ChildProcess | undefined
	let frozen: number[] = []

	const running = () => (child && child.exitCode === null && child.signalCode === null ? child : undefined)

	/** The server, and what it has started itself: scripts that bring a cluster's node up to date. */
	function all(): number[] {
		const pid = running()?.pid
		return pid === undefined ? [] : [pid, ...childrenOf(pid)]
	}

	function killAll(): number[] {
		const pids = all()
		for (const pid of pids) signalQuietly(pid, 'SIGKILL')
		return pids
	}

	function thaw(): void {
		for (const pid of frozen) signalQuietly(pid, 'SIGCONT')
		frozen = []
	}

	async function end(signal: 'SIGTERM' | 'SIGKILL'): Promise<void> {
		const ending = running()
		if (!ending) return
		const pids = all()
		ending.ref()
		const exited = once(ending, 'exit')
		if (signal === 'SIGKILL') killAll()
		else ending.kill(signal)
		// The system reports the exit when the last thread has let go of its files: a restart finds no lock of theirs.
		await exited
		await gone(pids, what)
	}

	async function kill(): Promise<void> {
		frozen = []
		await end('SIGKILL')
	}

	let disposed: Promise<void> | undefined
	const account = { host: '127.0.0.1', port, database: firstDatabase }
	return {
		source: program.source,
		flavour,
		accounts: { admin: { ...account, user: 'root' }, user: { ...account, user: applicationUser } },
		async start() {
			if (disposed) throw new Error(`this ${flavour} was disposed of`)
			if (running()) throw new Error(`this ${flavour} is already running`)
			const output = openSync(logFile, 'a')
			const [first, ...rest] = [...program.command, ...args]
			// A session of its own: Ctrl-C in the terminal is for this process, which then decides what becomes of the server.
			const server = spawn(first!, rest, { cwd: '/', detached: true, stdio: ['ignore', output, output] })
			closeSync(output)
			await once(server, 'spawn')
			// For the watchdog. The server would write its own only when it is up.
			writeFileSync(join(folder, 'pid'), `${server.pid}\n`)
			server.unref()
			child = server
		},
		failure() {
			if (running()) return undefined
			const end = readFileSync(logFile, 'utf8').trimEnd().split('\n').slice(-12).join('\n')
			return `${what} is not running (exit code ${child?.exitCode ?? 'none'}); its log ends:\n${end}`
		},
		async stop() {
			thaw()
			await end('SIGTERM')
		},
		kill,
		async pause() {
			frozen = all()
			if (frozen.length === 0) throw new Error(`cannot pause: this ${flavour} is not running`)
			for (const pid of frozen) signalQuietly(pid, 'SIGSTOP')
		},
		async resume() {
			thaw()
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
