/** Who cleans up when the program ends in whatever way: by itself, by a signal, or by kill -9? */
import { type ChildProcess, spawn } from 'node:child_process'

const pending = new Set<() => void>()

/** Runs `cleanUp` (synchronous) when this process exits or is told to by SIGINT, SIGTERM or SIGHUP. Returns the way to take it back. */
export function cleanUpAtExit(cleanUp: () => void): () => void {
	if (pending.size === 0) arm()
	pending.add(cleanUp)
	return () => {
		if (pending.delete(cleanUp) && pending.size === 0) disarm()
	}
}

const signals = ['SIGINT', 'SIGTERM', 'SIGHUP'] as const

function arm(): void {
	process.on('exit', cleanUpAll)
	for (const signal of signals) process.on(signal, cleanUpAndDie)
}

function disarm(): void {
	process.removeListener('exit', cleanUpAll)
	for (const signal of signals) process.removeListener(signal, cleanUpAndDie)
}

function cleanUpAll(): void {
	for (const cleanUp of pending) {
		try {
			cleanUp()
		} catch (error) {
			process.stderr.write(`clean-up failed: ${String(error)}\n`)
		}
	}
	pending.clear()
	disarm()
}

function cleanUpAndDie(signal: NodeJS.Signals): void {
	// A program with a handler of its own decides itself when to end; its exit cleans up.
	if (process.listenerCount(signal) > 1) return
	cleanUpAll()
	process.kill(process.pid, signal)
}

/**
 * The shell waits for the end of its input, which comes when this process is gone, however it died. Then it kills the
 * server of `$1/data`, whose number is in `$1/pid`, with its children and removes `$1`. It looks at the command line first: the number
 * may belong to somebody else by then. The server is stopped first so that it cannot fork any more.
 */
const watch = `
trap '' INT TERM HUP
while read -r _; do :; done
pid=$(head -n 1 "$1/pid" 2>/dev/null)
if [ -n "$pid" ]; then
	if [ -d /proc/self ]; then line=$(tr '\\0' ' ' 2>/dev/null <"/proc/$pid/cmdline"); else line=$(ps -o args= -p "$pid"); fi
	case "$line" in *"$1/data"*)
		kill -STOP "$pid"
		children=$(cat "/proc/$pid/task/$pid/children" 2>/dev/null || ps -A -o pid=,ppid= | awk -v p="$pid" '$2 == p { print $1 }')
		kill -9 "$pid" $children 2>/dev/null
	esac
fi
rm -rf "$1"
`

/** Starts a tiny shell that outlives this process by a moment and removes the server in `folder`. Ends when its input is closed. */
export function watchdog(folder: string): ChildProcess | undefined {
	if (process.platform === 'win32') return undefined
	// A session of its own: Ctrl-C in the terminal must not reach it.
	const shell = spawn('sh', ['-c', watch, 'watchdog', folder], { stdio: ['pipe', 'ignore', 'ignore'], detached: true, cwd: '/' })
	shell.unref()
	const input = shell.stdin as unknown as { unref(): void } & NodeJS.EventEmitter
	input.on('error', () => {})
	input.unref()
	return shell
}
