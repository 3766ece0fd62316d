/** What do transactions over several pools amount to, held against the database afterwards? The workload of the chaos runs, with its checker. */
import { InDoubtError } from 'holdfast'
import type { HoldfastPool } from 'holdfast/mysql2'
import type { Pool } from 'mysql2/promise'
import type { ChaosClient } from '../chaos/clients.ts'
import type { Database } from '../chaos/database.ts'
import { Draw } from '../chaos/draw.ts'
import { mixed } from '../chaos/mysql2/by-hand.ts'
import { append, elementsOf, perform, schema } from '../chaos/mysql2/sql.ts'
import { centsEach } from '../chaos/operations.ts'
import * as pgSql from '../chaos/pg/sql.ts'
import { work } from '../chaos/worker.ts'
import { checkHistory } from '../history/check.ts'
import type { Anomaly, Operation } from '../history/history.ts'
import { until } from '../support/until.ts'

/** Runs SQL on the server that has the last word. */
type Ask = <Row>(sql: string) => Promise<Row[]>

export interface HistoryLoad {
	readonly operations: readonly Operation[]
	/** Resolves when every pool has had so many more of its transactions answered, or one has failed. */
	more(transactions: number): Promise<void>
	/** No more is begun; resolves when nothing runs any more. */
	stop(): Promise<void>
	/** What the history has that must not be. Asked when nothing runs any more. */
	anomalies(ask: Ask): Promise<Anomaly[]>
}

/** Lays the tables out by `ask` and starts workers on each pool of mysql2. `exactlyOnce` is for pools with a ledger. */
export async function startHistory(
	pools: ReadonlyArray<HoldfastPool<Pool>>,
	{ ask, seed, workers, exactlyOnce }: { ask: Ask; seed: number; workers: number; exactlyOnce: boolean },
): Promise<HistoryLoad> {
	for (const statement of schema.split(';')) if (statement.trim() !== '') await ask(statement)
	const clients = pools.map((pool) => clientOf(pool, exactlyOnce))
	return startLoad(clients, { database: { perform, append }, elementsOf, seed, workers })
}

/** The same on PostgreSQL, for clients of any kind. */
export async function startPgHistory(
	clients: readonly ChaosClient[],
	{ ask, seed, workers }: { ask: Ask; seed: number; workers: number },
): Promise<HistoryLoad> {
	await ask(pgSql.schema)
	const { perform, append } = pgSql
	return startLoad(clients, { database: { perform, append }, elementsOf: (elements) => elements as number[], seed, workers })
}

interface LoadOptions {
	readonly database: Pick<Database, 'perform' | 'append'>
	/** A list, as the driver gives it. */
	elementsOf(elements: unknown): readonly number[]
	readonly seed: number
	readonly workers: number
}

function startLoad(clients: readonly ChaosClient[], { database, elementsOf, seed, workers }: LoadOptions): HistoryLoad {
	const operations: Operation[] = []
	const answered = clients.map(() => 0)
	let lastId = 0
	let stopped = false
	const running = clients.flatMap((client, at) => {
		const shift = {
			client,
			database,
			isolation: 'read committed' as const,
			nextId: () => ++lastId,
			crossing: () => false,
			stopped: () => stopped,
			begun: () => {},
			ended(operation: Operation) {
				operations.push(operation)
				answered[at]! += 1
				// The first failure has shown what there is to show.
				if (operation.told === 'failed') stopped = true
			},
		}
		return Array.from({ length: workers }, (_, worker) => work(shift, at * workers + worker, new Draw(seed, at * workers + worker)))
	})
	return {
		operations,
		async more(transactions) {
			const before = [...answered]
			await until(() => stopped || answered.every((count, at) => count >= before[at]! + transactions), {
				what: `every pool to have had ${transactions} more transactions answered`,
				timeoutMs: 40_000,
			})
		},
		async stop() {
			stopped = true
			await Promise.all(running)
		},
		async anomalies(ask) {
			const lists = await ask<{ id: number; elements: unknown }>('select id, elements from list')
			const accounts = await ask<{ id: number; cents: number }>('select id, cents from account')
			return checkHistory({
				operations,
				final: {
					lists: new Map(lists.map(({ id, elements }) => [id, elementsOf(elements)])),
					accounts: new Map(accounts.map(({ id, cents }) => [id, cents])),
				},
				centsEach,
				isolation: 'read committed',
			})
		},
	}
}

function clientOf(pool: HoldfastPool<Pool>, exactlyOnce: boolean): ChaosClient {
	return {
		transaction: (work, modes) => pool.transaction((tx) => work(mixed(tx), (callback) => tx.onCommit(callback)), modes),
		once: ({ text, values }) => pool.query({ sql: text, values, exactlyOnce }),
		isInDoubt: (error) => error instanceof InDoubtError,
		tellsCommits: true,
		stats: () => pool.holdfast.stats(),
		end: () => pool.end(),
	}
}
