/** How does an application move money through the bare mysql2 pool? By hand, as its documentation shows it. */
import mysql from 'mysql2/promise'
import type { MysqlConfig } from '../../../test/support/mysql.ts'
import type { Side } from '../side.ts'
import type { Tally } from '../tally.ts'
import type { Transfer } from '../transfer.ts'
import { moveMoney } from './money.ts'
import { poolOptions } from './pool-options.ts'

export function bareSide(config: MysqlConfig, tally: Tally): Side {
	const pool = mysql.createPool(poolOptions(config, tally))
	// mysql2 itself listens to a connection for its first error. So there is a listener here, and it counts the times when it was the only one.
	pool.on('connection', (connection) => {
		connection.prependListener('error', () => {
			if (connection.listenerCount('error') === 1) tally.wouldHaveCrashed++
		})
	})
	let waiting = 0

	async function connect() {
		waiting++
		try {
			return await pool.getConnection()
		} finally {
			waiting--
		}
	}

	async function transfer(transfer: Transfer): Promise<void> {
		const connection = await connect()
		try {
			await connection.query(`SET TRANSACTION ISOLATION LEVEL ${transfer.isolation}`)
			await connection.beginTransaction()
			await moveMoney(connection, transfer)
			await connection.commit()
		} catch (error) {
			await connection.rollback()
			throw error
		} finally {
			connection.release()
		}
	}

	return {
		name: 'bare',
		database: config.database,
		tally,
		waiting: () => waiting,
		end: () => pool.end(),
		transfer,
		endpointState: () => 'not known',
		reruns: () => new Map(),
	}
}
