/** What is measured? Each driver by its name, on each of its servers. */
import type { BenchPool, Durability, PoolWish, Subject } from './subject/contract.ts'
import { mysql2Subject, stubMysql2Pool } from './subject/mysql2.ts'
import { pgSubject, stubPgPool } from './subject/pg.ts'

export type { BenchPool, BenchServer, PoolWish, Subject } from './subject/contract.ts'

/** The servers of each driver; the first is the default. */
export const serversOf = { pg: ['postgres'], mysql2: ['mysql', 'mariadb'] } as const
export type Driver = keyof typeof serversOf
export type ServerName = (typeof serversOf)[Driver][number]

export const openSubject = (server: ServerName, how: Durability = {}): Promise<Subject> =>
	server === 'postgres' ? pgSubject(how) : mysql2Subject(server, how)

/** A pool whose server is a few lines in this process, which answer at the next tick. */
export const stubPool = (server: ServerName, wish: Omit<PoolWish, 'door'>): BenchPool =>
	server === 'postgres' ? stubPgPool(wish) : stubMysql2Pool(wish)
