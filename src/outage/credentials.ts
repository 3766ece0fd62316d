/** Would everybody else be refused in the same way? Then one attempt to connect is enough to know it. */
import type { Fault } from '../fault.ts'

// As classification gives them: PostgreSQL's SQLSTATEs (class 28, "invalid authorization specification") and MySQL's names of 1045, 1044 and 3118.
const refusals: ReadonlySet<string | undefined> = new Set([
	'28P01',
	'28000',
	'ER_ACCESS_DENIED_ERROR',
	'ER_DBACCESS_DENIED_ERROR',
	'ER_ACCOUNT_HAS_BEEN_LOCKED',
])

/** Wrong credentials: more attempts change nothing, and may lock the account. */
export const areCredentials = ({ code }: Fault): boolean => refusals.has(code)
