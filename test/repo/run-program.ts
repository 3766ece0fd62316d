/** Does a program end by itself, and how? Runs one as a child process with its output kept. */
import { spawn } from 'node:child_process'

/** How a program ended. */
export interface Ending {
	/** The exit code; `null` when it had to be killed. */
	readonly code: number | null
	/** What it wrote, both streams in the order of arrival. */
	readonly output: string
}

/** Runs a program to its end, or kills it after `timeLimitMs`. */
export function runProgram(
	command: string,
	args: readonly string[],
	options: { cwd: string; env?: NodeJS.ProcessEnv; timeLimitMs: number },
): Promise<Ending> {
	return new Promise((resolve, reject) => {
		const child = spawn(command, args, {
			cwd: options.cwd,
			env: { ...process.env, ...options.env },
			stdio: ['ignore', 'pipe', 'pipe'],
			timeout: options.timeLimitMs,
			killSignal: 'SIGKILL',
		})
		let output = ''
		const keep = (chunk: Buffer) => {
			output += chunk
		}
		child.stdout.on('data', keep)
		child.stderr.on('data', keep)
		child.on('error', reject)
		child.on('close', (code) => resolve({ code, output }))
	})
}
