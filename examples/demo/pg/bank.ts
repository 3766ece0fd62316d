/** What does the demo do with a PostgreSQL? */
import { startPostgres } from '../../../test/support/postgres.ts'
import { accounts, centsEach, recount } from '../accounts.ts'
import type { Bank } from '../bank.ts'
import { bareSide } from './bare.ts'
import { wrappedSide } from './wrapped.ts'

// fillfactor leaves room on each page, so that an update stays on it and the index, where SERIALIZABLE would see conflicts, is left alone.
const schema = `
	create table accounts (id integer primary key, cents bigint not null) with (fillfactor = 50);
	create table transfers (id bigint primary key, debited integer not null, credited integer not null, cents bigint not null);
	insert into accounts select id, ${centsEach} from generate_series(1, ${accounts}) as id;
`

/**
 * Commits are safe without fsync as long as only processes die, not the machine. Deadlocks are looked for after 100 ms instead of 1 s, so
 * that a short run sees some.
 */
export async function openPostgresBank(): Promise<Bank> {
	const server = await startPostgres({ major: 18, settings: { deadlock_timeout: '100ms' } })
	return {
		title: `PostgreSQL ${server.major} (${server.source})`,
		server,
		async found(side) {
			const database = await server.createDatabase(`demo_${side}`)
			await server.query(schema, database)
			return database
		},
		async endConnections(databases) {
			const names = databases.map((name) => `'${name}'`).join(', ')
			await server.query(`select pg_terminate_backend(pid) from pg_stat_activity where datname in (${names})`)
		},
		open: (side, database, tally) => (side === 'wrapped' ? wrappedSide : bareSide)(server.config(database), tally),
		async books(database) {
			const [sum] = await server.query<{ cents: string }>('select sum(cents) as cents from accounts', database)
			const wrong = await server.query(recount, database)
			const rows = await server.query<{ id: string }>('select id from transfers', database)
			return { cents: Number(sum?.cents), wrongAccounts: wrong.length, ledger: new Set(rows.map(({ id }) => Number(id))) }
		},
	}
}
