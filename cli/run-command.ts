/** How is the command behind `--` run, as if it had been started in our place? */
import { spawn } from 'node:child_process'
import { constants } from 'node:os'
import { endings, signalBase } from './exit-codes.ts'
import type { Terminal } from './terminal.ts'

/** The signals that a process may want to hear of; those of a terminal's keys are apart. */
const passed = ['SIGTERM', 'SIGHUP', 'SIGUSR1', 'SIGUSR2', 'SIGCONT', 'SIGWINCH'] as const
const ofKeys = ['SIGINT', 'SIGQUIT'] as const

/** Resolves with its exit code, or 128 and the number of the signal that ended it. It has our streams, environment and folder. */
export function runCommand(command: readonly string[], terminal: Terminal, keys = process.stdin.isTTY === true): Promise<number> {
	const [file = '', ...args] = command
	return new Promise((resolve) => {
		const child = spawn(file, args, { stdio: 'inherit' })
		const heard = [...passed, ...ofKeys].map((signal) => {
			// The terminal has sent it to the command as well, and a second Ctrl-C means something else to many programs.
			const send = () => (keys && (ofKeys as readonly string[]).includes(signal) ? undefined : child.kill(signal))
			process.on(signal, send)
			return [signal, send] as const
		})
		const end = (code: number) => {
			for (const [signal, send] of heard) process.removeListener(signal, send)
			resolve(code)
		}
		child.on('error', (error: NodeJS.ErrnoException) => {
			if (child.pid !== undefined) return
			const missing = error.code === 'ENOENT'
			terminal.tell(missing ? `there is no command ${file}` : `the command ${file} cannot be run: ${error.message}`)
			end(missing ? endings.notFound.code : endings.notExecutable.code)
		})
		child.on('exit', (code, signal) => end(code ?? signalCode(signal as NodeJS.Signals)))
	})
}

/** The exit code of a process that the signal ended. */
export function signalCode(signal: NodeJS.Signals): number {
	return signalBase + constants.signals[signal]
}
