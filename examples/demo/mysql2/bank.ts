/** What does the demo do with a MySQL or MariaDB? */
import { type Flavour, startMysql } from '../../../test/support/mysql.ts'
import { accounts, centsEach, recount } from '../accounts.ts'
import type { Bank } from '../bank.ts'
import { bareSide } from './bare.ts'
import { wrappedSide } from './wrapped.ts'

const schema = `
	create table accounts (id integer primary key, cents bigint not null);
	create table transfers (id bigint primary key, debited integer not null, credited integer not null, cents bigint not null);
	insert into accounts (id, cents) values ${Array.from({ length: accounts }, (_, at) => `(${at + 1}, ${centsEach})`).join(', ')};
`

const names: Readonly<Record<Flavour, string>> = { mysql: 'MySQL', mariadb: 'MariaDB' }

/** A log that is flushed once a second: commits are safe as long as only processes die, not the machine. */
export async function openMysqlBank(flavour: Flavour): Promise<Bank> {
	const server = await startMysql({ flavour })
	return {
		title: `${names[flavour]} ${server.version} (${server.source})`,
		server,
		async found(side) {
			const database = await server.createDatabase(`demo_${side}`)
			await server.query(schema, database)
			return database
		},
		async endConnections(databases) {
			const theirs = (await server.connections()).filter(({ db }) => db !== null && databases.includes(db))
			// One that has ended by itself in the meantime is as good.
			await Promise.all(theirs.map(({ id }) => server.query(`KILL CONNECTION ${id}`).catch(() => {})))
		},
		open: (side, database, tally) => (side === 'wrapped' ? wrappedSide : bareSide)(server.config(database), tally),
		async books(database) {
			const [sum] = await server.query<{ cents: string }>('select sum(cents) as cents from accounts', database)
			const wrong = await server.query(recount, database)
			const rows = await server.query<{ id: number }>('select id from transfers', database)
			return { cents: Number(sum?.cents), wrongAccounts: wrong.length, ledger: new Set(rows.map(({ id }) => id)) }
		},
	}
}
