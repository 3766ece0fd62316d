/** Does this server take writes? What is asked of it, and how its answer is read, whatever the pool makes of numbers. */
import { execute } from './client.ts'
import type { Mysql2Connection } from './shape.ts'

/** For a SELECT. The second is that of Aurora's readers and of `--innodb-read-only`. */
export const readOnlyColumns = '@@global.read_only AS readOnly, @@innodb_read_only AS replica'

/** What comes of it. */
export interface ReadOnlyRow {
	readonly readOnly?: unknown
	readonly replica?: unknown
}

/** Whether it refuses writes. */
export const isReadOnly = (row: ReadOnlyRow | undefined): boolean => isOn(row?.readOnly) || isOn(row?.replica)

/** The settings of a server by their names. */
export type Variables = ReadonlyMap<string, unknown>

// The last two are the same, before and since MariaDB 11.1: with it every transaction is read-only unless it says otherwise.
const refusals = ['read_only', 'super_read_only', 'innodb_read_only', 'tx_read_only', 'transaction_read_only']

/** Asks for whatever can make a server refuse writes, and whether it is a node of Galera. Of MySQL's and MariaDB's each has its own. */
export const variablesText = (whose: 'SESSION' | 'GLOBAL'): string =>
	`SHOW ${whose} VARIABLES WHERE Variable_name IN (${[...refusals, 'wsrep_on'].map((name) => `'${name}'`).join(', ')})`

export const takesNoWrites = (variables: Variables): boolean => refusals.some((name) => isOn(variables.get(name)))

// MariaDB 12 answers with words, and `bigNumberStrings` makes a text of a number.
export const isOn = (value: unknown): boolean =>
	value !== undefined && value !== null && !['0', 'OFF'].includes(String(value).toUpperCase())

/** Whether the server refuses the writes of this user. */
export async function refusesWrites(connection: Mysql2Connection): Promise<boolean> {
	const [row] = (await execute(connection, `SELECT ${readOnlyColumns}`)) as ReadOnlyRow[]
	if (!isReadOnly(row)) return false
	const grants = (await execute(connection, 'SHOW GRANTS')) as object[]
	if (isOn(row?.replica) || !grants.some((grant) => exempt.test(String(Object.values(grant)[0])))) return true
	const all = (await execute(connection, "SHOW GLOBAL VARIABLES LIKE 'super_read_only'")) as Array<{ Value?: unknown }>
	return isOn(all[0]?.Value)
}

// `read_only` does not bind them (MySQL manual, "Server System Variables"; MariaDB documentation, "READ_ONLY ADMIN").
const exempt = /\bSUPER\b|\bCONNECTION_ADMIN\b|\bREAD[_ ]ONLY ADMIN\b|\bALL PRIVILEGES ON \*\.\*/i

const found = new WeakSet<object>()

/** As the server words it, so that it is classified alike. */
export function readOnlyServer(): Error {
	const message = 'The server is running with the --read-only option, and this pool writes'
	const error = Object.assign(new Error(message), { code: 'ER_OPTION_PREVENTS_STATEMENT', errno: 1290 })
	found.add(error)
	return error
}

/** Whether it is such an error. */
export const isReadOnlyServer = (error: unknown): boolean => typeof error === 'object' && error !== null && found.has(error)
