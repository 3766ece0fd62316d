/** What does a chaos run need of a database and its driver? One contract, and one folder for each driver that keeps it. */
import type { FinalState, Step } from '../history/history.ts'
import type { ProxyOptions } from '../support/proxy.ts'
import type { ChaosClient, ClientOptions, Query, Write } from './clients.ts'
import { openMysql } from './mysql2/database.ts'
import { openPostgres } from './pg/database.ts'

/** A real server that can be hurt. */
export interface ChaosServer {
	readonly host: string
	readonly port: number
	/** Resolves when it answers a query. */
	start(): Promise<void>
	/** Without the two ways to shut down it ignores the mode. */
	stop(mode: 'fast' | 'immediate'): Promise<void>
	kill(): Promise<void>
	pause(): Promise<void>
	resume(): Promise<void>
	/** Where each session has a process of its own. */
	killBackend?(pid: number): Promise<void>
	query(sql: string): Promise<unknown[]>
	dispose(): Promise<void>
}

export interface Database {
	readonly server: ChaosServer
	readonly protocol: NonNullable<ProxyOptions['protocol']>
	/** Creates the tables of the workload. */
	layOut(): Promise<void>
	/** Empties the lists and gives every account the same again. */
	startAgain(): Promise<void>
	/** The sessions of the workers, busy ones first. */
	sessions(): Promise<number[]>
	/** Ends a session, or what it runs. False where there was nothing to end. */
	end(session: number, what: 'session' | 'statement'): Promise<boolean>
	/** What stands in the tables. */
	finalState(): Promise<FinalState>
	/** The workload's client, which reaches the server through the door. */
	connect(door: { readonly host: string; readonly port: number }, options: ClientOptions): ChaosClient | Promise<ChaosClient>
	/** Does one step of the transaction `id` and returns it with its answer. */
	perform(query: Query, id: number, step: Step): Promise<Step>
	/** The statement that appends `id` to the list. */
	append(list: number, id: number): Write
}

export const drivers = ['pg', 'mysql2'] as const
export type Driver = (typeof drivers)[number]

/** Which servers a driver can be run on; the first is the default. */
export const serversOf = { pg: ['postgres'], mysql2: ['mysql', 'mariadb'] } as const satisfies Record<Driver, readonly string[]>
export type ServerName = (typeof serversOf)[Driver][number]

/** Starts the server. `fsync`: with durable settings. */
export function openDatabase(server: ServerName, fsync: boolean): Promise<Database> {
	return server === 'postgres' ? openPostgres(fsync) : openMysql(server, fsync)
}
