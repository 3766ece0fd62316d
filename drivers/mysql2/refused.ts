/** Was a transaction read-only because somebody wanted it so, or has the server been set so? The error is the same; the server is asked. */
import type { Fault } from '../../src/driver.ts'
import { errnoOf } from './begin.ts'
import type { Mysql2Core } from './core.ts'
import { askRole } from './hosts.ts'
import type { Mysql2Connection } from './shape.ts'

// ER_CANT_EXECUTE_IN_READ_ONLY_TRANSACTION. A server that takes no writes for other reasons says so, and is heard by the connection itself.
const readOnlyTransaction = 1792

/** Those that were not asked for, and who is hit: the server, or only a connection to what it was before. */
const refused = new WeakMap<object, 'endpoint' | 'connection'>()

const mayBeRefusal = (error: unknown): error is object => errnoOf(error) === readOnlyTransaction

/** What that makes of the error. */
export function faultOfRefusal(error: unknown): Fault | undefined {
	const scope = mayBeRefusal(error) ? refused.get(error) : undefined
	if (scope === undefined) return undefined
	return {
		kind: 'read_only',
		scope,
		outcome: 'rolled_back',
		retryable: true,
		code: 'ER_CANT_EXECUTE_IN_READ_ONLY_TRANSACTION',
		reason: 'the server was set so that transactions are read-only',
	}
}

/** Calls `then` once it is known: at once for any other error. The caller has not asked for a read-only transaction. */
export function findRefusal(
	core: Pick<Mysql2Core, 'limit' | 'turnedReadOnly' | 'isStale'>,
	connection: Mysql2Connection,
	error: unknown,
	then: () => void,
): void {
	if (!mayBeRefusal(error)) return then()
	const stop = core.limit(connection)
	askRole(connection, false).then(
		(role) => {
			stop()
			if (role !== 'primary') {
				refused.set(error, 'endpoint')
				core.turnedReadOnly(connection, faultOfRefusal(error) as Fault, error)
			} else if (core.isStale(connection)) {
				// Another connection has met the same refusal before: the server has changed back since.
				refused.set(error, 'connection')
			}
			then()
		},
		() => {
			stop()
			// The link broke under the question. What the error says of the work stands: it had no effect.
			refused.set(error, 'connection')
			then()
		},
	)
}
