/** Does `wait` show one line that changes in a terminal, and is a dropped connection attempt told from a refused one? */
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { connect, type Socket } from 'node:net'
import { expect, test } from 'vitest'
import { run } from '../../cli/program.ts'
import { Secrets } from '../../cli/secrets.ts'
import { Terminal } from '../../cli/terminal.ts'
import { cli } from './run-cli.ts'

const clearLine = '\r\x1b[K'

test('in a terminal the line is written anew, is never wider than the terminal, and is gone at the end', async () => {
	const err = { text: '', isTTY: true, columns: 40, write: (text: string) => (err.text += text) }
	const code = await run(['wait', '--timeout', '300ms', 'postgres://127.0.0.1:1/db'], { out: err, err })
	const lines = err.text.split(clearLine)
	expect(code).toBe(124)
	expect(lines.length).toBeGreaterThan(2)
	expect(lines.slice(1, -1).filter((line) => line.includes('\n') || line.length >= 40)).toEqual([])
	expect(lines.at(-1)).toMatch(/^holdfast: 127\.0\.0\.1:1 is down: nothing listens there; gave up after .*\n$/)
})

test('a dumb terminal and a pipe get plain lines', async () => {
	const term = process.env.TERM
	process.env.TERM = 'dumb'
	try {
		const err = { text: '', isTTY: true, write: (text: string) => (err.text += text) }
		await run(['wait', '--timeout', '300ms', 'postgres://127.0.0.1:1/db'], { out: err, err })
		expect(err.text).not.toContain('\x1b')
		expect(err.text.split('\n').filter((line) => line.includes('waiting'))).toHaveLength(1)
	} finally {
		process.env.TERM = term
	}
})

test('a result clears the line first', () => {
	const all = { text: '', isTTY: true, write: (text: string) => (all.text += text) }
	const terminal = new Terminal({ out: all, err: all }, new Secrets())
	terminal.update('waiting')
	terminal.update('waiting')
	terminal.print('done')
	expect(all.text).toBe(`${clearLine}waiting${clearLine}done\n`)
})

// A process that listens and never comes round to accept: when its queue is full, Linux drops further attempts without a word.
const deaf = `const server = require('node:net').createServer().listen({ port: 0, host: '127.0.0.1', backlog: 1 }, () => {
	process.stdout.write(server.address().port + '\\n', () => Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0))
})`

test.runIf(process.platform === 'linux')('connection attempts that are dropped on the way: silent, and not down', async () => {
	const listener: ChildProcess = spawn(process.execPath, ['-e', deaf], { stdio: ['ignore', 'pipe', 'inherit'] })
	const [line] = (await once(listener.stdout as NodeJS.ReadableStream, 'data')) as [Buffer]
	const port = Number(String(line).trim())
	const filling: Socket[] = []
	try {
		// The queue is one longer than it was asked to be.
		for (let place = 0; place < 2; place++) {
			const socket = connect(port, '127.0.0.1')
			filling.push(socket)
			await once(socket, 'connect')
		}
		for (const url of [`postgres://127.0.0.1:${port}/db`, `mysql://root@127.0.0.1:${port}/db`]) {
			expect(await cli('doctor', '--timeout', '1s', url)).toMatchObject({ code: 11, out: expect.stringContaining('does not answer') })
			expect(await cli('wait', '--timeout', '1s', url)).toMatchObject({ code: 124, err: expect.stringContaining('does not answer') })
		}
	} finally {
		for (const socket of filling) socket.destroy()
		listener.kill('SIGKILL')
		await once(listener, 'exit')
	}
})
