/** Where does it all happen, and was anything lost? One real PostgreSQL, a database for each side, and the audit afterwards. */
import { type PostgresServer, startPostgres } from '../../test/support/postgres.ts'
import type { Side } from './side.ts'

/** Accounts on each side. */
export const accounts = 1_000

const centsEach = 1_000_000

// fillfactor leaves room on each page, so that an update stays on it and the index, where SERIALIZABLE would see conflicts, is left alone.
const schema = `
	create table accounts (id integer primary key, cents bigint not null) with (fillfactor = 50);
	create table transfers (id bigint primary key, debited integer not null, credited integer not null, cents bigint not null);
	insert into accounts select id, ${centsEach} from generate_series(1, ${accounts}) as id;
`

/**
 * The server of both sides: the same outage, the same conflicts, at the same moment. Commits are safe without fsync as long as only
 * processes die, not the machine. Deadlocks are looked for after 100 ms instead of 1 s, so that a short run sees some.
 */
export const startServer = (): Promise<PostgresServer> => startPostgres({ major: 18, settings: { deadlock_timeout: '100ms' } })

/** A new bank; the name of its database. */
export async function openBank(server: PostgresServer, name: Side['name']): Promise<string> {
	const database = await server.createDatabase(`demo_${name}`)
	await server.query(schema, database)
	return database
}

/** What the database says of one side, held against what its application was told. */
export interface Audit {
	/** Cents that came into being; negative for cents that vanished. */
	readonly centsOff: number
	/** Accounts whose balance is not what the ledger's transfers make of it. */
	readonly wrongAccounts: number
	/** Reported as done, and not in the ledger. */
	readonly lost: number
	/** Reported as failed, and in the ledger all the same. */
	readonly doneAfterAll: number
	/** In the ledger although nobody got an answer. */
	readonly unanswered: number
}

/** Looks at one side's books once its workers are done. The primary key sees to it that no transfer is in the ledger twice. */
export async function audit(server: PostgresServer, { database, tally }: Side): Promise<Audit> {
	const [sum] = await server.query<{ cents: string }>('select sum(cents) as cents from accounts', database)
	const wrong = await server.query(recount, database)
	const rows = await server.query<{ id: string }>('select id from transfers', database)
	const ledger = new Set(rows.map(({ id }) => Number(id)))
	return {
		centsOff: Number(sum?.cents) - accounts * centsEach,
		wrongAccounts: wrong.length,
		lost: [...tally.done].filter((id) => !ledger.has(id)).length,
		doneAfterAll: [...tally.failed].filter((id) => ledger.has(id)).length,
		unanswered: [...ledger].filter((id) => !tally.done.has(id) && !tally.failed.has(id)).length,
	}
}

const recount = `
	select id from accounts
	left join (
		select account, sum(cents) as moved
		from (select debited as account, -cents as cents from transfers union all select credited, cents from transfers) as entries
		group by account
	) as movements on account = id
	where cents <> ${centsEach} + coalesce(moved, 0)
`
