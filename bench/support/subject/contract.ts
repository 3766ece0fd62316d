/** What does a bench need of a driver? A server, and pools on it, bare and wrapped: one contract, kept once for each driver. */
import type { PoolOptions } from 'holdfast'
import type { HoldfastPool } from 'holdfast/pg'
import type { ProxyOptions } from '../../../test/support/proxy.ts'

/** A real server. */
export interface BenchServer {
	readonly host: string
	readonly port: number
	/** Resolves when it answers a query. */
	start(): Promise<void>
	kill(): Promise<void>
	query(sql: string): Promise<unknown[]>
	dispose(): Promise<void>
}

/** A pool, and the work that benches do on it. */
export interface BenchPool {
	/** `select 1`. */
	read(): Promise<unknown>
	/** Any statement. */
	query(sql: string): Promise<unknown>
	/** A read that takes a tenth of a second: as many at a time as the pool is large make it open all its connections. */
	linger(): Promise<unknown>
	/** Three reads between BEGIN and COMMIT, written by hand. */
	byHand(): Promise<unknown>
	/** The same by `pool.transaction`; a bare pool rejects. */
	byTransaction(): Promise<unknown>
	/** `pool.transaction` with three writes: two accounts are updated, a transfer is inserted. */
	transfer(payer: number, payee: number): Promise<unknown>
	/** An idempotent write of one counter. */
	count(worker: number, n: number): Promise<unknown>
	/** What stands in it. */
	counted(worker: number): Promise<number>
	/** How many connections there are, and how many of them nobody has. */
	size(): { readonly total: number; readonly idle: number }
	stats(): ReturnType<HoldfastPool['holdfast']['stats']>
	end(): Promise<void>
}

/** How a pool is made. */
export interface PoolWish {
	readonly size: number
	/** How it reaches the server; default: straight. */
	readonly door?: { readonly host: string; readonly port: number }
	/** Options of `holdfast`; a pool without is bare. */
	readonly wrap?: PoolOptions
	/** What the server shows its connections as, where it can. */
	readonly name?: string
	/** Connections are kept however long they are idle. */
	readonly keepIdle?: boolean
}

export interface Subject {
	/** Such as "PostgreSQL 18 (embedded)". */
	readonly title: string
	readonly server: BenchServer
	readonly protocol: NonNullable<ProxyOptions['protocol']>
	/** How commits can be resolved here. */
	readonly resolvers: readonly ('verify' | 'ledger')[]
	pool(wish: PoolWish): BenchPool
	/** Creates so many counters that are 0. */
	layOutCounters(count: number): Promise<void>
	layOutAccounts(count: number): Promise<void>
	/** Processor time of the server for the connections of that name, in milliseconds; NaN where it cannot be seen. */
	cpuMs(name: string): Promise<number>
}

/** How a server is run. */
export interface Durability {
	/** Whether a commit waits for the disk. Default false. */
	readonly durable?: boolean
	/** Without work of its own in the background. Default false. */
	readonly quiet?: boolean
}
