/** What is a process of the fleet to the simulation? Something that is called, on a pool of its own. */
import type { Clock } from '../../src/clock.ts'
import type { Server } from './server.ts'

/** What a process is given. */
export interface World {
	readonly clock: Clock
	readonly server: Server
	readonly poolSize: number
	/** What a caller waits in all. */
	readonly deadlineMs: number
	/** How long a connection may lie idle before its pool closes it. */
	readonly idleTimeoutMs: number
	/** How long one connection attempt may take. */
	readonly connectTimeoutMs: number
	/** How long one query may take before its caller hangs up and tries again; undefined: as long as it takes. */
	readonly queryTimeoutMs: number | undefined
}

export interface Client {
	/** One read. `done` is called once. */
	call(done: (answered: boolean) => void): void
}

/** A way to deal with failures. */
export interface Kind {
	readonly name: string
	readonly what: string
	/** Makes the processes of a fleet. */
	fleet(world: World, processes: number): Client[]
}
