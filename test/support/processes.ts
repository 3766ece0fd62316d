/** Which processes belong to a server, and are they gone? Answers without starting another process where /proc exists. */
import { execFileSync } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { until } from './until.ts'

/** The direct children of `pid`; an empty list when it has none or is gone. */
export function childrenOf(pid: number): number[] {
	if (process.platform === 'win32') return []
	try {
		return toNumbers(readFileSync(`/proc/${pid}/task/${pid}/children`, 'utf8'))
	} catch {
		const table = execFileSync('ps', ['-A', '-o', 'pid=,ppid='], { encoding: 'utf8' })
		return table
			.split('\n')
			.map(toNumbers)
			.filter(([, parent]) => parent === pid)
			.map(([child]) => child as number)
	}
}

/** Sends `signal`; a process that is already gone is no error. */
export function signalQuietly(pid: number, signal: NodeJS.Signals): void {
	try {
		process.kill(pid, signal)
	} catch (error) {
		if ((error as NodeJS.ErrnoException).code !== 'ESRCH') throw error
	}
}

/** Whether `pid` still runs. A zombie does not: it holds nothing any more, and only waits for its parent to look at it. */
export function isRunning(pid: number): boolean {
	try {
		process.kill(pid, 0)
	} catch (error) {
		return (error as NodeJS.ErrnoException).code === 'EPERM'
	}
	try {
		const stat = readFileSync(`/proc/${pid}/stat`, 'utf8')
		return !/^[ZX]/.test(stat.slice(stat.lastIndexOf(')') + 2))
	} catch {
		return process.platform !== 'linux'
	}
}

/** Resolves when none of `pids` runs any more. */
export async function gone(pids: readonly number[], what: string): Promise<void> {
	await until(() => !pids.some(isRunning), { what: `${what} to be gone (pids ${pids.join(', ')})`, timeoutMs: 20_000, everyMs: 5 })
}

const toNumbers = (text: string) => text.trim().split(/\s+/).filter(Boolean).map(Number)
