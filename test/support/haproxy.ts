/** How does an HAProxy get in front of two servers? It sends everybody to the first that lets a connection be made, as a TCP check sees it. */
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { rmSync } from 'node:fs'
import { access, mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { cleanUpAtExit } from './cleanup.ts'
import { freePort } from './free-port.ts'
import { unpackedTree } from './mysql-debian.ts'
import { until } from './until.ts'

export interface Haproxy {
	readonly host: string
	readonly port: number
	/** Which of the servers, counted from 0, new connections go to; undefined where none is up. */
	leadsTo(): Promise<number | undefined>
	stop(): Promise<void>
}

/** Starts one in front of these servers; those behind the first serve while it is down. Throws where HAProxy cannot be had. */
export async function startHaproxy(servers: ReadonlyArray<{ readonly host: string; readonly port: number }>): Promise<Haproxy> {
	const [program, ...args] = await findCommand()
	const folder = await mkdtemp(join(tmpdir(), 'holdfast-haproxy-'))
	const port = await freePort()
	const statusPort = await freePort()
	const lines = servers.map(
		({ host, port: target }, at) =>
			`	server s${at} ${host}:${target} check inter 100ms fall 1 rise 1 on-marked-down shutdown-sessions${at === 0 ? '' : ' backup'}`,
	)
	await writeFile(
		join(folder, 'cfg'),
		`defaults
	mode tcp
	timeout connect 1s
	timeout client 1h
	timeout server 1h
frontend door
	bind 127.0.0.1:${port}
	default_backend database
backend database
	option tcp-check
${lines.join('\n')}
frontend status
	mode http
	timeout client 5s
	bind 127.0.0.1:${statusPort}
	stats enable
	stats uri /
`,
	)
	const child: ChildProcess = spawn(program!, [...args, '-db', '-f', join(folder, 'cfg')], { stdio: 'ignore' })
	const takeBack = cleanUpAtExit(() => {
		child.kill('SIGKILL')
		rmSync(folder, { recursive: true, force: true })
	})
	const haproxy: Haproxy = {
		host: '127.0.0.1',
		port,
		async leadsTo() {
			const table = await (await fetch(`http://127.0.0.1:${statusPort}/;csv`)).text()
			const [head = '', ...rows] = table.split('\n')
			const at = head.split(',').indexOf('status')
			const up = rows
				.map((row) => row.split(','))
				.find(([where, name, ...rest]) => where === 'database' && /^s\d/.test(name!) && rest[at - 2]?.startsWith('UP'))
			return up === undefined ? undefined : Number(up[1]?.slice(1))
		},
		async stop() {
			takeBack()
			const ended = once(child, 'exit')
			if (child.exitCode === null && child.kill('SIGKILL')) await ended
			await rm(folder, { recursive: true, force: true })
		},
	}
	await until(async () => (await haproxy.leadsTo()) !== undefined, { what: 'HAProxy to find a server', timeoutMs: 10_000 }).catch(
		async (error: unknown) => {
			await haproxy.stop()
			throw error
		},
	)
	return haproxy
}

/** From PATH, else out of Debian's packages. */
async function findCommand(): Promise<readonly string[]> {
	for (const folder of [...(process.env.PATH ?? '').split(':'), '/usr/sbin']) {
		const path = join(folder, 'haproxy')
		const there = await access(path).then(
			() => true,
			() => false,
		)
		if (there) return [path]
	}
	const { root, loader } = await unpackedTree({ suite: 'bookworm', name: 'haproxy' })
	return [...loader, join(root, 'usr/sbin/haproxy')]
}
