/** How is MySQL or MariaDB run, watched and read in a chaos run? */
import { type Flavour, startMysql } from '../../support/mysql.ts'
import type { Database } from '../database.ts'
import { holdfastClient } from './client-holdfast.ts'
import { naiveClient } from './client-naive.ts'
import { append, elementsOf, perform, schema, startAgain } from './sql.ts'

// Who waits for the lock of a session that hangs in a hole meets the server's time limit before the client's own.
const settings = { innodb_lock_wait_timeout: '1' }
/** ER_NO_SUCH_THREAD. */
const noSuchThread = 1094

export async function openMysql(flavour: Flavour, fsync: boolean): Promise<Database> {
	const server = await startMysql({ flavour, settings: { ...settings, innodb_flush_log_at_trx_commit: fsync ? '1' : '2' } })
	const { user } = server.config()
	const orders = { session: 'KILL CONNECTION', statement: 'KILL QUERY' }
	return {
		server,
		protocol: 'mysql',
		layOut: async () => void (await server.query(schema)),
		startAgain: async () => void (await server.query(startAgain)),
		// A session that was killed is listed until it has rolled back.
		async sessions() {
			const rows = await server.query<{ id: number }>(
				`select id as id from information_schema.processlist where user = '${user}' order by command = 'Sleep', time desc, id`,
			)
			return rows.map(({ id }) => id)
		},
		async end(session, what) {
			try {
				await server.query(`${orders[what]} ${session}`)
				return true
			} catch (error) {
				if ((error as { errno?: unknown }).errno === noSuchThread) return false
				throw error
			}
		},
		async finalState() {
			const lists = await server.query<{ id: number; elements: string }>('select id, elements from list')
			const accounts = await server.query<{ id: number; cents: number }>('select id, cents from account')
			return {
				lists: new Map(lists.map(({ id, elements }) => [id, elementsOf(elements)])),
				accounts: new Map(accounts.map(({ id, cents }) => [id, cents])),
			}
		},
		connect(door, options) {
			const config = { ...server.config(), ...door }
			return options.name.startsWith('holdfast') ? holdfastClient(config, options) : naiveClient(config, options)
		},
		perform,
		append,
	}
}
