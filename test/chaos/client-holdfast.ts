/** How does the workload run over a wrapped pool: by `pool.transaction`, and by hand-written BEGIN … COMMIT on a lent client? */
import * as core from 'holdfast'
import { createScheduler, InDoubtError, type PoolOptions } from 'holdfast'
import { type HoldfastPool, holdfast } from 'holdfast/pg'
import pg from 'pg'
import type { ChaosClient, ClientOptions, CommitMode, Query, Work } from './clients.ts'
import type { Isolation } from './sql.ts'

export function holdfastClient(config: pg.PoolConfig, { name, commit, connections, attemptTimeoutMs }: ClientOptions): ChaosClient {
	const options = { commit: commitOption(commit), attemptTimeoutMs, scheduler: createScheduler() } as PoolOptions
	// What a borrower sends has no limit but pg's own.
	const limit = name === 'holdfast' ? {} : { query_timeout: attemptTimeoutMs }
	const pool = holdfast(new pg.Pool({ ...config, ...limit, max: connections }), options)
	return {
		transaction: name === 'holdfast' ? (work, modes) => byTransaction(pool, work, modes) : (work, modes) => byHand(pool, work, modes),
		isInDoubt: (error) => error instanceof InDoubtError,
		tellsCommits: name === 'holdfast',
		stats: () => pool.holdfast.stats(),
		end: () => pool.end(),
	}
}

function commitOption(commit: CommitMode): unknown {
	if (commit !== 'ledger') return commit
	const { commitLedger } = core as unknown as { commitLedger?: (options: object) => unknown }
	if (commitLedger === undefined) throw new Error('--commit ledger: this version of holdfast has no commitLedger')
	return commitLedger({ table: 'chaos_ledger', create: true })
}

function byTransaction<R>(pool: HoldfastPool, work: Work<R>, modes: { isolation: Isolation; readOnly: boolean }): Promise<R> {
	return pool.transaction(
		(tx) =>
			work(
				(text, values) => tx.query(text, values),
				(callback) => tx.onCommit(callback),
			),
		modes,
	)
}

/** Nothing is rerun but by the caller, who sees each error: only a commit in doubt is Holdfast's matter. */
async function byHand<R>(pool: pg.Pool, work: Work<R>, { isolation, readOnly }: { isolation: Isolation; readOnly: boolean }): Promise<R> {
	const client = await pool.connect()
	let broken: unknown
	// As an application would: without a listener the loss of a lent client ends the process.
	const onError = (error: unknown) => {
		broken = error
	}
	client.on('error', onError)
	const query: Query = (text, values) => client.query(text, values)
	try {
		await client.query(`begin isolation level ${isolation}${readOnly ? ' read only' : ''}`)
		const value = await work(query, () => {})
		const { command } = await client.query('commit')
		if (command !== 'COMMIT') throw new Error(`the server answered commit by ${command}`)
		return value
	} catch (error) {
		await client.query('rollback').catch((reason: unknown) => {
			broken ??= reason
		})
		throw error
	} finally {
		client.removeListener('error', onError)
		client.release(broken !== undefined)
	}
}
