/** What do people write without Holdfast? p-retry around BEGIN … COMMIT, and that with a look at the transaction's status. */
import pg from 'pg'
import { installPeers, peer } from '../../../bench/support/peers.ts'
import { type ChaosClient, type ClientOptions, insisting, type Modes, type Work } from '../clients.ts'

/** `bare-xid` asks the server for the status of the transaction id when COMMIT failed, and believes it: what this package must not do. */
export async function naiveClient(
	config: pg.PoolConfig,
	{ name, connections, attemptTimeoutMs }: Pick<ClientOptions, 'name' | 'connections' | 'attemptTimeoutMs'>,
): Promise<ChaosClient> {
	await installPeers()
	const { default: pRetry } = await peer('p-retry')
	const pool = new pg.Pool({ ...config, max: connections, connectionTimeoutMillis: 5_000, query_timeout: attemptTimeoutMs })
	pool.on('error', () => {})
	const counts = { attempts: 0, commitsThatFailed: 0, saidCommitted: 0, saidAborted: 0 }

	async function once<R>(work: Work<R>, modes: Modes): Promise<R> {
		counts.attempts++
		const attempt = await commitOnce(work, modes)
		if (attempt.doubt === undefined) return attempt.value
		// Asked when the dead connection has gone back, or a small pool would wait for itself.
		if (await wasCommitted(attempt.doubt.xid)) return attempt.value
		throw attempt.doubt.error
	}

	async function commitOnce<R>(work: Work<R>, modes: Modes): Promise<{ value: R; doubt?: { xid: string; error: unknown } }> {
		const client = await pool.connect()
		let broken: Error | undefined
		client.on('error', onLoss)
		try {
			await client.query(`begin isolation level ${modes.isolation}${modes.readOnly ? ' read only' : ''}`)
			const asks = name === 'bare-xid' && !modes.readOnly
			const xid: string | undefined = asks ? (await client.query('select pg_current_xact_id()::text as xid')).rows[0].xid : undefined
			const value = await work(
				(text, values) => client.query(text, values),
				() => {},
			)
			try {
				await client.query('commit')
			} catch (error) {
				counts.commitsThatFailed++
				if (xid === undefined || isRefusal(error as { code?: string })) throw error
				broken = error as Error
				return { value, doubt: { xid, error } }
			}
			return { value }
		} catch (error) {
			broken = await client.query('rollback').then(
				() => undefined,
				(reason) => reason,
			)
			throw error
		} finally {
			client.removeListener('error', onLoss)
			client.release(broken)
		}
	}

	/** Waits for the server, then for the end of the transaction, and takes the answer for the truth. */
	async function wasCommitted(xid: string): Promise<boolean> {
		const status = await pRetry(async () => {
			const { rows } = await pool.query('select pg_xact_status($1::xid8) as status', [xid]).catch((error) => {
				// The server has not given out that number: nothing was committed under it.
				if (error.code === '22023') return { rows: [{ status: 'aborted' }] }
				throw error
			})
			if (rows[0].status === 'in progress') throw new Error('still in progress')
			return rows[0].status as string
		}, insisting())
		if (status === 'committed') counts.saidCommitted++
		else counts.saidAborted++
		return status === 'committed'
	}

	const insist = <R>(work: Work<R>, modes: Modes) => pRetry(() => once(work, modes), insisting())
	return {
		transaction: insist,
		once: ({ text, values }) =>
			name === 'bare-xid'
				? insist((query) => query(text, values), { isolation: 'read committed', readOnly: false })
				: pRetry(() => pool.query(text, values), insisting()),
		isInDoubt: () => false,
		tellsCommits: false,
		stats: () => counts,
		// The bare pool may wait for ever for a connection that died in a hole, and nobody promised anything else.
		end: async () => void pool.end(),
	}
}

const onLoss = () => {}

/** The server itself refused the commit (a serialization failure, say). */
const isRefusal = ({ code }: { code?: string }) => code !== undefined && /^(23|40)/.test(code)
