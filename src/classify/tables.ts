/** Which rows are there? Joins the files of rows into the tables that `classify` asks. */
import { clientRows } from './clients.ts'
import { mysqlRows } from './mysql.ts'
import { nodeRows } from './node.ts'
import { ormRows } from './orm.ts'
import { ownRows } from './own.ts'
import { pgbouncerRows } from './pgbouncer.ts'
import { postgresRows } from './postgres.ts'
import { buildTable, type ClassificationRow, type Table } from './table.ts'

const serverRows = [...postgresRows, ...pgbouncerRows]
const rows: readonly ClassificationRow[] = [...serverRows, ...mysqlRows, ...nodeRows, ...clientRows, ...ormRows, ...ownRows]

/**
 * The built-in rows by who raised the error. What a server states is looked up among the rows of that server only: a function in the database
 * may raise any five characters as a code and any text, so neither may pass for an error of a socket or of the client.
 */
export const builtIn: Readonly<Record<'postgres' | 'mysql' | 'unknown', Table>> = {
	postgres: buildTable(serverRows),
	mysql: buildTable(mysqlRows),
	unknown: buildTable(rows),
}

/** Every built-in row, for the documentation. */
export function classificationRows(): readonly ClassificationRow[] {
	return rows
}

const tablesOfUsers = new WeakMap<readonly ClassificationRow[], Table>()

/** The table of a user's rows, built once for each list. */
export function tableOfUser(own: readonly ClassificationRow[]): Table {
	let table = tablesOfUsers.get(own)
	if (!table) {
		table = buildTable(own)
		tablesOfUsers.set(own, table)
	}
	return table
}
