/** How is PostgreSQL run, watched and read in a chaos run? */
import { startPostgres } from '../../support/postgres.ts'
import type { Database } from '../database.ts'
import { holdfastClient } from './client-holdfast.ts'
import { naiveClient } from './client-naive.ts'
import { append, perform, schema, startAgain } from './sql.ts'

const applicationName = 'chaos'
// Deadlocks are looked for soon, for there are many. Without sequential scans a transaction locks the rows that it reads and not the
// whole table (PostgreSQL manual, "Serializable Isolation Level").
const settings = { deadlock_timeout: '30ms', enable_seqscan: 'off', enable_bitmapscan: 'off' }

export async function openPostgres(fsync: boolean): Promise<Database> {
	const server = await startPostgres({ major: 18, settings: { ...settings, fsync: fsync ? 'on' : 'off' } })
	const orders = { session: 'pg_terminate_backend', statement: 'pg_cancel_backend' }
	return {
		server,
		protocol: 'postgres',
		layOut: async () => void (await server.query(schema)),
		startAgain: async () => void (await server.query(startAgain)),
		async sessions() {
			const rows = await server.query<{ pid: number }>(
				`select pid from pg_stat_activity where application_name = '${applicationName}' order by state = 'idle', query_start`,
			)
			return rows.map(({ pid }) => pid)
		},
		async end(session, what) {
			const [row] = await server.query<{ done: boolean }>(`select ${orders[what]}(${session}) as done`)
			return row?.done === true
		},
		async finalState() {
			const lists = await server.query<{ id: number; elements: number[] }>('select id, elements from list')
			const accounts = await server.query<{ id: number; cents: number }>('select id, cents from account')
			return {
				lists: new Map(lists.map(({ id, elements }) => [id, elements])),
				accounts: new Map(accounts.map(({ id, cents }) => [id, cents])),
			}
		},
		connect(door, options) {
			const config = { ...server.config(), ...door, application_name: applicationName }
			return options.name.startsWith('holdfast') ? holdfastClient(config, options) : naiveClient(config, options)
		},
		perform,
		append,
	}
}
