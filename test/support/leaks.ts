/** What is left over after a test: backends on the server, handles in this process, errors that nobody caught? */
import { watchTimers } from './live-timers.ts'
import type { PostgresServer } from './postgres.ts'
import { until } from './until.ts'

/** How long leftovers may take to go away by default: sockets and backends close a moment after their owner let them go. */
const patientMs = 5_000

/**
 * Resolves when the server has no client backend left but the one that asks; with `applicationName`, none of that name.
 * Throws an Error that lists those that stayed.
 */
export async function assertNoBackends(
	server: Pick<PostgresServer, 'query'>,
	applicationName?: string,
	patienceMs = patientMs,
): Promise<void> {
	const named = applicationName === undefined ? '' : `and application_name = '${applicationName.replaceAll("'", "''")}'`
	const sql = `select pid, application_name, datname, state, left(query, 80) as query from pg_stat_activity
		where backend_type = 'client backend' and pid <> pg_backend_pid() and application_name <> 'holdfast-admin' ${named}`
	await nothingLeft('backends', patienceMs, async () => (await server.query(sql)).map((row) => JSON.stringify(row)))
}

/** What this process holds since the mark. */
export interface HandleMark {
	/** Resolves when nothing is held that was not held at the mark; throws an Error that lists it after `patienceMs` (default 5,000). */
	assertNone(patienceMs?: number): Promise<void>
	/** Stops watching timers. */
	stop(): void
}

/** Remembers which sockets, servers and child processes this process holds, and watches the timers that are set from now on. */
export function handleMark(): HandleMark {
	const before = process.getActiveResourcesInfo()
	const timers = watchTimers()
	return {
		assertNone: (patienceMs = patientMs) =>
			nothingLeft('handles', patienceMs, async () => {
				const left = process.getActiveResourcesInfo().filter((name) => !passing.has(name))
				for (const name of before) {
					const at = left.indexOf(name)
					if (at !== -1) left.splice(at, 1)
				}
				return [...left, ...timers.live()]
			}),
		stop: () => timers.stop(),
	}
}

/** Timers are watched one by one, for a test runner has some of its own that come and go; the others end by themselves and are nobody's leftover. */
const passing = new Set([
	'Timeout',
	'Immediate',
	'FSReqCallback',
	'FSReqPromise',
	'CloseReq',
	'SimpleShutdownWrap',
	'WriteWrap',
	'ShutdownWrap',
])

/** What went wrong in the process since the mark without anybody being told. */
export interface AccidentMark {
	readonly accidents: readonly string[]
	/** Lets the event loop turn, so that a rejection is known to be unhandled, then throws an Error that lists all accidents. */
	assertNone(): Promise<void>
	/** Stops listening. */
	stop(): void
}

/**
 * Listens for unhandled rejections, uncaught exceptions and warnings of listener leaks. While it listens, the first two do not end
 * the process and every one of them is an accident.
 */
export function accidentMark(): AccidentMark {
	const accidents: string[] = []
	const tell = (error: unknown) => (error instanceof Error ? (error.stack ?? error.message) : String(error))
	const listeners = {
		unhandledRejection: (reason: unknown) => accidents.push(`unhandled rejection: ${tell(reason)}`),
		uncaughtException: (error: unknown) => accidents.push(`uncaught exception: ${tell(error)}`),
		warning: (warning: Error) => {
			if (warning.name === 'MaxListenersExceededWarning') accidents.push(`warning: ${tell(warning)}`)
		},
	}
	for (const [name, listener] of Object.entries(listeners)) process.on(name, listener)
	return {
		accidents,
		async assertNone() {
			for (let turn = 0; turn < 3; turn++) await new Promise((resolve) => setImmediate(resolve))
			if (accidents.length > 0) throw new Error(`${accidents.length} went wrong unseen:\n- ${accidents.join('\n- ')}`)
		},
		stop() {
			for (const [name, listener] of Object.entries(listeners)) process.removeListener(name, listener)
		},
	}
}

async function nothingLeft(what: string, patienceMs: number, list: () => Promise<string[]>): Promise<void> {
	let left: string[] = []
	try {
		await until(
			async () => {
				left = await list()
				return left.length === 0
			},
			{ what: `no ${what} to be left`, timeoutMs: patienceMs, everyMs: 20 },
		)
	} catch (error) {
		throw new Error(`${left.length} ${what} left over:\n- ${left.join('\n- ')}`, { cause: error })
	}
}
