/** What does a pg client say of itself: alive, busy, in a transaction? For the JavaScript client of every pg 8, and for pg-native. */
import type { PgClient, Submittable } from './shape.ts'

/** I: no transaction. T: one is open. E: one has failed. Undefined where nothing is known. */
export type StatusLetter = 'I' | 'T' | 'E'

const heard = new WeakMap<PgClient, StatusLetter>()

/** Before pg 8.21 a client does not keep the status that every ReadyForQuery carries: it is kept here. */
export function hearStatus(client: PgClient): void {
	if (client.getTransactionStatus !== undefined) return
	// First in line, for the client's own listener calls back its user, who may return it at once.
	client.connection?.prependListener?.('readyForQuery', ({ status }) => heard.set(client, status))
}

// PQTRANS_IDLE, ACTIVE, INTRANS, INERROR, UNKNOWN (PostgreSQL manual, "libpq: Connection Status Functions").
const fromLibpq = ['I', undefined, 'T', 'E', undefined] as const

/** As the server last said. */
export function transactionStatus(client: PgClient): StatusLetter | undefined {
	if (client.getTransactionStatus !== undefined) return client.getTransactionStatus() ?? undefined
	const libpq = client.native?.pq
	return libpq?.transactionStatus === undefined ? heard.get(client) : fromLibpq[libpq.transactionStatus()]
}

/** As far as the client knows without asking. */
export const isAlive = (client: PgClient): boolean => client._queryable && !client._ending

/** Whether statements run on it or wait in it, so that its transaction status is not the last word. */
export function isBusy(client: PgClient): boolean {
	if (!isAlive(client)) return false
	return (
		client.readyForQuery === false ||
		queued(client).length > 0 ||
		(client._sentQueryQueue?.length ?? 0) > 0 ||
		Boolean(client._hasActiveQuery?.()) ||
		client._pipelineInFlight === true
	)
}

/** Alive as far as the client knows, with nothing running and no transaction open. */
export const isUsable = (client: PgClient): boolean => isAlive(client) && !isBusy(client) && (transactionStatus(client) ?? 'I') === 'I'

/** The same, for one whose user may have opened a transaction: what is not known is not taken for clean. */
export const isClean = (client: PgClient): boolean => isUsable(client) && transactionStatus(client) === 'I'

/** What runs on the client; undefined where nothing does. */
export const activeQuery = (client: PgClient): Submittable | undefined =>
	(client._getActiveQuery === undefined ? client.activeQuery : client._getActiveQuery()) ?? undefined

/** The cursors (and streams over them) on the client that nobody has read to their end: they never end by themselves. */
export function openCursors(client: PgClient): Submittable[] {
	return [activeQuery(client), ...queued(client)].filter((query): query is Submittable => {
		const state = query?.cursor?.state ?? (query?.read === undefined ? undefined : query.state)
		return state !== undefined && state !== 'done' && state !== 'error'
	})
}

// The name before pg 8.17. After that it is a getter that warns, so the new name is asked first.
const queued = (client: PgClient): readonly Submittable[] => client._queryQueue ?? client.queryQueue ?? []
