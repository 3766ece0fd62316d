/** How does a PgBouncer get in front of a server? From PATH, else unpacked from Debian's packages without installing it. */
import { type ChildProcess, execFile, spawn } from 'node:child_process'
import { once } from 'node:events'
import { rmSync } from 'node:fs'
import { access, mkdir, mkdtemp, readdir, rename, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { promisify } from 'node:util'
import pg from 'pg'
import { cleanUpAtExit } from './cleanup.ts'
import { withFileLock } from './file-lock.ts'
import { freePort } from './free-port.ts'
import type { PostgresServer } from './postgres.ts'
import { cacheFolder } from './private-package.ts'
import { giveTo, identity, reachable, reachableTmpdir, runAs } from './run-as.ts'
import { until } from './until.ts'

const run = promisify(execFile)

export interface PgBouncer {
	readonly host: string
	readonly port: number
	/** How a pg pool connects through it. */
	config(database?: string): { host: string; port: number; user: string; database: string }
	/** Runs a command of its console, such as `PAUSE` or `SHOW POOLS`: the rows, once it has happened. */
	console(command: string): Promise<Record<string, unknown>[]>
	/** SIGINT (after the transactions that run) or kill -9; resolves when it is gone. */
	end(signal: 'SIGINT' | 'SIGKILL'): Promise<void>
	/** Starts it again on the same port. Resolves when it answers a query. */
	start(): Promise<void>
	/** Ends it and removes its files. */
	stop(): Promise<void>
}

interface Binary {
	readonly path: string
	readonly env: NodeJS.ProcessEnv
}

/** Starts one in front of the server, in transaction mode by default, with `poolSize` server connections for each database. Throws loudly where none can be had. */
export async function startPgBouncer(
	server: PostgresServer,
	poolSize: number,
	mode: 'transaction' | 'session' = 'transaction',
): Promise<PgBouncer> {
	const user = await runAs()
	const folder = await mkdtemp(join(await reachableTmpdir(user), 'holdfast-pgbouncer-'))
	await giveTo(user, folder)
	const binary = await findBinary(folder)
	const port = await freePort()
	const { host, user: role, password } = server.config()
	await writeFile(join(folder, 'users'), `"${role}" "${password ?? ''}"\n`, { mode: 0o644 })
	await writeFile(
		join(folder, 'ini'),
		`[databases]
* = host=${host} port=${server.port}
[pgbouncer]
listen_addr = 127.0.0.1
listen_port = ${port}
unix_socket_dir =
auth_type = any
admin_users = ${role}
auth_file = ${join(folder, 'users')}
pool_mode = ${mode}
default_pool_size = ${poolSize}
max_client_conn = 200
server_lifetime = 3600
`.replace('* =', `* = user=${role}`),
		{ mode: 0o644 },
	)
	let child: ChildProcess | undefined
	const takeBack = cleanUpAtExit(() => {
		child?.kill('SIGKILL')
		rmSync(folder, { recursive: true, force: true })
	})
	const bouncer: PgBouncer = {
		host: '127.0.0.1',
		port,
		config: (database = 'postgres') => ({ host: '127.0.0.1', port, user: role, database }),
		async console(command) {
			const client = new pg.Client(bouncer.config('pgbouncer'))
			client.on('error', () => {})
			await client.connect()
			try {
				return (await client.query(command)).rows
			} finally {
				await client.end()
			}
		},
		async end(signal) {
			const ending = child
			if (ending === undefined || ending.exitCode !== null || ending.signalCode !== null) return
			const ended = once(ending, 'exit')
			ending.kill(signal)
			await ended
		},
		async start() {
			child = spawn(binary.path, [join(folder, 'ini')], { ...identity(user), env: binary.env, stdio: 'ignore' })
			await until(
				async () => {
					const client = new pg.Client(bouncer.config())
					client.on('error', () => {})
					await client.connect()
					await client.query('SELECT 1')
					await client.end()
					return true
				},
				{ what: 'PgBouncer to answer', timeoutMs: 10_000 },
			)
		},
		async stop() {
			takeBack()
			await bouncer.end('SIGKILL')
			await rm(folder, { recursive: true, force: true })
		},
	}
	await bouncer.start().catch(async (error: unknown) => {
		await bouncer.stop()
		throw error
	})
	return bouncer
}

async function findBinary(folder: string): Promise<Binary> {
	for (const directory of [...(process.env.PATH ?? '').split(':'), '/usr/sbin']) {
		const path = join(directory, 'pgbouncer')
		if (await there(path)) return { path, env: process.env }
	}
	const cached = join(cacheFolder, 'pgbouncer')
	await withFileLock(join(cacheFolder, 'locks', 'pgbouncer'), async () => {
		if (!(await there(join(cached, 'usr/sbin/pgbouncer')))) await unpack(cached)
	})
	// The cache may lie where the user who runs it cannot go.
	const root = (await reachable(await runAs(), cached)) ? cached : join(folder, 'root')
	if (root !== cached) await run('cp', ['-r', cached, root])
	const triplet = (await readdir(join(root, 'usr/lib'))).find((name) => name.includes('linux')) ?? ''
	const LD_LIBRARY_PATH = join(root, 'usr/lib', triplet)
	return { path: join(root, 'usr/sbin/pgbouncer'), env: { ...process.env, LD_LIBRARY_PATH } }
}

async function unpack(target: string): Promise<void> {
	const work = `${target}.${process.pid}`
	await mkdir(work, { recursive: true })
	try {
		const packages = ['pgbouncer', 'libc-ares2', 'libevent-2.1-7']
		const download = () => run('apt-get', ['download', ...packages], { cwd: work })
		await download().catch(async () => {
			await run('apt-get', ['update'])
			await download()
		})
		for (const file of await readdir(work)) if (file.endsWith('.deb')) await run('dpkg', ['-x', join(work, file), join(work, 'root')])
		await rename(join(work, 'root'), target)
	} catch (cause) {
		throw new Error("PgBouncer is not in PATH and could not be unpacked from Debian's packages: install it to run its tests", { cause })
	} finally {
		await rm(work, { recursive: true, force: true })
	}
}

const there = (path: string): Promise<boolean> =>
	access(path).then(
		() => true,
		() => false,
	)
