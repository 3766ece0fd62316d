/** How does an application move money through the bare pool? By hand, as the documentation of pg shows it. */
import pg from 'pg'
import { connectionsPerPool, type Side } from '../side.ts'
import type { Tally } from '../tally.ts'
import type { Transfer } from '../transfer.ts'
import { moveMoney } from './money.ts'

export function bareSide(config: pg.PoolConfig, tally: Tally): Side {
	const pool = new pg.Pool({ ...config, max: connectionsPerPool, stream: tally.socket })
	// The listener that pg's documentation asks for: without it the first idle connection to break would end the process.
	pool.on('error', () => {})
	// While a connection is lent out, the pool does not listen to it, and nor does the documented example: an error would end the
	// process, and the demo with it. So there is a listener here, and it counts the times when it was the only one.
	pool.on('connect', (client) => {
		client.on('error', () => {
			if (client.listenerCount('error') === 1) tally.wouldHaveCrashed++
		})
	})

	async function transfer(transfer: Transfer): Promise<void> {
		const client = await pool.connect()
		try {
			await client.query(`BEGIN ISOLATION LEVEL ${transfer.isolation}`)
			await moveMoney(client, transfer)
			await client.query('COMMIT')
		} catch (error) {
			await client.query('ROLLBACK')
			throw error
		} finally {
			client.release()
		}
	}

	return {
		name: 'bare',
		database: String(config.database),
		tally,
		waiting: () => pool.waitingCount,
		end: () => pool.end(),
		transfer,
		endpointState: () => 'not known',
		reruns: () => new Map(),
	}
}
