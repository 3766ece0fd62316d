/** How does the workload run over a wrapped mysql2 pool: by `pool.transaction`, and by hand-written BEGIN … COMMIT on a borrowed connection? */
import { commitLedger, createScheduler, InDoubtError } from 'holdfast'
import { holdfast } from 'holdfast/mysql2'
import mysql, { type PoolOptions } from 'mysql2/promise'
import type { ChaosClient, ClientOptions, Modes, Work } from '../clients.ts'
import { byHand, mixed } from './by-hand.ts'

export function holdfastClient(config: PoolOptions, { name, commit, connections, attemptTimeoutMs }: ClientOptions): ChaosClient {
	const pool = holdfast(mysql.createPool({ ...config, connectionLimit: connections }), {
		commit: commit === 'ledger' ? commitLedger({ table: 'chaos_ledger', create: true }) : 'off',
		attemptTimeoutMs,
		scheduler: createScheduler(),
	})
	const byTransaction = <R>(work: Work<R>, modes: Modes) =>
		pool.transaction((tx) => work(mixed(tx), (callback) => tx.onCommit(callback)), modes)
	return {
		transaction: name === 'holdfast' ? byTransaction : (work, modes) => byHand(pool, work, modes, attemptTimeoutMs),
		once: ({ text, values }) => pool.query({ sql: text, values, exactlyOnce: commit !== 'off' }),
		isInDoubt: (error) => error instanceof InDoubtError,
		tellsCommits: name === 'holdfast',
		stats: () => pool.holdfast.stats(),
		end: () => pool.end(),
	}
}
