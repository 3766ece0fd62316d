/** A program that has started a server is ended from outside: does it leave nothing behind? */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync } from 'node:fs'
import { connect } from 'node:net'
import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import { flavours } from '../support/mysql.ts'
import { until } from '../support/until.ts'

const listens = (port: number) =>
	new Promise<boolean>((resolve) => {
		const socket = connect(port, '127.0.0.1')
		socket.once('connect', () => resolve(true)).once('error', () => resolve(false))
		socket.once('connect', () => socket.destroy())
	})

describe.each(['postgres', ...flavours])('%s', (product) => {
	test.each(['SIGINT', 'SIGTERM', 'SIGKILL'] as const)('a program ended by %s leaves no server and no folder behind', async (signal) => {
		const program = spawn(process.execPath, ['--import', 'tsx', join(import.meta.dirname, 'owner.ts'), product], {
			stdio: ['ignore', 'pipe', 'inherit'],
		})
		let said = ''
		program.stdout.on('data', (chunk: Buffer) => {
			said += chunk
		})
		const ended = once(program, 'exit')
		const line = await until(() => said.includes('\n') && said, { what: 'the program to start its server', timeoutMs: 60_000 })
		const { port, folder } = JSON.parse(line) as { port: number; folder: string }
		expect(await listens(port)).toBe(true)
		program.kill(signal)
		expect(await ended).toEqual([null, signal])
		await until(async () => !(await listens(port)) && !existsSync(join(folder, '..')), { what: 'server and folder to be gone' })
	})
})
