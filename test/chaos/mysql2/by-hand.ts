/** How is a transaction written by hand over mysql2? BEGIN … COMMIT on a connection of the pool, as its documentation shows it. */
import type { Pool, QueryResult } from 'mysql2/promise'
import type { Modes, Query, Work } from '../clients.ts'

type Statement = { readonly sql: string; readonly values: unknown[]; readonly timeout?: number }

/** What runs statements: a connection, or the handle of a transaction. */
interface Runner {
	query(statement: Statement): Promise<[QueryResult, unknown]>
	execute(statement: Statement): Promise<[QueryResult, unknown]>
}

/** Reads as prepared statements, the rest as texts, so that both protocols are met. `timeoutMs` is mysql2's own limit. */
export function mixed(on: Runner, timeoutMs?: number): Query {
	const limit = timeoutMs === undefined ? {} : { timeout: timeoutMs }
	return async (sql, values) => {
		const [result] = await (sql.startsWith('select') ? on.execute : on.query).call(on, { sql, values, ...limit })
		return { rows: (Array.isArray(result) ? result : []) as Record<string, unknown>[] }
	}
}

/** Runs it once. Every error is the caller's. */
export async function byHand<R>(pool: Pool, work: Work<R>, { isolation, readOnly }: Modes, timeoutMs: number): Promise<R> {
	const connection = await pool.getConnection()
	const say = (sql: string) => connection.query({ sql, timeout: timeoutMs })
	let broken = false
	try {
		await say(`set transaction isolation level ${isolation}`)
		await say(`start transaction ${readOnly ? 'read only' : 'read write'}`)
		const value = await work(mixed(connection as Runner, timeoutMs), () => {})
		await say('commit')
		return value
	} catch (error) {
		await say('rollback').catch(() => {
			broken = true
		})
		throw error
	} finally {
		if (broken) connection.destroy()
		else connection.release()
	}
}
