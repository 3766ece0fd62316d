/** Which errors does an error wrap? Knows where Node, ORMs and query builders keep the driver's own error. */
import { read } from './read.ts'

/**
 * `cause`: the language, drizzle, pg-pool, Prisma's driver adapters. `driverError`: TypeORM. `original` and `parent`: Sequelize.
 * `meta` and `driverAdapterError`: Prisma, which puts the SQLSTATE into `meta.code`. `nativeError`: Objection. `error`: SuppressedError.
 */
const places = ['cause', 'driverError', 'original', 'parent', 'nativeError', 'meta', 'driverAdapterError', 'error'] as const

/** What may be behind this error, in the order in which it is to be asked. */
export function wrappedBy(error: unknown): readonly unknown[] {
	return places.map((place) => read(error, place)).filter((inner) => inner !== undefined && inner !== null)
}
