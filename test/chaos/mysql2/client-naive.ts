/** What do people write over mysql2 without Holdfast? p-retry around BEGIN … COMMIT. */
import mysql, { type PoolOptions } from 'mysql2/promise'
import { installPeers, peer } from '../../../bench/support/peers.ts'
import { type ChaosClient, type ClientOptions, insisting } from '../clients.ts'
import { byHand } from './by-hand.ts'

export async function naiveClient(config: PoolOptions, { connections, attemptTimeoutMs }: ClientOptions): Promise<ChaosClient> {
	await installPeers()
	const { default: pRetry } = await peer('p-retry')
	const pool = mysql.createPool({ ...config, connectionLimit: connections, connectTimeout: 5_000 })
	return {
		transaction: (work, modes) => pRetry(() => byHand(pool, work, modes, attemptTimeoutMs), insisting()),
		once: ({ text, values }) => pRetry(() => pool.query({ sql: text, values, timeout: attemptTimeoutMs }), insisting()),
		isInDoubt: () => false,
		tellsCommits: false,
		stats: () => undefined,
		// The bare pool may wait for ever for a connection that died in a hole, and nobody promised anything else.
		end: async () => void pool.end().catch(() => {}),
	}
}
