/** What must a way of running PostgreSQL be able to do? The contract of the local and the Docker one. */

/** `fast`: sessions are ended, then a checkpoint. `immediate`: as after a crash, with recovery at the next start. */
export type StopMode = 'fast' | 'immediate'

/** How to reach a database: fits `new pg.Pool(...)`. */
export interface ConnectionConfig {
	readonly host: string
	readonly port: number
	readonly user: string
	readonly password?: string
	readonly database?: string
}

/** One PostgreSQL, however it is run. */
export interface PostgresBackend {
	readonly source: 'docker' | 'embedded' | 'installed' | 'given'
	readonly major: number
	readonly connection: ConnectionConfig
	/** Starts it; the caller finds out when it answers. */
	start(): Promise<void>
	/** Why it will never answer (it has ended again), with the end of its log; undefined while it runs. */
	failure(): string | undefined
	stop(mode: StopMode): Promise<void>
	kill(): Promise<void>
	pause(): Promise<void>
	resume(): Promise<void>
	killBackend(pid: number): Promise<void>
	dispose(): Promise<void>
}
