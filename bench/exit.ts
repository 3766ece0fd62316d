/** Does Node exit by itself after pool.end(), also during an outage with parked callers? */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { createServer, type Server, type Socket } from 'node:net'
import { join } from 'node:path'
import { freePort } from '../test/support/free-port.ts'
import type { Report } from './support/report.ts'
import { openSubject, type ServerName } from './support/subject.ts'

const callers = 1_000
const killAfterMs = 30_000
const mostMs = 1_000
const program = join(import.meta.dirname, 'support/exiting-program.ts')

interface Exit {
	readonly how: string
	readonly afterMs: number
	readonly errors: string
	readonly clearErrors: number
}

export async function run(report: Report, on: ServerName): Promise<void> {
	const { server, title } = await openSubject(on)
	const silent = await listen(() => {})
	const resetting = await listen((socket) => socket.resetAndDestroy())
	try {
		report.say(`- ${title}; a child process with 3 pools of 10 ends them and then does nothing more.`)
		const situations = [
			{ name: 'idle connections', situation: 'idle', port: server.port, callers: 0 },
			{ name: 'connection refused', situation: 'outage', port: await freePort(), callers },
			{ name: 'connections are reset', situation: 'outage', port: portOf(resetting), callers },
			{ name: 'the server says nothing', situation: 'outage', port: portOf(silent), callers },
		]
		const rows: (string | number)[][] = []
		for (const { name, situation, port, callers } of situations) {
			const { how, afterMs, errors, clearErrors } = await exitOf([on === 'postgres' ? 'pg' : 'mysql2', situation, `${port}`, `${callers}`])
			rows.push([name, callers, how, afterMs, errors])
			report.progress(`${name}: ${how} after ${afterMs} ms`)
			report.atMost(`${name}: ms from pool.end() to the exit`, afterMs, mostMs)
			if (callers > 0) report.atLeast(`${name}: parked callers that got a clear error`, clearErrors, callers)
		}
		report.table(['situation', 'parked callers', 'exit', 'ms after pool.end()', 'what the callers got'], rows)
	} finally {
		silent.close()
		resetting.close()
		await server.dispose()
	}
}

const held = new Set<Socket>()

async function listen(onSocket: (socket: Socket) => void): Promise<Server> {
	const server = createServer((socket) => {
		held.add(socket)
		socket.on('error', () => {})
		socket.on('close', () => held.delete(socket))
		socket.resume()
		onSocket(socket)
	})
	server.listen(0, '127.0.0.1')
	await once(server, 'listening')
	return server
}

function portOf(server: Server): number {
	const address = server.address()
	return typeof address === 'object' && address !== null ? address.port : 0
}

/** Runs the program with this process's own flags, and kills it when it does not end. */
async function exitOf(args: readonly string[]): Promise<Exit> {
	const child = spawn(process.execPath, [...process.execArgv, program, ...args], { stdio: ['ignore', 'pipe', 'pipe'] })
	const killer = setTimeout(() => child.kill('SIGKILL'), killAfterMs)
	let said = ''
	child.stdout.on('data', (chunk: Buffer) => {
		said += chunk
	})
	child.stderr.on('data', (chunk: Buffer) => {
		said += chunk
	})
	const [code, signal] = (await once(child, 'close')) as [number | null, NodeJS.Signals | null]
	const exitedAt = Date.now()
	clearTimeout(killer)
	const line = said.split('\n').find((text) => text.startsWith('{'))
	if (line === undefined)
		return { how: signal ?? `code ${code}`, afterMs: Number.POSITIVE_INFINITY, errors: said.trim().slice(0, 200), clearErrors: 0 }
	const { endedAt, codes } = JSON.parse(line) as { endedAt: number; codes: Record<string, number> }
	const errors = Object.entries(codes).map(([name, count]) => `${count} × ${name}`)
	return {
		how: signal ?? `by itself, code ${code}`,
		afterMs: code === 0 ? exitedAt - endedAt : Number.POSITIVE_INFINITY,
		errors: errors.join(', ') || '–',
		clearErrors: codes.HOLDFAST_CLOSED ?? 0,
	}
}
