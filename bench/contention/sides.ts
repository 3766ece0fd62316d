/** Who does the contended transactions? Each library with its own way to retry, hand-written loops at fixed concurrencies, and Holdfast. */
import { setTimeout as sleep } from 'node:timers/promises'
import { holdfast } from 'holdfast/pg'
import pg from 'pg'
import type { PostgresServer } from '../../test/support/postgres.ts'
import { peer } from '../support/peers.ts'

/** Reads two rows and writes both, in this order. */
export type Pair = readonly [first: number, second: number]

export interface Side {
	readonly name: string
	/** One of those that Holdfast is measured against, or a concurrency of the sweep. */
	readonly kind: 'peer' | 'fixed' | 'holdfast'
	/** The work of one caller, done once. Rejects where the library gives up. */
	transact(pair: Pair): Promise<void>
	/** No further attempt is to start. */
	stop(): void
	end(): Promise<void>
}

export type Open = (server: PostgresServer, database: string, poolSize: number) => Promise<Side>

const longestBackoffMs = 2_000

/** `p-retry` with full jitter: a random wait between 0 and the bound, which doubles with each attempt. */
export const pRetry =
	(baseMs: number): Open =>
	async (server, database, max) => {
		const pool = new pg.Pool({ ...server.config(database), max })
		const stopped = new AbortController()
		const { default: retry } = await peer('p-retry')
		const onFailedAttempt = ({ error, attemptNumber }: { error: unknown; attemptNumber: number }) => {
			if (!isConflict(error)) throw error
			return sleep(Math.random() * Math.min(baseMs * 2 ** (attemptNumber - 1), longestBackoffMs))
		}
		const options = { retries: 1_000, minTimeout: 0, maxTimeout: 0, onFailedAttempt, signal: stopped.signal }
		return {
			name: `p-retry, full jitter from ${baseMs} ms`,
			kind: 'peer',
			transact: (pair) => retry(() => byHand(pool, pair), options),
			stop: () => stopped.abort(),
			end: () => pool.end(),
		}
	}

export const slonik: Open = async (server, database, maximumPoolSize) => {
	const { createPool, sql } = await peer('slonik')
	const pool = await createPool(server.url(database), { maximumPoolSize })
	return {
		name: 'slonik',
		kind: 'peer',
		transact: ([first, second]) =>
			pool.transaction(async (tx) => {
				await tx.query(sql.unsafe`SELECT n FROM hot WHERE id = ${first}`)
				await tx.query(sql.unsafe`SELECT n FROM hot WHERE id = ${second}`)
				await tx.query(sql.unsafe`UPDATE hot SET n = n + 1 WHERE id = ${first}`)
				await tx.query(sql.unsafe`UPDATE hot SET n = n + 1 WHERE id = ${second}`)
			}),
		stop() {},
		end: () => pool.end(),
	}
}

export const atDatabases: Open = async (server, database, poolSize) => {
	const { default: createConnectionPool, sql } = (await peer('@databases/pg')).default
	const pool = createConnectionPool({ connectionString: server.url(database), poolSize, bigIntMode: 'number' })
	return {
		name: '@databases/pg',
		kind: 'peer',
		transact: ([first, second]) =>
			pool.tx(
				async (tx) => {
					await tx.query(sql`SELECT n FROM hot WHERE id = ${first}`)
					await tx.query(sql`SELECT n FROM hot WHERE id = ${second}`)
					await tx.query(sql`UPDATE hot SET n = n + 1 WHERE id = ${first}`)
					await tx.query(sql`UPDATE hot SET n = n + 1 WHERE id = ${second}`)
				},
				{ retrySerializationFailures: true },
			),
		stop() {},
		end: () => pool.dispose(),
	}
}

/** At most so many at a time, each run again at once: what somebody would choose who knew the load beforehand. */
export const fixed =
	(most: number): Open =>
	async (server, database, max) => {
		const pool = new pg.Pool({ ...server.config(database), max })
		let running = 0
		let over = false
		const waiting: (() => void)[] = []
		return {
			name: `${most} at a time`,
			kind: 'fixed',
			async transact(pair) {
				if (running < most) running += 1
				else await new Promise<void>((resolve) => waiting.push(resolve))
				try {
					for (;;) {
						try {
							return await byHand(pool, pair)
						} catch (error) {
							if (over || !isConflict(error)) throw error
						}
					}
				} finally {
					const next = waiting.shift()
					if (next === undefined) running -= 1
					else next()
				}
			},
			stop() {
				over = true
			},
			end: () => pool.end(),
		}
	}

export const ours: Open = async (server, database, max) => {
	const pool = holdfast(new pg.Pool({ ...server.config(database), max }), { commit: 'off', deadlineMs: 600_000 })
	const stopped = new AbortController()
	return {
		name: 'holdfast',
		kind: 'holdfast',
		transact: (pair) => pool.transaction((tx) => statements(tx, pair), { signal: stopped.signal }),
		stop: () => stopped.abort(),
		end: () => pool.end(),
	}
}

/** Losing to somebody else: what every side has to try again. */
export function isConflict(error: unknown): boolean {
	for (let each = error; typeof each === 'object' && each !== null; each = (each as { cause?: unknown }).cause) {
		const { code } = each as { code?: unknown }
		if (code === '40001' || code === '40P01') return true
	}
	return false
}

async function byHand(pool: pg.Pool, pair: Pair): Promise<void> {
	const client = await pool.connect()
	try {
		await client.query('BEGIN')
		await statements(client, pair)
		await client.query('COMMIT')
	} catch (error) {
		await client.query('ROLLBACK')
		throw error
	} finally {
		client.release()
	}
}

async function statements(client: Pick<pg.ClientBase, 'query'>, [first, second]: Pair): Promise<void> {
	await client.query('SELECT n FROM hot WHERE id = $1', [first])
	await client.query('SELECT n FROM hot WHERE id = $1', [second])
	await client.query('UPDATE hot SET n = n + 1 WHERE id = $1', [first])
	await client.query('UPDATE hot SET n = n + 1 WHERE id = $1', [second])
}
