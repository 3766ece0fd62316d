/** What do the errors of ORMs and query builders mean when they hide the driver's error entirely? */
import type { ClassificationRow } from './table.ts'
import { conflict, connectTimeout, lost, refused, rejected } from './verdicts.ts'

const prisma = 'Prisma documentation, "Error message reference"'
const poolTimeout = { kind: 'pool_timeout', scope: 'statement', outcome: 'not_sent', retryable: true } as const

/** Rows by Prisma's codes and by the names of error classes. A driver's error behind the wrapper goes before these, except where the code is Prisma's. */
export const ormRows: readonly ClassificationRow[] = [
	{ code: 'P1000', ...rejected, reason: 'the server refuses these credentials', source: prisma },
	{ code: 'P1001', ...refused, reason: 'the server cannot be reached', source: prisma },
	{ code: 'P1002', ...connectTimeout, reason: 'no connection came about in time', source: prisma },
	{ code: 'P1003', ...rejected, reason: 'the database does not exist', source: prisma },
	{ code: 'P1017', ...lost, reason: 'the server closed the connection', source: prisma },
	{ code: 'P2024', ...poolTimeout, reason: 'no connection of the pool became free in time', source: prisma },
	{ code: 'P2034', ...conflict, reason: 'a write conflict or a deadlock: rerun the whole transaction', source: prisma },
	{ code: 'KnexTimeoutError', ...poolTimeout, reason: 'no connection of the pool became free in time', source: 'knex 3.3, lib/client.js' },
]
