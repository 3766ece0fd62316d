/** How does the workload run over a wrapped pg pool: by `pool.transaction`, and by hand-written BEGIN … COMMIT on a lent client? */
import { commitLedger, createScheduler, InDoubtError } from 'holdfast'
import { type HoldfastOptions, holdfast } from 'holdfast/pg'
import pg from 'pg'
import type { ChaosClient, ClientOptions, Modes, Query, Work } from '../clients.ts'

export function holdfastClient(
	config: pg.PoolConfig,
	{ name, commit, connections, attemptTimeoutMs }: ClientOptions,
	hosts?: HoldfastOptions['hosts'],
): ChaosClient {
	// What a borrower sends has no limit but pg's own.
	const limit = name === 'holdfast' ? {} : { query_timeout: attemptTimeoutMs }
	const pool = holdfast(new pg.Pool({ ...config, ...limit, max: connections }), {
		commit: commit === 'ledger' ? commitLedger({ table: 'chaos_ledger', create: true }) : commit,
		attemptTimeoutMs,
		hosts,
		scheduler: createScheduler(),
	})
	const byTransaction = <R>(work: Work<R>, modes: Modes) =>
		pool.transaction(
			(tx) =>
				work(
					(text, values) => tx.query(text, values),
					(callback) => tx.onCommit(callback),
				),
			modes,
		)
	return {
		transaction: name === 'holdfast' ? byTransaction : (work, modes) => byHand(pool, work, modes),
		once: (write) => pool.query({ ...write, exactlyOnce: commit !== 'off' }),
		isInDoubt: (error) => error instanceof InDoubtError,
		tellsCommits: name === 'holdfast',
		stats: () => pool.holdfast.stats(),
		end: () => pool.end(),
	}
}

/** Nothing is rerun but by the caller, who sees each error: only a commit in doubt is Holdfast's matter. */
async function byHand<R>(pool: pg.Pool, work: Work<R>, { isolation, readOnly }: Modes): Promise<R> {
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
