/** How does a server run as a child of this process: start, stop, kill -9, freeze, remove? */
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { closeSync, openSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { mkdtemp, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { cleanUpAtExit, watchdog } from './cleanup.ts'
import { freePort } from './free-port.ts'
import { childrenOf, gone, signalQuietly } from './processes.ts'
import { giveTo, identity, type RunAs } from './run-as.ts'

/** Where a server has its files. */
export interface Place {
	readonly folder: string
	/** In that folder. The watchdog knows the server by this path in its command line. */
	readonly dataFolder: string
	/** Of 127.0.0.1. */
	readonly port: number
}

export interface LocalPlan {
	/** What errors call it, such as "PostgreSQL 18". */
	readonly what: string
	/** A folder for temporary files that its user can reach. */
	readonly within: string
	/** Begins the name of its own folder there. */
	readonly prefix: string
	/** Whose identity it is lent. */
	readonly user?: RunAs | undefined
	/** Makes the data folder, which does not exist yet. */
	fill(dataFolder: string): Promise<void>
	/** The program and its arguments. */
	command(place: Place): readonly string[]
	/** Takes back what it leaves behind in the system when it was killed. It does not run any more, and its data folder is still there. */
	forget?(dataFolder: string): void
}

export interface LocalServer extends Place {
	/** Starts it; the caller finds out when it answers. */
	start(): Promise<void>
	/** Why it will never answer, with the end of its log; undefined while it runs. */
	failure(): string | undefined
	/** Sends the signal and resolves when it and its children are gone; kill -9 reaches the children as well. Nothing where it does not run. */
	end(signal: NodeJS.Signals): Promise<void>
	pause(): Promise<void>
	resume(): Promise<void>
	/** The processes that it has started itself. */
	children(): number[]
	dispose(): Promise<void>
}

/** Lays it out in a temporary folder; it does not run yet. */
export async function localServer({ what, within, prefix, user, fill, command, forget }: LocalPlan): Promise<LocalServer> {
	const folder = await mkdtemp(join(within, prefix))
	const guard = watchdog(folder)
	const takeBack = cleanUpAtExit(() => {
		killAll()
		forget?.(dataFolder)
		rmSync(folder, { recursive: true, force: true, maxRetries: 3 })
	})
	const dataFolder = join(folder, 'data')
	const remove = async () => {
		takeBack()
		forget?.(dataFolder)
		await rm(folder, { recursive: true, force: true, maxRetries: 3 })
		guard?.stdin?.end()
	}
	try {
		await giveTo(user, folder)
		await fill(dataFolder)
	} catch (error) {
		await remove()
		throw error
	}
	const place: Place = { folder, dataFolder, port: await freePort() }
	const logFile = join(folder, 'log')
	let child: ChildProcess | undefined
	let frozen: number[] = []

	const running = () => (child && child.exitCode === null && child.signalCode === null ? child : undefined)

	const children = () => {
		const pid = running()?.pid
		return pid === undefined ? [] : childrenOf(pid)
	}

	/** The server and its children. The server is frozen first, so that it starts no more of them while they are listed. */
	function held(): number[] {
		const pid = running()?.pid
		if (pid === undefined) return []
		signalQuietly(pid, 'SIGSTOP')
		return [pid, ...childrenOf(pid)]
	}

	function killAll(): number[] {
		const pids = held()
		for (const pid of pids) signalQuietly(pid, 'SIGKILL')
		return pids
	}

	function thaw(): void {
		for (const pid of frozen) signalQuietly(pid, 'SIGCONT')
		frozen = []
	}

	async function end(signal: NodeJS.Signals): Promise<void> {
		const ending = running()
		if (ending === undefined) return
		const kills = signal === 'SIGKILL'
		if (!kills) thaw()
		frozen = []
		ending.ref()
		const exited = once(ending, 'exit')
		const pids = kills ? killAll() : [ending.pid as number, ...children()]
		if (!kills) ending.kill(signal)
		// The system reports the exit when the last thread has let go of its files: a restart finds no lock of theirs.
		await exited
		await gone(pids, what)
	}

	let disposed: Promise<void> | undefined
	return {
		...place,
		async start() {
			if (disposed) throw new Error(`this ${what} was disposed of`)
			if (running()) throw new Error(`this ${what} is already running`)
			const output = openSync(logFile, 'a')
			const [program, ...args] = command(place)
			// A session of its own: Ctrl-C in the terminal is for this process, which then decides what becomes of the server.
			const server = spawn(program!, args, { ...identity(user), cwd: '/', detached: true, stdio: ['ignore', output, output] })
			closeSync(output)
			await once(server, 'spawn')
			// For the watchdog. Servers write their own number later, or in files of other names.
			writeFileSync(join(folder, 'pid'), `${server.pid}\n`)
			server.unref()
			child = server
		},
		failure() {
			if (running()) return undefined
			const log = readFileSync(logFile, 'utf8').trimEnd().split('\n').slice(-12).join('\n')
			return `${what} is not running (exit code ${child?.exitCode ?? 'none'}); its log ends:\n${log}`
		},
		end,
		async pause() {
			frozen = held()
			if (frozen.length === 0) throw new Error(`cannot pause: this ${what} is not running`)
			for (const pid of frozen) signalQuietly(pid, 'SIGSTOP')
		},
		async resume() {
			thaw()
		},
		children,
		dispose() {
			disposed ??= (async () => {
				await end('SIGKILL')
				await remove()
			})()
			return disposed
		},
	}
}
