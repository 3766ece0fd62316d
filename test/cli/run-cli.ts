/** How is the command line run in tests? As a child process, with both of its streams kept apart, and never longer than its time. */
import { type ChildProcess, spawn, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { join } from 'node:path'
import { pathToFileURL } from 'node:url'
import { root } from '../repo/modules.ts'
import { until } from '../support/until.ts'

const longestMs = 60_000

export interface CliOptions {
	/** Beside what the tests themselves run with; never their DATABASE_URL. */
	readonly env?: NodeJS.ProcessEnv
	readonly cwd?: string
}

/** A command line under way. */
export interface Running {
	readonly child: ChildProcess
	readonly out: string
	readonly err: string
	/** Resolves when stderr or stdout holds the text. */
	said(text: string): Promise<unknown>
	ended(): Promise<Ended>
}

export interface Ended {
	/** The exit code; null when it had to be killed. */
	readonly code: number | null
	readonly out: string
	readonly err: string
}

/** What is built is a quarter of a second faster; where it is not what the sources say, the sources are run. */
function isBuilt(): boolean {
	const program = `import { distIsCurrent } from ${JSON.stringify(pathToFileURL(join(root, 'scripts/dist.mjs')).href)}
		process.exit(distIsCurrent(${JSON.stringify(root)}) ? 0 : 1)`
	return spawnSync(process.execPath, ['--input-type=module', '-e', program]).status === 0
}

const cliCommand = isBuilt()
	? ([process.execPath, join(root, 'dist/cli/main.js')] as const)
	: ([process.execPath, '--import', import.meta.resolve('tsx'), join(root, 'cli/main.ts')] as const)

/** Starts it. */
export function startCli(words: readonly string[], { env = {}, cwd }: CliOptions = {}): Running {
	const [file, ...before] = cliCommand
	const clean = Object.fromEntries(Object.entries(process.env).filter(([name]) => !/^(PG|MYSQL|DATABASE_URL)/.test(name)))
	const child = spawn(file, [...before, ...words], {
		cwd,
		env: { ...clean, TSX_DISABLE_CACHE: '1', ...env },
		stdio: ['ignore', 'pipe', 'pipe'],
		timeout: longestMs,
		killSignal: 'SIGKILL',
	})
	const kept = { out: '', err: '' }
	child.stdout?.on('data', (chunk: Buffer) => {
		kept.out += chunk
	})
	child.stderr?.on('data', (chunk: Buffer) => {
		kept.err += chunk
	})
	const closed = once(child, 'close')
	return {
		child,
		get out() {
			return kept.out
		},
		get err() {
			return kept.err
		},
		said: (text) => until(() => (kept.out + kept.err).includes(text), { what: `the command line to say "${text}"`, timeoutMs: 20_000 }),
		async ended() {
			const [code] = (await closed) as [number | null]
			return { code, ...kept }
		},
	}
}

/** Runs it to its end. */
export function cli(...words: string[]): Promise<Ended> {
	return startCli(words).ended()
}
