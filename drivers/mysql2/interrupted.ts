/** Was only the statement interrupted, or was its session ended with it? The error is the same; what becomes of the connection tells. */
import type { Fault } from '../../src/driver.ts'
import type { Mysql2Core } from './core.ts'
import type { Mysql2Connection } from './shape.ts'

// MySQL ends sessions by interrupting what they run: at its shutdown and by KILL CONNECTION the statement fails with the error of KILL QUERY,
// and the server closes the connection behind it (MySQL's sql_class.cc, THD::send_kill_message). MariaDB says 1927 in that case.
const interruptedErrno = 1317

const ended = new WeakSet<object>()

/** The server closed the connection right after this error. */
export function endedWithSession(error: unknown): void {
	if (isInterrupt(error)) ended.add(error)
}

/** What that makes of the error. */
export function faultOfInterrupt(error: unknown, phase: 'connect' | 'statement' | 'commit'): Fault | undefined {
	if (!isInterrupt(error) || !ended.has(error)) return undefined
	return {
		kind: 'shutting_down',
		scope: 'connection',
		// It may have been interrupted behind the point of no return.
		outcome: phase === 'commit' ? 'unknown' : 'rolled_back',
		retryable: true,
		code: 'ER_QUERY_INTERRUPTED',
		reason: 'the server interrupted the statement and ended the session: it is stopping, or the session was killed',
	}
}

/** Calls `then` once it is known: at once for any other error. */
export function findOut(core: Pick<Mysql2Core, 'limit'>, connection: Mysql2Connection, error: unknown, then: () => void): void {
	if (!isInterrupt(error)) return then()
	const stop = core.limit(connection)
	connection.ping((lost) => {
		stop()
		if (lost) endedWithSession(error)
		then()
	})
}

function isInterrupt(error: unknown): error is object {
	return typeof error === 'object' && error !== null && 'errno' in error && error.errno === interruptedErrno
}
